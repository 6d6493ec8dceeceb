"""An ONNX file learns on, as it does in PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="onnx is not installed")

import neocog as nc
from neocog.data.arrays import ArrayDataset
from neocog.data.sources import read_source
from neocog.engines.base import StepSettings
from neocog.engines.native import NativeEngine
from neocog.model.arguments import resolve_engine

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
STEPS, BATCH, RATE = 200, 4, 1e-4
MOST_APART = 0.01
"""Of the way that all parameters went: how far the two trainings may be from each other at its end. They round
otherwise, and where a ReLU stands at 0, the one lets a gradient pass and the other does not."""

pytestmark = pytest.mark.data


@pytest.fixture
def data() -> Path:
    """The folder of public files, or a skip."""
    if not DATA.is_dir():
        pytest.skip("the public files are not in ../shared/data")
    return DATA


def arrays(part: object) -> tuple[np.ndarray, np.ndarray]:
    assert isinstance(part, ArrayDataset)
    return part.array, part.labels


def test_resnet8_learns_as_in_pytorch_for_200_steps(data: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    model = nc.from_onnx(data / "pretrained" / "resnet8_cifar10.onnx", value_range=255)
    images, labels = arrays(read_source(data / "cifar-10-batches-bin").train)
    settings = StepSettings(nc.CrossEntropy(), nc.SGD(), BATCH)
    ours = NativeEngine().train_program(model.graph, model.parameters, settings)
    theirs = resolve_engine("torch").train_program(model.graph, model.parameters, settings)
    losses = []
    for step in range(STEPS):
        run = slice(step * BATCH, (step + 1) * BATCH)
        losses.append(
            [program.step(images[run], labels[run].astype(np.int32), RATE).loss for program in (ours, theirs)]
        )
    found, want = ours.parameters(), theirs.parameters()
    apart = sum(np.square(found[name] - want[name]).sum() for name in want)
    way = sum(np.square(want[name] - start).sum() for name, start in model.parameters.items())
    assert way > 0
    assert np.sqrt(apart) <= MOST_APART * np.sqrt(way)
    first, second = np.array(losses).T
    assert np.abs(first - second).max() <= MOST_APART * second.max()
