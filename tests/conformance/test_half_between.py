"""What lies between convolutions in bfloat16: normalizations, learned factors, joins, windows that overlap. They take
and give bfloat16, and compute with float32.
"""

from __future__ import annotations

import numpy as np
import pytest

from conformance_cases import exact_count, real_case
from conformance_checks import RATE, check_exact_step
from emit_functions import targets
from half_cases import representable_step, rounded, rounded_step
from neocog.engines.base import StepSettings
from neocog.engines.native import NativeEngine
from neocog.engines.reference import ReferenceEngine
from neocog.nn.blocks import Concat, Residual, Sequential
from neocog.nn.graph import trace
from neocog.nn.layers import (
    GELU,
    AdaptiveAvgPool2d,
    AvgPool2d,
    Conv2d,
    Flatten,
    GlobalAvgPool2d,
    GroupNorm,
    LayerNorm2d,
    LayerScale,
    Linear,
    MaxPool2d,
    PReLU,
    ReLU,
)
from neocog.nn.losses import CrossEntropy
from neocog.nn.optimizers import SGD
from neocog.nn.parameters import variables_of

SHAPE = (6, 7, 8)
SIDES = ("avx2", "sse2", "host", "sse2", "avx2")
ALONE = {
    "8 groups of 5 channels": GroupNorm(8),
    "1 group, nothing learned": GroupNorm(1, affine=False),
    "pixels": LayerNorm2d(),
    "pixels, nothing learned": LayerNorm2d(affine=False),
    "factors": LayerScale(),
}


@pytest.mark.parametrize(("name", "sides"), [*zip(ALONE, SIDES, strict=True)])
def test_what_a_normalization_gives_is_that_of_float32_rounded_once(name, sides):
    """The convolutions around it round nothing: one gives whole numbers, the other one what it takes."""
    front = (Conv2d(40, 1), ALONE[name])
    plain, graph = (trace(Sequential(*layers), SHAPE) for layers in (front, (*front, Conv2d(40, 1))))
    rng = np.random.default_rng(2)
    parameters = {v.name: rng.normal(size=v.shape).astype(np.float32) for v in variables_of(graph)}
    parameters["0.weight"] = rng.integers(-1, 2, (1, 1, 8, 40)).astype(np.float32)
    parameters["2.weight"] = np.eye(40, dtype=np.float32)[None, None]
    parameters["0.bias"], parameters["2.bias"] = np.zeros((2, 40), np.float32)
    images = rng.integers(-8, 9, (3, *SHAPE)).astype(np.float32)
    known = {v.name: parameters[v.name] for v in variables_of(plain)}
    target = targets().get(sides)
    want = NativeEngine(target).predictor(plain, known, 1).logits(images)
    got = NativeEngine(target, precision="bfloat16").predictor(graph, parameters, 1).logits(images)
    assert np.unique(want).size > 100
    assert (rounded(want) != want).any()
    assert (got == rounded(want)).all()


EXACT = {
    "factors": trace(
        Sequential(
            *(Conv2d(40, 3), PReLU(), Residual(Sequential(Conv2d(40, 1), LayerScale()))),
            *(Conv2d(8, 1), LayerScale(), ReLU(), Flatten(), Linear(4)),
        ),
        (9, 8, 3),
    ),
    "windows that overlap": trace(
        Sequential(
            *(Conv2d(34, 3, padding=1), ReLU(), MaxPool2d(3, 2, 1), Conv2d(40, 1), AvgPool2d(2, 1, 1), Conv2d(8, 1)),
            *(ReLU(), MaxPool2d((2, 3), 1), AdaptiveAvgPool2d(2), Flatten(), Linear(4)),
        ),
        (8, 9, 3),
    ),
    "last join": trace(
        Sequential(
            *(Conv2d(34, 3), Concat(Sequential(), Sequential(ReLU(), Conv2d(9, 1))), PReLU()),
            *(GlobalAvgPool2d(), Linear(4)),
        ),
        (10, 10, 3),
    ),
}


@pytest.mark.parametrize(
    ("name", "sides"), [("factors", "avx2"), ("windows that overlap", "host"), ("last join", "sse2")]
)
def test_nothing_is_lost_of_a_step_that_bfloat16_represents(name, sides):
    graph = EXACT[name]
    case = representable_step(graph, exact_count(4, graph), seed=1)
    assert case is not None
    assert any((value != 0).mean() > 0.1 for value in case.parameters.values())
    check_exact_step(NativeEngine(targets().get(sides), precision="bfloat16"), case)


NORMED = {
    "pixels": trace(
        Sequential(
            *(Conv2d(40, 3, 2, 1), LayerNorm2d(), Conv2d(34, 1), GELU(), Conv2d(40, 3, padding=1, bias=False)),
            *(LayerNorm2d(affine=False), Conv2d(8, 1), ReLU(), Flatten(), Linear(4)),
        ),
        (12, 11, 3),
    ),
    "groups": trace(
        Sequential(
            *(Conv2d(40, 3, 2, 1, bias=False), GroupNorm(8), ReLU(), Conv2d(36, 3, padding=1), GroupNorm(3)),
            *(Conv2d(8, 1), ReLU(), Flatten(), Linear(4)),
        ),
        (12, 11, 3),
    ),
}


def _program(engine, case, threads=1):
    settings = StepSettings(case.loss, SGD(momentum=0.9), case.batch_size, case.seed)
    return engine.train_program(case.graph, case.parameters, settings, threads)


@pytest.mark.parametrize("name", NORMED)
def test_a_step_is_that_of_rounded_factors(name):
    case = real_case(NORMED[name], 6, 3, CrossEntropy())
    program, reference = _program(NativeEngine(precision="bfloat16"), case), _program(ReferenceEngine(), case)
    result, model = program.step(case.images, case.targets, RATE), rounded_step(case)
    reference.step(case.images, case.targets, RATE)
    exact = {"logits": reference.exact_logits} | reference.exact_gradients
    for key, value in (program.gradients() | {"logits": result.logits}).items():
        away, costs = (np.linalg.norm(model[key] - other) for other in (value, exact[key]))
        assert 0 < costs < 0.2 * np.linalg.norm(exact[key]), key
        assert away < 0.05 * costs, key


@pytest.mark.parametrize("name", NORMED)
def test_the_same_bits_on_any_number_of_threads(name):
    case = real_case(NORMED[name], 6, 4, CrossEntropy())
    one, two = (_program(NativeEngine(precision="bfloat16"), case, threads) for threads in (1, 2))
    for program in (one, two):
        for _ in range(2):
            program.step(case.images, case.targets, RATE)
    for key, value in one.parameters().items():
        assert value.tobytes() == two.parameters()[key].tobytes(), key
