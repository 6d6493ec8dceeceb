"""Where a filter's answer is read."""

from __future__ import annotations

from neocog.nn.answer import activation_behind, answer_path, only_consumer
from neocog.nn.blocks import Sequential
from neocog.nn.graph import IMAGE, Graph, trace
from neocog.nn.layers import Add, BatchNorm2d, Conv2d, Dropout, MaxPool2d, PReLU, ReLU, SiLU
from neocog.nn.symbol import Input


def test_an_answer_is_read_behind_the_normalization_and_the_activation_of_a_convolution() -> None:
    layers = (Conv2d(2, 3), BatchNorm2d(), SiLU(), Conv2d(2, 1), PReLU(), Conv2d(2, 1), BatchNorm2d(), MaxPool2d(2))
    graph = trace(Sequential(*layers), (8, 8, 1))
    assert [answer_path(graph, index) for index in (0, 3, 5)] == [(0, 1, 2), (3, 4), (5, 6)]
    assert activation_behind(graph, 0) is None
    assert activation_behind(graph, 3) == 4


def test_what_does_not_follow_directly_does_not_belong_to_it() -> None:
    layers = (Conv2d(2, 3), Dropout(), ReLU(), Conv2d(2, 1), ReLU(), BatchNorm2d(), ReLU())
    graph = trace(Sequential(*layers), (8, 8, 1))
    assert answer_path(graph, 0) == (0,)
    assert answer_path(graph, 3) == (3, 4)


def test_a_value_that_another_layer_takes_too_is_the_answer_itself() -> None:
    x = Input((8, 8, 1))
    first = Conv2d(2, 3)(x)
    graph = Graph(x, Add()(ReLU()(first), first))
    assert answer_path(graph, 0) == (0,)
    assert activation_behind(graph, 0) is None
    assert only_consumer(graph, IMAGE) == 0
    twice = Graph(x, Add()(first, first))
    assert only_consumer(twice, 0) is None
