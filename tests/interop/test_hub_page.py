"""The code of docs/hub.md runs as it stands, against a hub on this machine; the variables that it names are read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hub_models import put_timm
from hub_server import TOKEN

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "hub.md").read_text()


def test_the_code_runs(hub, tmp_path, monkeypatch, capsys):
    put_timm(hub, "timm/resnet18.a1_in1k")  # a small network under that name
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save("cat.jpg")
    names: dict[str, Any] = {}
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 2
    for block in blocks:
        exec(block, names)
    assert "apache-2.0" in capsys.readouterr().out
    assert set(hub.repositories["me/my-photos"].files) == {"README.md", "config.json", "model.safetensors"}


@pytest.mark.parametrize("name", re.findall(r"^\| `(HF_\w+)", PAGE, re.MULTILINE))
def test_the_variables_are_huggingface_hubs(name):
    library = pytest.importorskip("huggingface_hub", reason="the extra [hub] is not installed")
    sources = Path(library.__file__).parent.rglob("*.py")
    assert any(f'"{name}"' in source.read_text(encoding="utf-8") for source in sources)
