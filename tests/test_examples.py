"""The examples run as they are, and stay short."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest

EXAMPLES = {path.stem: path for path in sorted((Path(__file__).resolve().parents[1] / "examples").glob("*.py"))}

NEEDED = {"scikit_learn": ("sklearn",), "export_onnx": ("onnx", "onnxruntime"), "train_onnx": ("onnx",)}


@cache
def output_of(name: str) -> str:
    """Run an example in an empty folder and return what it prints."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, EXAMPLES[name]]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs(name: str) -> None:
    for library in NEEDED.get(name, ()):
        pytest.importorskip(library, reason=f"{library} is not installed")
    assert output_of(name)
    assert len(EXAMPLES[name].read_text().splitlines()) <= 40


def test_the_worked_example_prints_the_maps_of_the_textbook() -> None:
    printed = output_of("worked_example")
    numbers = printed.replace("[", " ").replace("]", " ").replace(".", " ").split()
    assert " ".join(numbers[2:18]) == "3 -1 -3 -1 -3 1 0 -3 -3 -3 0 1 3 -2 -2 -1"
    assert all(count in printed for count in ("1,152", "288", "18"))  # two filters: twice 576 / 144 / 9


def test_the_residual_example_learns_and_freezes() -> None:
    *_, accuracy, changed = output_of("residual").splitlines()
    assert float(accuracy.removeprefix("test accuracy: ")) > 0.95
    learnt = [name for name in changed.split()[1:] if ".running_" not in name]
    assert learnt == ["classes.bias", "classes.weight"]


def test_the_exported_file_answers_as_neocog_does() -> None:
    for library in NEEDED["export_onnx"]:
        pytest.importorskip(library, reason=f"{library} is not installed")
    lines = dict(line.split(":", 1) for line in output_of("export_onnx").splitlines() if ": " in line)
    accuracy = float(lines["accuracy by ONNX Runtime"])
    assert accuracy == float(lines["accuracy by neocog"]) > 0.9
    assert float(lines["largest difference of a probability"]) < 1e-5
