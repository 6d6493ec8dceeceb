"""Verbs take an .onnx file where they take a model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="onnx is not installed")

from PIL import Image

import neocog as nc
from onnx_files import filters, model, node, written


@pytest.fixture
def file(tmp_path: Path) -> Path:
    nodes = [
        node("Conv", ["x", "w.weight"], ["a"]),
        node("GlobalAveragePool", ["a"], ["b"]),
        node("Softmax", ["b"], ["y"], axis=1),
    ]
    made = model(nodes, constants={"w.weight": filters(2, 3, 3, 3)}, metadata={"names": "['dark', 'bright']"})
    for name in ("dark", "bright"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(3):
            pixels = np.full((8, 8, 3), 20 * number + 150 * (name == "bright"), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{number}.png")
    return written(tmp_path, made)


def neocog(*arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "neocog", *map(str, arguments)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_info_predict_and_evaluate_take_it(file: Path) -> None:
    assert "model.onnx" in neocog("info", file)
    facts = json.loads(neocog("info", file, "--json"))
    assert facts["classes"] == ["dark", "bright"]
    picture = file.parent / "pictures" / "dark" / "1.png"
    answer = json.loads(neocog("predict", file, picture, "--json"))
    read = nc.from_onnx(file)
    name = read.class_names[int(read.predict(picture)[0])]
    assert name in json.dumps(answer)
    measured = json.loads(neocog("evaluate", file, file.parent / "pictures", "--json"))
    assert 0.0 <= measured["accuracy"] <= 1.0


def test_calibrate_leaves_it_as_it_is(file: Path) -> None:
    pictures, before = file.parent / "pictures", file.read_bytes()
    for more in ((), ("--output", file.parent / "other.onnx")):
        done = subprocess.run(
            [sys.executable, "-m", "neocog", "calibrate", str(file), str(pictures), *map(str, more)],
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode != 0
        assert "a model file of neocog, not an ONNX file" in done.stderr
    assert file.read_bytes() == before
    neocog("calibrate", file, pictures, "--output", file.parent / "fitted.safetensors")
    assert nc.load(file.parent / "fitted.safetensors").class_names == ("dark", "bright")


def test_load_says_what_reads_it(file: Path) -> None:
    with pytest.raises(nc.FormatError, match="is an ONNX file") as told:
        nc.load(file)
    assert told.value.hint == "neocog.from_onnx reads it"
