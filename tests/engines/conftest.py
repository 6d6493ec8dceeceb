"""What the tests of the native engine share."""

from __future__ import annotations

import pytest

from neocog.jit import executable


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let threads share programs however short they are, more of them than there are processors too."""
    monkeypatch.setattr(executable, "WORTH_MEETING", 0)
    monkeypatch.setattr(executable, "WORTH_WAKING", 0)
    monkeypatch.setenv("NEOCOG_THREADS", "8")
