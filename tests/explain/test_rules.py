"""The table of rules: every layer is in it, and what is not is never guessed."""

from __future__ import annotations

import pytest

import neocog as nc
from neocog.explain.rules import RULES, rule_of
from neocog.nn.answer import ACTIVATIONS
from neocog.nn.layers import LAYERS
from neocog.nn.shapes import ImageShape
from neocog.nn.wiring import Node


def test_every_layer_is_explained() -> None:
    assert set(LAYERS) <= set(RULES)


def test_every_function_of_one_value_has_the_same_rule() -> None:
    kinds = [kind for kind in LAYERS if issubclass(kind, ACTIVATIONS)]
    assert nc.PReLU in kinds
    assert len({id(RULES[kind]) for kind in kinds}) == 1


def test_an_unknown_layer_is_never_taken_for_one_that_does_nothing() -> None:
    class Mystery(nc.Layer):
        pass

    shape = ImageShape(1, 1, 1)
    with pytest.raises(nc.SettingError, match=r"layer 0 \(Mystery\) is not explained yet"):
        rule_of(Node(0, "0", Mystery(), (-1,), (shape,), shape))
