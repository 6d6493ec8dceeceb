"""Parameters lie in groups that are trained alike, matrices before vectors; frozen ones behind, buffers apart."""

from __future__ import annotations

from itertools import pairwise

import pytest

from neocog.nn.blocks import Sequential
from neocog.nn.graph import trace
from neocog.nn.groups import Group, rules_of
from neocog.nn.layers import BatchNorm2d, Conv2d, Flatten, Linear, ReLU
from neocog.nn.optimizers import SGD, AdamW
from neocog.nn.parameters import variables_of
from neocog.plan.layout import Panels, Vectors
from neocog.plan.parameters import BUFFERS, GRADIENTS, PARAMETERS, ParameterLayout, lay_out_parameters
from neocog.target.processor import Target

GRAPH = trace(
    Sequential(Conv2d(20, 3), BatchNorm2d(), ReLU(), Conv2d(7, 2, bias=False), Flatten(), Linear(3)), (8, 9, 2)
)
TARGETS = [Target("x86_64-unknown-linux-gnu", "test", "", lanes, 16, True) for lanes in (4, 8, 16)]
GROUPS = (Group("0", 0.5), Group("5.weight", weight_decay=0.0))


def laid_out(target: Target, **settings: tuple[object, ...]) -> ParameterLayout:
    return lay_out_parameters(GRAPH, target, rules_of(GRAPH, AdamW(weight_decay=0.25), **settings))


@pytest.mark.parametrize("target", TARGETS)
def test_variables_lie_one_behind_another_in_whole_vectors(target: Target) -> None:
    layouts = [
        lay_out_parameters(GRAPH, target),
        laid_out(target),
        laid_out(target, groups=GROUPS),
        laid_out(target, groups=GROUPS, frozen=("0.weight", "1")),
        laid_out(target, frozen=("*",)),
    ]
    for layout in layouts:
        assert list(layout.places) == [variable.name for variable in variables_of(GRAPH)]
        for block, size in layout.sizes.items():
            places = sorted(
                (p for p in layout.places.values() if p.name == block), key=lambda p: (p.offset, p.offset + p.size)
            )
            assert all(place.offset % target.lanes == place.size % target.lanes == 0 for place in places)
            ends = [0, *(place.offset + place.size for place in places)]
            assert [place.offset for place in places] == ends[:-1]
            assert ends[-1] == size


@pytest.mark.parametrize("target", TARGETS)
def test_a_segment_holds_the_parameters_of_its_rule_and_no_others(target: Target) -> None:
    for settings in ({}, {"groups": GROUPS}, {"groups": GROUPS, "frozen": ("0.weight", "1")}):
        layout, rules = laid_out(target, **settings), rules_of(GRAPH, AdamW(weight_decay=0.25), **settings)
        assert [range_.first for range_ in layout.ranges] == [0, *(s.end for s in layout.ranges[:-1])]
        assert len({range_.rule for range_ in layout.ranges}) == len(layout.ranges)
        for variable in variables_of(GRAPH):
            place = layout.places[variable.name]
            here = [s.rule for s in layout.ranges if s.first <= place.offset < s.end and place.name == PARAMETERS]
            assert here == ([rules[variable.name]] if variable.name in rules else [])


def test_matrices_lie_before_vectors_in_each_group() -> None:
    layout = laid_out(TARGETS[0], groups=(Group("0", 0.5, weight_decay=0.25),))
    for range_ in layout.ranges:
        kinds = [
            type(place)
            for place in sorted(layout.places.values(), key=lambda p: p.offset)
            if place.name == PARAMETERS and range_.first <= place.offset < range_.end
        ]
        assert (Vectors, Panels) not in list(pairwise(kinds))


def test_one_rule_needs_one_segment() -> None:
    layout = lay_out_parameters(GRAPH, TARGETS[0], rules_of(GRAPH, SGD(momentum=0.9)))
    assert [(range_.first, range_.end) for range_ in layout.ranges] == [(0, layout.size)]


def test_buffers_lie_apart_where_a_program_trains_and_with_the_parameters_where_it_answers() -> None:
    for layout, block in ((laid_out(TARGETS[0]), BUFFERS), (lay_out_parameters(GRAPH, TARGETS[0]), PARAMETERS)):
        for name in ("1.running_mean", "1.running_var"):
            assert layout.places[name].name == block
        assert (layout.sizes[BUFFERS] > 0) == (block == BUFFERS)


def test_weights_that_one_image_alone_reads_lie_in_wide_panels() -> None:
    """Each is used once there: what counts is how many sums run beside each other. They are cut as elsewhere."""
    graph = trace(Sequential(Flatten(), Linear(64), ReLU(), Linear(3)), (8, 8, 1))
    target = Target("x86_64-unknown-linux-gnu", "test", "", 4, 16, fma=False)
    shared, alone = (lay_out_parameters(graph, target, batch=batch).weights(graph.nodes[1]) for batch in (None, 1))
    assert alone.width == 8 * target.lanes > shared.width
    assert alone.usual == shared.width
    assert lay_out_parameters(graph, target, batch=1).weights(graph.nodes[3]).width == target.lanes


def test_a_gradient_lies_like_what_it_is_for() -> None:
    layout, node = laid_out(TARGETS[1]), GRAPH.nodes[0]
    weights, gradient = layout.weights(node), layout.weight_gradient(node)
    assert (gradient.name, gradient.offset, gradient.size) == (GRADIENTS, weights.offset, weights.size)
    bias, sums = layout.bias(node), layout.bias_gradient(node)
    assert bias is not None
    assert sums is not None
    assert (sums.name, sums.offset, sums.channels) == (GRADIENTS, bias.offset, 20)
    assert layout.bias(GRAPH.nodes[3]) is layout.bias_gradient(GRAPH.nodes[3]) is None
