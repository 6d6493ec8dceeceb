"""The code of docs/ecosystem.md runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import neocog as nc

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "ecosystem.md").read_text()


def test_the_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("sklearn", "tensorboard"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 3
    for block in blocks:
        exec(block, names)
    assert names["search"].best_score_ > 0.9
    assert names["features"].score(names["X"] / 16, names["y"]) > 0.9
    assert nc.load("digits.safetensors").input_shape == (8, 8, 1)
    assert list(tmp_path.glob("runs/tensorboard/first/events.out.tfevents.*"))
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 3
    assert nc.load("best-01.safetensors").metrics["epoch"] == 1


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`?nc\.([A-Z]\w+)", PAGE))))
def test_what_the_page_names_is_there(name: str) -> None:
    if name.startswith("Neocog"):
        pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    assert callable(getattr(nc, name))
