"""Several steps by one program: memory then holds what earlier steps left there, and no longer zeros."""

from __future__ import annotations

import numpy as np
import pytest

from conformance_cases import real_case
from neocog.engines.base import StepSettings
from neocog.engines.native import NativeEngine
from neocog.engines.reference import ReferenceEngine
from neocog.nn.blocks import Sequential
from neocog.nn.graph import Graph, trace
from neocog.nn.layer import Layer
from neocog.nn.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU, SiLU
from neocog.nn.losses import CrossEntropy
from neocog.nn.optimizers import SGD
from neocog.plan.algorithm import Algorithm


def check_steps(graph: Graph, *, frozen: tuple[str, ...] = (), algorithm: Algorithm = "auto") -> None:
    """Compare four steps, one of a short batch, with the reference's, but for rounding."""
    case = real_case(graph, 4, 1, CrossEntropy())
    settings = StepSettings(case.loss, SGD(), 4, frozen=frozen)
    mine = NativeEngine(algorithm=algorithm).train_program(graph, case.parameters, settings)
    reference = ReferenceEngine().train_program(graph, case.parameters, settings)
    for count in (4, 4, 3, 4):
        for program in (mine, reference):
            program.step(case.images[:count], case.targets[:count], 0.0625)
        for name, exact in reference.gradients().items():
            limit = 1e-4 * np.abs(exact).max()
            np.testing.assert_allclose(mine.gradients()[name], exact, rtol=0, atol=limit, err_msg=name)


@pytest.mark.parametrize("algorithm", ["direct", "winograd"])
@pytest.mark.parametrize("between", [(), (ReLU(),)])
@pytest.mark.parametrize("pooling", [MaxPool2d(1), MaxPool2d(2), MaxPool2d(1, 2)])
def test_poolings_behind_a_convolution_send_gradients_where_this_step_wants_them(algorithm, between, pooling):
    layers: tuple[Layer, ...] = (Conv2d(4, 1), Conv2d(16, 3, padding=1), *between, pooling, Flatten(), Linear(3))
    check_steps(trace(Sequential(*layers), (6, 8, 2)), algorithm=algorithm)


@pytest.mark.parametrize("frozen", ["2.weight", "2.bias", "2"])
def test_groups_are_trained_with_filters_or_biases_that_stay(frozen):
    layers = (Conv2d(36, 1), SiLU(), Conv2d(72, 3, padding=1, groups=18), SiLU(), Flatten(), Linear(3))
    check_steps(trace(Sequential(*layers), (4, 3, 2)), frozen=(frozen,))
