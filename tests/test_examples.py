"""The examples run as they are, and stay short."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).resolve().parents[1] / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path: Path, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, path], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert len(path.read_text().splitlines()) <= 40


def test_the_worked_example_prints_the_maps_of_the_textbook(tmp_path: Path) -> None:
    path = next(path for path in EXAMPLES if path.stem == "worked_example")
    done = subprocess.run([sys.executable, path], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    numbers = done.stdout.replace("[", " ").replace("]", " ").replace(".", " ").split()
    assert " ".join(numbers[2:18]) == "3 -1 -3 -1 -3 1 0 -3 -3 -3 0 1 3 -2 -2 -1"
    assert all(count in done.stdout for count in ("1,152", "288", "18"))  # two filters: twice 576 / 144 / 9
