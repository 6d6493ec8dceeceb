"""What tests of hubs share: a hub on this machine that huggingface_hub takes for the one that it knows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hub_server import Hub, serving


@pytest.fixture
def hub(monkeypatch, tmp_path) -> Iterator[Hub]:
    """An empty hub; huggingface_hub calls it, and keeps what it fetches in `tmp_path / "cache"`."""
    pytest.importorskip("huggingface_hub", reason="the extra [hub] is not installed")
    constants = pytest.importorskip("huggingface_hub.constants")
    with serving() as found:
        monkeypatch.setattr(constants, "ENDPOINT", found.address)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", found.address + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # its server speaks a protocol that ours does not
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield found


@pytest.fixture
def cache(hub, tmp_path) -> Path:
    """The cache of huggingface_hub."""
    return tmp_path / "cache"
