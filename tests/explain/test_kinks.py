"""Kinks are seen, and curves are not taken for them."""

from __future__ import annotations

import numpy as np
import pytest

import neocog as nc
from neocog.explain.kinks import same_choice, same_slope
from neocog.nn.graph import trace
from neocog.reference.network import forward

STEP = 1e-4


def same_piece(layer: nc.Layer, pairs: list[tuple[float, float]]) -> list[bool]:
    """Tell for pairs of values of one pixel whether a layer takes the same piece at both."""
    graph = trace(nc.Sequential(layer), (1, 1, 1))
    values = np.array([*(pair[0] for pair in pairs), *(pair[1] for pair in pairs)])
    parameters = {f"0.{variable.name}": np.full(variable.shape, 0.25) for variable in layer.variables(graph.input)}
    run = forward(graph, parameters, values.reshape(-1, 1, 1, 1))
    return same_slope(run, parameters, graph.nodes[0]).tolist()


@pytest.mark.parametrize(
    ("layer", "kink"),
    [
        (nc.ReLU(), 0.0),
        (nc.LeakyReLU(0.9), 0.0),
        (nc.PReLU(), 0.0),
        (nc.ReLU6(), 6.0),
        (nc.Hardsigmoid(), -3.0),
        (nc.Hardsigmoid(), 3.0),
        (nc.ELU(2.0), 0.0),
    ],
)
def test_a_jump_of_the_slope_is_a_kink(layer: nc.Layer, kink: float) -> None:
    pairs = [(kink - STEP, kink + STEP), (kink + STEP, kink + 3 * STEP), (kink - 3 * STEP, kink - STEP)]
    assert same_piece(layer, pairs) == [False, True, True]


@pytest.mark.parametrize("layer", [nc.Sigmoid(), nc.Tanh(), nc.SiLU(), nc.GELU(), nc.GELU("tanh"), nc.ELU()])
@pytest.mark.parametrize("apart", [1e-6, 1e-3, 0.1])
def test_a_smooth_curve_has_no_kink(layer: nc.Layer, apart: float) -> None:
    assert all(same_piece(layer, [(x - apart, x + apart) for x in np.linspace(-4, 4, 33)]))


def test_another_winner_is_another_piece() -> None:
    graph = trace(nc.Sequential(nc.Maxout(2)), (1, 1, 2))
    images = np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 3.0], [1.0, 3.0]]).reshape(4, 1, 1, 2)
    run = forward(graph, {}, images)
    assert same_choice(run, {}, graph.nodes[0]).tolist() == [True, False]
