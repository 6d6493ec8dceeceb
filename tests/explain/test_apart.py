"""Layers taken apart value by value: each step follows from the one before, the last is what the layer gives."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import neocog as nc
from explain.networks import make_image, make_model
from neocog.explain.apart import steps, steps_of
from neocog.explain.rules import RULES
from neocog.explain.senders import Cell, whole_image
from neocog.explain.step import ChannelStep
from neocog.explain.trace import Trace, trace
from neocog.nn.graph import IMAGE, Node
from neocog.nn.layer import channels_of
from neocog.reference.network import backward_node

OPERATIONS = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}
KINDS = {"residual": 6, "branches": 15, "nested": 2, "groups": 4}  # of layers that are taken apart


def traced_network(name: str) -> Trace:
    """Trace an image through one of the networks."""
    model = make_model(name)
    return trace(model, make_image(model))


def taken_apart(traced: Trace) -> list[tuple[Node, int]]:
    """List the layers of a network that are taken apart, with their number of channels."""
    return [
        (node, channels_of(node.output)) for node in traced.graph.nodes if RULES[type(node.layer)].steps is not None
    ]


def one_map(values: np.ndarray, channel: int) -> np.ndarray:
    """Return a channel of maps, or one value of a vector, as (P, Q)."""
    return np.atleast_2d(values[..., channel])


@pytest.mark.parametrize("name", KINDS)
def test_the_last_step_is_what_the_layer_gives_and_the_first_what_goes_in(name: str) -> None:
    traced = traced_network(name)
    seen = set()
    for node, channels in taken_apart(traced):
        seen.add(type(node.layer))
        for channel in range(channels):
            found = steps_of(traced, node, channel).steps
            want = one_map(traced.output(node.index), channel)
            np.testing.assert_allclose(found[-1].values, want, rtol=1e-12, atol=1e-15)
            assert found[0].source is not None
            for step in found:
                if step.source is not None:
                    assert step.source[0] in node.inputs
                    np.testing.assert_array_equal(step.values, one_map(traced.value(step.source[0]), step.source[1]))
    assert len(seen) == KINDS[name]


@pytest.mark.parametrize("name", ["residual", "branches", "groups"])
def test_each_step_follows_from_the_one_before(name: str) -> None:
    traced = traced_network(name)
    checked = set()
    for node, channels in taken_apart(traced):
        for channel in range(channels):
            found = steps_of(traced, node, channel).steps
            gathered = found[0].values
            for before, step in pairwise(found):
                if step.source is not None and step.sign:  # another input of a join
                    gathered = OPERATIONS[step.sign](gathered, step.values)
                    continue
                if step.number is not None:
                    want = OPERATIONS[step.sign](before.values, step.number)
                elif step.sign == "e":
                    want = np.exp(before.values)
                elif step.sign == "=":
                    want = gathered
                else:
                    continue
                checked.add((type(node.layer).__name__, step.sign))
                np.testing.assert_allclose(step.values, want, rtol=1e-12, atol=1e-15)
    wanted = {("GroupNorm" if name == "groups" else "BatchNorm2d", sign) for sign in "-/*+"}
    if name == "residual":
        wanted |= {("Add", "="), ("GlobalAvgPool2d", "/"), ("DropPath", "=")}
    if name == "branches":
        wanted |= {("Add", "="), ("Multiply", "="), ("Concatenate", "="), ("Softmax", "e")}
    assert wanted <= checked


def test_an_activation_has_a_slope_and_a_curve_that_its_values_lie_on() -> None:
    traced = traced_network("branches")
    seen = set()
    for node, channels in taken_apart(traced):
        if RULES[type(node.layer)].view != "activation":
            continue
        seen.add(type(node.layer).__name__)
        found = steps_of(traced, node, channels - 1)
        assert found.slope is not None
        assert found.curve is not None
        curve, x, y = found.curve, found.steps[0].values.ravel(), found.steps[-1].values.ravel()
        assert curve.x[0] <= min(x.min(), -4)
        assert curve.x[-1] >= max(x.max(), 4)
        spacing = curve.x[1] - curve.x[0]
        # Between two points a curve leaves its chord by at most spacing² / 8 · its second derivative, at a kink by a
        # quarter of the spacing times the jump of the slope.
        assert np.abs(np.interp(x, curve.x, curve.value) - y).max() <= spacing / 4 + spacing**2
        secants = np.diff(curve.value) / spacing
        between = np.stack((curve.slope[:-1], curve.slope[1:]))
        outside = np.maximum(secants - between.max(axis=0), between.min(axis=0) - secants)
        assert outside.max() <= spacing  # a secant's slope is a mean of the slopes along it
        assert found.slope.shape == found.steps[0].values.shape
    assert seen >= {"LeakyReLU", "PReLU", "GELU", "ELU", "Sigmoid", "Tanh", "Hardsigmoid", "ReLU6"}


def test_the_shares_of_a_softmax_send_back_what_the_reference_says() -> None:
    traced = traced_network("branches")
    node = next(node for node in traced.graph.nodes if isinstance(node.layer, nc.Softmax))
    row, column, channel = 1, 2, 3
    x = traced.run.input(node.index)[:, row : row + 1, column : column + 1]
    senders = dict(RULES[nc.Softmax].senders(Cell(traced, node, 0, (row, column, channel))))
    assert len(senders) == x.shape[-1]
    for k in range(x.shape[-1]):
        one = np.zeros_like(x)
        one[..., k] = 1.0
        sent = backward_node(node, traced.parameters, (x,), None, one, None).inputs[0]
        assert senders[row, column, k] == pytest.approx(sent[..., channel].item(), rel=1e-12, abs=1e-15)


def test_a_step_off_the_real_axis_finds_all_that_moves_with_a_cell() -> None:
    traced = traced_network("branches")
    node = next(node for node in traced.graph.nodes if isinstance(node.layer, nc.Softmax))
    cell = Cell(traced, node, 0, (1, 2, 3))
    found, want = dict(whole_image(cell)), dict(RULES[nc.Softmax].senders(cell))
    assert found == pytest.approx(want, rel=1e-12)
    assert found.keys() == want.keys()


def test_a_concatenation_names_where_each_channel_comes_from() -> None:
    model = make_model("branches")
    image = make_image(model)
    found = [steps(model, image, "wide.concat", channel) for channel in range(8)]
    sources = [(3, channel) for channel in range(3)] + [(6, channel) for channel in range(3)]
    assert [one.steps[0].source for one in found] == [*sources, (9, 0), (9, 1)]
    assert found[0].parts == ((0, 3), (3, 3), (6, 2))


def test_the_image_is_named_as_the_source_of_the_first_layer() -> None:
    model = nc.Model(nc.Sequential(nc.ReLU(), nc.Flatten()), (2, 2, 1), engine="reference")
    first, last = steps(model, np.full((2, 2, 1), 0.5), 0, 0).steps
    assert first == ChannelStep("input", "", first.values, None, (IMAGE, 0))
    assert (last.name, last.sign) == ("output", "f")


def test_layers_with_rooms_of_their_own_are_refused() -> None:
    model = make_model("colour")
    with pytest.raises(nc.SettingError, match=r"layer 0 \(Conv2d\) is not taken apart value by value"):
        steps(model, make_image(model), 0, 0)
    with pytest.raises(nc.SettingError, match="channel must be a whole number from 0 to 4, got 9"):
        steps(model, make_image(model), 1, 9)
