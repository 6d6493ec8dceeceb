"""ResNet-20 with BatchNorm, stochastic depth and a moving average: the same bits on any number of threads, and after a
training is taken up again.
"""

from __future__ import annotations

import numpy as np
import pytest

from neocog.engines.base import StepSettings
from neocog.engines.native import NativeEngine, NativeTrainProgram
from neocog.nn.blocks import Residual, Sequential
from neocog.nn.followers import EMA
from neocog.nn.graph import Graph, trace
from neocog.nn.layer import Layer
from neocog.nn.layers import BatchNorm2d, Conv2d, DropPath, GlobalAvgPool2d, Linear, ReLU
from neocog.nn.losses import CrossEntropy
from neocog.nn.optimizers import SGD
from neocog.nn.parameters import initial_parameters

IMAGES, SIDE, STEPS = 12, 16, 4
SETTINGS = StepSettings(CrossEntropy(0.1), SGD(momentum=0.9, weight_decay=5e-4), IMAGES, seed=3, followers=(EMA(0.9),))


def convolution(channels: int, stride: int = 1, kernel: int = 3) -> list[Layer]:
    return [Conv2d(channels, kernel, stride, padding=kernel // 2, bias=False), BatchNorm2d()]


def resnet20() -> Graph:
    layers: list[Layer] = [*convolution(16), ReLU()]
    for channels in (16, 32, 64):
        for block in range(3):
            stride = 2 if block == 0 and channels > 16 else 1
            shortcut = Sequential(*convolution(channels, stride, 1)) if stride == 2 else None
            body = Sequential(*convolution(channels, stride), ReLU(), *convolution(channels), DropPath(0.2))
            layers += [Residual(body, shortcut), ReLU()]
    return trace(Sequential(*layers, GlobalAvgPool2d(), Linear(10)), (SIDE, SIDE, 3))


GRAPH = resnet20()
PARAMETERS = initial_parameters(GRAPH, 1)
RNG = np.random.default_rng(0)
X = RNG.random((STEPS, IMAGES, SIDE, SIDE, 3)).astype(np.float32)
Y = RNG.integers(0, 10, (STEPS, IMAGES), np.int32)


def everything(program: NativeTrainProgram) -> dict[str, bytes]:
    """Return all that a training knows, bit by bit."""
    return {name: value.tobytes() for name, value in (program.parameters() | program.optimizer_state()).items()}


def trained(threads: int) -> NativeTrainProgram:
    program = NativeEngine().train_program(GRAPH, PARAMETERS, SETTINGS, threads)
    for images, labels in zip(X, Y, strict=True):
        program.step(images, labels, 0.1)
    return program


@pytest.fixture(scope="module", autouse=True)
def _five_threads():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEOCOG_THREADS", "5")
        yield


@pytest.fixture(scope="module")
def wanted(_five_threads) -> dict[str, bytes]:
    program = trained(1)
    assert any((value != PARAMETERS[name]).any() for name, value in program.parameters().items() if "running" in name)
    return everything(program)


def test_it_is_twenty_layers_deep():
    assert sum(isinstance(node.layer, Conv2d | Linear) and "shortcut" not in node.name for node in GRAPH.nodes) == 20


@pytest.mark.parametrize("threads", [2, 3, 5])
def test_the_number_of_threads_changes_no_bit(wanted, threads):
    program = trained(threads)
    assert program.threads == threads
    assert everything(program) == wanted


def test_a_training_that_is_taken_up_again_ends_with_the_same_bits(wanted):
    first = NativeEngine().train_program(GRAPH, PARAMETERS, SETTINGS, 2)
    for images, labels in zip(X[:2], Y[:2], strict=True):
        first.step(images, labels, 0.1)
    second = NativeEngine().train_program(GRAPH, first.parameters(), SETTINGS, 3)
    second.load_optimizer_state(first.optimizer_state(), 2)
    for images, labels in zip(X[2:], Y[2:], strict=True):
        second.step(images, labels, 0.1)
    assert everything(second) == wanted
