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


def test_mnist_8_makes_a_third_fewer_mistakes_after_training(data: Path) -> None:
    model = nc.from_onnx(data / "onnx-mnist-8" / "model.onnx", value_range=1)
    # Of numbers from 0 to 255 as it came. With its biases divided by 255 it answers the same of numbers from 0 to 1, as
    # ReLUs and maxima do, and its logits are no thousands any more, of which no loss can be learnt from.
    model.load_parameters(
        {name: value / 255 if name.endswith("bias") else value for name, value in model.parameters.items()}
    )
    source = read_source(data / "mnist")
    images, labels = arrays(source.train)
    test_images, test_labels = arrays(source.test)
    as_it_came = nc.from_onnx(data / "onnx-mnist-8" / "model.onnx", value_range=255)
    before = int((as_it_came.predict(test_images) != test_labels).sum())
    assert int((model.predict(test_images) != test_labels).sum()) == before
    model.fit(
        *(images, labels),
        epochs=7,
        batch_size=100,
        optimizer=nc.Adam(0.004),
        schedule=nc.OneCycle(),
        augment=(nc.RandomAffine(6.0, 0.04, 0.06),),
        verbose=0,
    )
    assert int((model.predict(test_images) != test_labels).sum()) <= before * 2 / 3
