"""Gradients of convolutions that begin with what the pooling behind them got, against the reference."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import pytest

from conformance_cases import integer_case, real_case
from conformance_checks import check_close_step, check_exact_step
from emit_functions import targets
from neocog.engines.base import StepSettings
from neocog.engines.native import NativeEngine, NativeTrainProgram
from neocog.engines.reference import ReferenceEngine
from neocog.nn.blocks import Sequential
from neocog.nn.graph import Graph, trace
from neocog.nn.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU
from neocog.nn.losses import CrossEntropy
from neocog.nn.optimizers import SGD
from neocog.nn.parameters import initial_parameters
from neocog.plan import algorithm
from neocog.plan.ops.pool import PoolBackward
from neocog.plan.ops.pooled_gradient import PooledGradient
from neocog.plan.ops.winograd import WinogradBackward

Kind = TypeVar("Kind")


def _graph(shape: tuple[int, int, int], *layers) -> Graph:
    return trace(Sequential(*layers, Flatten(), Linear(4)), shape)


BY_WINDOWS = {
    "one channel": _graph((14, 12, 1), Conv2d(16, 3), ReLU(), MaxPool2d(2)),
    "three channels, padding": _graph((12, 10, 3), Conv2d(16, 3, padding=1), ReLU(), MaxPool2d(2)),
    "several panels, without bias": _graph((10, 10, 2), Conv2d(72, 3, bias=False), ReLU(), MaxPool2d(2)),
    "few filters, without ReLU": _graph((12, 12, 4), Conv2d(5, 3, padding=1), MaxPool2d(2)),
    "a pooling that leaves a rest": _graph((13, 15, 1), Conv2d(16, 5, padding=1), ReLU(), MaxPool2d(2)),
    "a stride": _graph((21, 23, 1), Conv2d(16, 5, stride=2, padding=2), ReLU(), MaxPool2d(2)),
    "gaps": _graph((14, 14, 2), Conv2d(16, 3, dilation=2, padding=2), ReLU(), MaxPool2d(2)),
    "different axes": _graph(
        (17, 12, 2), Conv2d(16, (5, 2), stride=(2, 1), padding=(1, 3), dilation=(1, 2)), ReLU(), MaxPool2d(2)
    ),
}
BY_TILES = {
    "2 x 2": _graph((8, 8, 1), Conv2d(16, 1), Conv2d(40, 3, padding=1), ReLU(), MaxPool2d(2)),
    "4 x 2, without bias or ReLU": _graph(
        (10, 14, 1), Conv2d(16, 1), Conv2d(16, 3, bias=False), MaxPool2d((4, 2)), Conv2d(5, 1)
    ),
    "5 x 5 in larger tiles": _graph((10, 10, 1), Conv2d(16, 1), Conv2d(16, 3, padding=1), ReLU(), MaxPool2d(5)),
}
IMAGES = 20  # enough for a chain, and for Winograd's gradients


def _program(engine: NativeEngine, graph: Graph, threads: int = 1) -> NativeTrainProgram:
    settings = StepSettings(CrossEntropy(), SGD(momentum=0.5), IMAGES)
    return engine.train_program(graph, initial_parameters(graph, 2), settings, threads)


def _stages(program: NativeTrainProgram, kind: type[Kind]) -> list[Kind]:
    return [stage for stage in program.executable.program.every_stage() if isinstance(stage, kind)]


def _gradients(program: NativeTrainProgram, graph: Graph) -> dict[str, np.ndarray]:
    """Return the gradients of a second step, of fewer images: memory holds what the first one left there."""
    random = np.random.default_rng(1)
    for count in (IMAGES, IMAGES - 3):
        sides = (graph.input.height, graph.input.width, graph.input.channels)
        images = random.integers(0, 256, (count, *sides), np.uint8)
        program.step(images, random.integers(0, 4, count).astype(np.int32), 0.05)
    return program.gradients()


@pytest.mark.parametrize("name", BY_WINDOWS)
@pytest.mark.parametrize("target", [name for name, target in targets().items() if target.picks][:1])
def test_sums_over_windows(target, name):
    engine, graph = NativeEngine(targets()[target]), BY_WINDOWS[name]
    assert _stages(_program(engine, graph), PooledGradient)
    case = integer_case(graph, 16, seed=1, batch_size=IMAGES)
    assert case is not None
    check_exact_step(engine, case)
    check_close_step(engine, real_case(graph, IMAGES, 2, CrossEntropy()))


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize("threads", [2, 7])
def test_sums_over_windows_have_the_same_bits_on_any_number_of_threads(threads):
    graph = BY_WINDOWS["three channels, padding"]
    one, several = (_gradients(_program(NativeEngine(), graph, count), graph) for count in (1, threads))
    assert all(one[key].tobytes() == value.tobytes() for key, value in several.items())


@pytest.mark.parametrize("name", BY_TILES)
@pytest.mark.parametrize("target", targets())
def test_tiles_give_the_bits_that_a_gradient_sent_back_first_gives(target, name, monkeypatch):
    engine, graph = NativeEngine(targets()[target], algorithm="winograd"), BY_TILES[name]
    program = _program(engine, graph)
    assert [stage for stage in _stages(program, WinogradBackward) if stage.pooling]
    assert not _stages(program, PoolBackward)
    monkeypatch.setattr(algorithm, "takes_pooled", lambda *_: False)
    apart = _program(engine, graph)
    assert _stages(apart, PoolBackward)
    mine, others = _gradients(program, graph), _gradients(apart, graph)
    assert all(mine[key].tobytes() == value.tobytes() for key, value in others.items())
    reference = ReferenceEngine().train_program(
        graph, initial_parameters(graph, 2), StepSettings(CrossEntropy(), SGD(momentum=0.5), IMAGES)
    )
    for key, value in _gradients(reference, graph).items():
        assert np.abs(mine[key] - value).max() <= 2e-5 * np.abs(value).max(), key
