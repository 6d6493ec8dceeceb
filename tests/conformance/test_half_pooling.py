"""A max pooling behind products of tiles: the bits of a pass of its own, in prediction and in training."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest

from emit_functions import targets
from int8_cases import scales_of
from neocog.engines.base import StepSettings
from neocog.engines.native import NativeEngine
from neocog.nn.blocks import Residual, Sequential
from neocog.nn.graph import Graph, trace
from neocog.nn.layers import (
    BatchNorm2d,
    Conv2d,
    Flatten,
    GlobalAvgPool2d,
    LeakyReLU,
    Linear,
    MaxPool2d,
    PReLU,
    ReLU,
    SiLU,
)
from neocog.nn.losses import CrossEntropy
from neocog.nn.optimizers import SGD
from neocog.nn.parameters import variables_of
from neocog.plan import product
from neocog.plan.ops.pool import Pool, PoolBackward
from neocog.plan.ops.product import TileProduct
from neocog.plan.program import Program

THOROUGH = os.environ.get("NEOCOG_TEST_PROFILE") == "thorough"
AFTER = (MaxPool2d(2), Conv2d(7, 1))  # a pooling whose answer is bfloat16, since the next one takes it so
IN_PLANES = Conv2d(40, 1)  # what is no image of the caller's lies in planes
CASES = {
    "first layer, several bands": (Sequential(Conv2d(32, 3), ReLU(), *AFTER), (29, 28, 1)),
    "first layer, pixels of a row": (Sequential(Conv2d(33, 3, padding=1), ReLU(), *AFTER), (6, 48, 3)),
    "first layer, stride 2": (Sequential(Conv2d(32, 5, 2, 2), ReLU(), *AFTER), (14, 45, 3)),
    "several panels and planes": (Sequential(IN_PLANES, Conv2d(70, 3, padding=1), ReLU(), *AFTER), (9, 21, 3)),
    "groups, without bias": (Sequential(Conv2d(96, 1), Conv2d(48, 3, groups=4, bias=False), *AFTER), (9, 14, 3)),
    "a ReLU that is none": (Sequential(IN_PLANES, Conv2d(36, 3, padding=1), LeakyReLU(0.1), *AFTER), (7, 34, 3)),
    "an activation that falls and rises": (Sequential(IN_PLANES, Conv2d(36, (3, 2)), SiLU(), *AFTER), (8, 19, 3)),
    "slopes and factors": (
        Sequential(IN_PLANES, Conv2d(36, 3), PReLU(), MaxPool2d(2), Conv2d(7, 3), BatchNorm2d(), *AFTER),
        (17, 15, 3),
    ),
    "something added": (
        Sequential(IN_PLANES, Residual(Sequential(Conv2d(8, 1), ReLU(), Conv2d(40, 3, padding=1))), ReLU(), *AFTER),
        (7, 11, 3),
    ),
    "answers of float32": (Sequential(IN_PLANES, Conv2d(36, 3), ReLU(), MaxPool2d(2)), (11, 8, 3)),
}
WIDTHS = {
    f"{height} x {width}, padding {padding}": (
        Sequential(IN_PLANES, Conv2d(32, 3, padding=padding), ReLU(), *AFTER),
        (height, width, 3),
    )
    for height, padding in ((5, 0), (8, 1), (27, 1))
    for width in range(8, 51)
}


def parameters_of(graph: Graph) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    found = {v.name: (rng.normal(size=v.shape) * 0.3).astype(np.float32) for v in variables_of(graph)}
    return {name: np.abs(value) + 0.5 if "running_var" in name else value for name, value in found.items()}


def images_of(graph: Graph, count: int) -> np.ndarray:
    sides = (graph.input.height, graph.input.width, graph.input.channels)
    return np.random.default_rng(4).random((count, *sides), dtype=np.float32)


def separated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every pooling run in a pass of its own."""
    monkeypatch.setattr(product, "can_pool", lambda pooling: False)


def poolings(program: Program) -> tuple[int, int]:
    """Return how many poolings run in a product's last lines, and how many on their own."""
    stages = list(program.every_stage())
    behind = [stage for stage in stages if isinstance(stage, TileProduct) and stage.band]
    return len(behind), sum(isinstance(stage, Pool) for stage in stages)


@pytest.mark.parametrize("name", {**CASES, **WIDTHS} if THOROUGH else CASES)
def test_a_pooling_behind_products_gives_the_bits_of_a_pass_of_its_own(name, monkeypatch):
    net, shape = {**CASES, **WIDTHS}[name]
    graph = trace(net, shape)
    parameters, images = parameters_of(graph), images_of(graph, 5)
    number = sum(isinstance(node.layer, MaxPool2d) for node in graph.nodes)
    answers, found = [], []
    for threads in (2, 1):
        predictor = NativeEngine(targets()["host"], precision="bfloat16").predictor(graph, parameters, threads)
        answers.append(predictor.features(images))
        found.append(poolings(predictor.executable(5).program))
        separated(monkeypatch)
    assert found == [(number, 0), (0, number)]
    assert (answers[0] != 0).any()
    assert answers[0].tobytes() == answers[1].tobytes()


@pytest.mark.parametrize("sides", [name for name in ("avx2", "sse2") if name in targets()])
def test_vectors_of_any_length_find_the_largest(sides, monkeypatch):
    """Filters that fill no vector, in bands and in rows."""
    net = Sequential(Conv2d(13, 3, padding=1), ReLU(), MaxPool2d(2), Conv2d(37, 3), SiLU(), MaxPool2d(2), Conv2d(5, 1))
    graph = trace(net, (15, 32, 3))
    parameters, images = parameters_of(graph), images_of(graph, 3)
    answers = []
    for _ in range(2):
        engine = NativeEngine(targets()[sides], precision="bfloat16")
        answers.append(engine.predictor(graph, parameters, 1).features(images))
        separated(monkeypatch)
    assert answers[0].tobytes() == answers[1].tobytes()


def test_a_nan_is_the_largest_and_stays_in_its_windows(monkeypatch):
    graph = trace(Sequential(IN_PLANES, Conv2d(8, 1), ReLU(), *AFTER), (6, 9, 3))
    parameters, images = parameters_of(graph), images_of(graph, 2)
    images[0, 3, 2, 1], images[1, 0, 5, 0], images[1, 5, 5, 2] = np.nan, np.inf, -np.inf
    answers = []
    for _ in range(2):
        with np.errstate(invalid="ignore"):
            predictor = NativeEngine(targets()["host"], precision="bfloat16").predictor(graph, parameters, 1)
            answers.append(predictor.features(images).reshape(2, 3, 4, 7))
        separated(monkeypatch)
    assert np.isnan(answers[0]).any(-1).sum(axis=(1, 2))[0] == 1
    assert np.isnan(answers[0][0, 1, 1]).all()
    assert (np.isnan(answers[0]) == np.isnan(answers[1])).all()
    sure = ~np.isnan(answers[0])
    assert (answers[0][sure] == answers[1][sure]).all()


LEARNING = trace(
    Sequential(
        *(Conv2d(8, 3, padding=1), ReLU(), MaxPool2d(2), Conv2d(40, 3), MaxPool2d(2), GlobalAvgPool2d(), Linear(4)),
    ),
    (11, 34, 3),
)
"""Behind a ReLU, for bfloat16, and behind nothing, for float32."""


def test_a_step_has_the_bits_of_one_whose_poolings_run_on_their_own(monkeypatch):
    parameters, rng = parameters_of(LEARNING), np.random.default_rng(6)
    images = rng.integers(0, 3, (6, 11, 34, 3)).astype(np.float32)  # few values, so that many cells are alike
    labels = rng.integers(0, 4, 6).astype(np.int32)
    found, results = [], []
    for threads in (2, 1):
        engine = NativeEngine(targets()["host"], precision="bfloat16")
        settings = StepSettings(CrossEntropy(), SGD(momentum=0.9), 6)
        program = engine.train_program(LEARNING, parameters, settings, threads)
        logits = program.step(images, labels, 0.05).logits.copy()
        results.append({"logits": logits} | program.gradients() | program.parameters())
        found.append(poolings(program.executable.program))
        separated(monkeypatch)
    assert found == [(2, 1), (0, 3)]  # one more takes a mean
    for name, value in results[0].items():
        assert value.tobytes() == results[1][name].tobytes(), name


def test_where_windows_cover_an_image_no_zeros_are_written_ahead_of_its_gradient(monkeypatch):
    """Windows that see padding, and channels that fill no plane."""
    net = Sequential(Conv2d(40, 3), SiLU(), MaxPool2d(3, padding=1), Conv2d(4, 1), GlobalAvgPool2d())
    graph = trace(net, (10, 10, 3))
    parameters, images, labels = parameters_of(graph), images_of(graph, 3), np.arange(3, dtype=np.int32)
    found, cleared = [], []
    for _ in range(2):
        engine = NativeEngine(targets()["host"], precision="bfloat16")
        program = engine.train_program(graph, parameters, StepSettings(CrossEntropy(), SGD(), 3), 1)
        for _ in range(2):  # memory holds what the step before left there
            program.step(images, labels, 0.05)
        found.append(program.gradients())
        stages = program.executable.program.every_stage()
        cleared.append([stage.clears for stage in stages if isinstance(stage, PoolBackward)])
        monkeypatch.setattr(PoolBackward, "clears", property(lambda stage: True))
    assert cleared == [[False], [True]]
    for name, value in found[0].items():
        assert value.tobytes() == found[1][name].tobytes(), name


def test_int8_finds_the_largest_of_whole_sums(monkeypatch):
    """Behind a ReLU before they are weighed, behind something added after that."""
    net = Sequential(
        *(Conv2d(40, 3, padding=1), ReLU(), Conv2d(33, 3, padding=1), ReLU(), MaxPool2d(2), Conv2d(36, 1)),
        *(Residual(Conv2d(36, 3, padding=1)), MaxPool2d(2), Flatten(), Linear(5)),
    )
    graph = trace(net, (9, 32, 3))
    parameters, images = parameters_of(graph), images_of(graph, 3)
    scales = scales_of(graph, parameters, images)
    answers, found = [], []
    for _ in range(2):
        engine = NativeEngine(replace(targets()["host"], byte_tiles=True))
        predictor = engine.int8_predictor(graph, parameters, scales, 1)
        answers.append(predictor.logits(images))
        found.append(poolings(predictor.executable(3).program))
        separated(monkeypatch)
    assert found == [(2, 0), (0, 2)]
    assert answers[0].tobytes() == answers[1].tobytes()
