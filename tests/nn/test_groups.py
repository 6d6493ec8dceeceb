"""Which rule each parameter is trained by: decay, groups, and what is frozen."""

import math

import pytest

from neocog.errors import SettingError
from neocog.nn.blocks import Sequential
from neocog.nn.graph import Graph, trace
from neocog.nn.groups import Group, UpdateRule, frozen_parameters, rules_of
from neocog.nn.layers import BatchNorm2d, Conv2d, Flatten, Linear, ReLU
from neocog.nn.optimizers import SGD, AdamW
from neocog.nn.symbol import Input

GRAPH = trace(
    Sequential(Conv2d(4, 3), BatchNorm2d(), ReLU(), Sequential(Conv2d(4, 3), ReLU()), Flatten(), Linear(2)), (8, 8, 1)
)
OPTIMIZER = AdamW(weight_decay=0.3)
PLAIN, BARE = UpdateRule(OPTIMIZER), UpdateRule(AdamW(weight_decay=0.0))


def test_weights_of_convolutions_and_linear_layers_decay_and_nothing_else_does():
    assert rules_of(GRAPH, OPTIMIZER) == {
        "0.weight": PLAIN,
        "0.bias": BARE,
        "1.weight": BARE,
        "1.bias": BARE,
        "3.0.weight": PLAIN,
        "3.0.bias": BARE,
        "5.weight": PLAIN,
        "5.bias": BARE,
    }


def test_a_group_changes_the_rate_and_keeps_the_decay_that_it_does_not_name():
    rules = rules_of(GRAPH, OPTIMIZER, (Group("3", learning_rate=0.5),))
    assert rules["3.0.weight"] == UpdateRule(OPTIMIZER, 0.5)
    assert rules["3.0.bias"] == UpdateRule(AdamW(weight_decay=0.0), 0.5)
    assert rules["0.weight"] == PLAIN


def test_a_groups_decay_is_for_all_that_match():
    rules = rules_of(GRAPH, OPTIMIZER, (Group("*.bias", weight_decay=0.1),))
    assert {name for name, rule in rules.items() if rule == UpdateRule(AdamW(weight_decay=0.1))} == {
        "0.bias",
        "1.bias",
        "3.0.bias",
        "5.bias",
    }


def test_the_last_group_that_matches_counts():
    rules = rules_of(GRAPH, SGD(), (Group("*", 0.5), Group("5.weight", 2.0), Group("[01]", 0.25)))
    assert [rule.learning_rate for rule in rules.values()] == [0.25, 0.25, 0.25, 0.25, 0.5, 0.5, 2.0, 0.5]


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        ((), set()),
        (("0",), {"0.weight", "0.bias"}),
        (("3.*",), {"3.0.weight", "3.0.bias"}),
        (("3.0.bias", "1.w*"), {"3.0.bias", "1.weight"}),
        (("[!5]*",), {"0.weight", "0.bias", "1.weight", "1.bias", "3.0.weight", "3.0.bias"}),
    ],
)
def test_patterns_name_parameters_layers_and_blocks(patterns, names):
    assert frozen_parameters(GRAPH, patterns) == names
    rules = rules_of(GRAPH, SGD(), frozen=patterns)
    assert set(rules) == {name for name in rules_of(GRAPH, SGD()) if name not in names}


@pytest.mark.parametrize("pattern", ["2", "0.weights", "1.running_mean", "", "Conv2d"])
def test_a_pattern_that_matches_nothing_says_what_there_is(pattern):
    for settings in ({"groups": (Group(pattern),)}, {"frozen": (pattern,)}):
        with pytest.raises(SettingError, match="no parameter matches") as caught:
            rules_of(GRAPH, SGD(), **settings)
        assert "0.weight, 0.bias, 1.weight" in str(caught.value)


def test_a_name_with_brackets_means_itself_too():
    x = Input((4, 4, 1))
    graph = Graph(x, Linear(2)(Flatten()(Conv2d(2, 1)(x, name="a[0]")), name="a0"))
    assert frozen_parameters(graph, ["a[0]"]) == {"a[0].weight", "a[0].bias", "a0.weight", "a0.bias"}


def test_a_group_may_end():
    rules = rules_of(GRAPH, SGD(), (Group("0", 0.5, steps=3),))
    assert [rules["0.weight"].rate(step) for step in (1, 3, 4)] == [0.5, 0.5, 0.0]
    assert [rules["1.weight"].rate(step) for step in (1, 1000)] == [1.0, 1.0]
    with pytest.raises(SettingError, match="steps must be an integer of at least 1, got 0"):
        Group("0", steps=0)


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_a_group_refuses_impossible_numbers(value):
    with pytest.raises(SettingError, match="learning_rate must be 0 or more"):
        Group("0", value)
    with pytest.raises(SettingError, match="weight_decay must be 0 or more"):
        Group("0", weight_decay=value)
