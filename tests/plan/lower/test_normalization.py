"""Group normalization as work: it stays inside chains, and learns what is not frozen."""

from __future__ import annotations

import numpy as np
import pytest

from neocog.engines.base import StepSettings
from neocog.engines.native import NativeEngine
from neocog.engines.reference import ReferenceEngine
from neocog.nn.blocks import Residual, Sequential
from neocog.nn.graph import trace
from neocog.nn.layers import Conv2d, Flatten, GroupNorm, Hardswish, Linear, ReLU
from neocog.nn.losses import CrossEntropy
from neocog.nn.optimizers import SGD
from neocog.nn.parameters import initial_parameters
from neocog.plan.ops.norm import GroupGradient, GroupStatistics
from neocog.plan.planner import plan_program
from neocog.plan.program import Training
from neocog.target.processor import Target

TARGET = Target("x86_64-unknown-linux-gnu", "haswell", "", lanes=8, registers=16, fma=True)
BODY = Sequential(Conv2d(12, 3, padding=1), GroupNorm(3), ReLU())
NET = Sequential(
    Conv2d(12, 3, padding=1), GroupNorm(4), Hardswish(), Residual(BODY), Conv2d(4, 3), Flatten(), Linear(3)
)
GRAPH = trace(NET, (7, 6, 2))
BATCH = 8


@pytest.mark.parametrize("training", [None, Training(CrossEntropy(), SGD())])
def test_a_few_images_at_a_time_go_through_groups_on_their_way(training: Training | None) -> None:
    stages = [scheduled.stage for scheduled in plan_program(GRAPH, 8 * BATCH, TARGET, training).stages]
    held = [[type(inner) for inner in stage.inner_stages()] for stage in stages]
    assert [kinds.count(GroupStatistics) for kinds in held if GroupStatistics in kinds] == [2]  # both in one chain
    assert [kinds.count(GroupGradient) for kinds in held if GroupGradient in kinds] == ([2] if training else [])
    assert all(stage.times > 1 for stage, kinds in zip(stages, held, strict=True) if GroupStatistics in kinds)


@pytest.mark.parametrize("frozen", [(), ("1.weight",), ("1.bias",), ("1.*",), ("0.*", "1.*"), ("*.weight",)])
def test_what_is_frozen_gets_no_gradient_and_all_else_the_same(frozen: tuple[str, ...]) -> None:
    rng = np.random.default_rng(4)
    parameters = initial_parameters(GRAPH, 1)
    parameters |= {
        name: rng.uniform(0.5, 1.5, value.shape).astype(np.float32)
        for name, value in parameters.items()
        if value.ndim == 1
    }
    images, targets = rng.random((5, 7, 6, 2), np.float32), rng.integers(0, 3, 5)
    found = []
    for engine in (NativeEngine(algorithm="direct"), ReferenceEngine()):
        train_program = engine.train_program(
            GRAPH, parameters, StepSettings(CrossEntropy(), SGD(), BATCH, frozen=frozen)
        )
        train_program.step(images, targets, 0.125)
        found.append(train_program.gradients())
    native, reference = found
    assert native.keys() == reference.keys()
    assert ("1.weight" in native) == (frozen in ((), ("1.bias",)))
    for name, value in native.items():
        np.testing.assert_allclose(value, reference[name], rtol=1e-4, atol=1e-5 * np.abs(reference[name]).max())
