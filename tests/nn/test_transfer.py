"""Networks made of parts of others."""

import pytest

from neocog.errors import SettingError
from neocog.nn.blocks import Residual, Sequential
from neocog.nn.graph import trace
from neocog.nn.layers import (
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    ReLU,
)
from neocog.nn.parameters import variables_of
from neocog.nn.transfer import features_of, head_alone, head_of, node_of, up_to, with_head, with_norms
from neocog.nn.zoo import MODELS

PLAIN = Sequential(Conv2d(4, 3, padding=1), ReLU(), GlobalAvgPool2d(), Dropout(0.5), Linear(10))


def names(graph):
    return [(node.name, type(node.layer).__name__) for node in graph.nodes]


def test_a_new_head_takes_the_name_of_the_old_one_and_keeps_what_drops_before_it():
    made = with_head(trace(PLAIN, (8, 8, 3)), 3)
    assert names(made)[2:] == [("2", "GlobalAvgPool2d"), ("3", "Dropout"), ("4", "Linear")]
    assert made.classes == 3


def test_a_head_that_is_a_convolution_becomes_a_mean_and_a_linear():
    net = Sequential(Conv2d(4, 3), ReLU(), Conv2d(10, 1), ReLU(), GlobalAvgPool2d())
    made = with_head(trace(net, (8, 8, 3)), 3)
    assert names(made)[2:] == [("pool", "GlobalAvgPool2d"), ("2", "Linear")]
    assert features_of(made) == 4


def test_a_network_that_ends_in_features_gets_its_first_head():
    net = Sequential(Conv2d(4, 3), Residual(Sequential(ReLU(), Conv2d(4, 3, padding=1))), GlobalAvgPool2d())
    made = with_head(trace(net, (8, 8, 3)), 3)
    assert names(made)[-2:] == [("2", "GlobalAvgPool2d"), ("head", "Linear")]


@pytest.mark.parametrize("name", MODELS)
def test_every_known_network_takes_a_new_head_that_stands_alone_too(name):
    known = MODELS[name]
    graph = trace(known.make(known.classes), known.image)
    made = with_head(graph, 3)
    assert made.classes == 3
    assert with_head(made, 3) == made
    body = {(p.name, p.shape) for p in variables_of(made) if p.node is not made.nodes[-1]}
    assert body <= {(p.name, p.shape) for p in variables_of(graph)}
    alone = {p.name: p.shape for p in variables_of(head_alone(made))}
    assert alone == {p.name: p.shape for p in variables_of(made) if p.node is made.nodes[-1]}


def test_a_network_that_is_a_head_alone_has_no_body():
    with pytest.raises(SettingError, match="layers before it, got layer 0"):
        head_of(trace(Conv2d(3, 6), (6, 6, 1)))


def test_up_to_a_layer_nothing_else_is_left():
    net = Sequential(
        Conv2d(4, 3, padding=1), Residual(Sequential(ReLU(), Conv2d(4, 3, padding=1))), Flatten(), Linear(2)
    )
    graph = trace(net, (8, 8, 3))
    assert names(up_to(graph, "1.body.0")) == [("0", "Conv2d"), ("1.body.0", "ReLU")]
    assert names(up_to(graph, 0, pooled=True)) == [("0", "Conv2d"), ("pool", "GlobalAvgPool2d")]
    assert names(up_to(graph, "3", pooled=True)) == names(graph)


def test_a_layer_that_is_not_there_is_told_with_those_that_are():
    graph = trace(PLAIN, (8, 8, 3))
    with pytest.raises(SettingError, match="no layer 'conv1'") as refused:
        node_of(graph, "conv1")
    assert "layers: 0 (Conv2d), 1 (ReLU), 2 (GlobalAvgPool2d)" in refused.value.details[0]
    with pytest.raises(SettingError, match="no layer 5"):
        node_of(graph, 5)
    assert node_of(graph, -1).name == "4"


def test_normalizations_are_frozen_and_let_go_again():
    graph = trace(Sequential(Conv2d(4, 3), BatchNorm2d(0.2), ReLU(), Flatten(), Linear(2)), (8, 8, 3))
    frozen = with_norms(graph, frozen=True)
    assert [node.layer.frozen for node in frozen.nodes if isinstance(node.layer, BatchNorm2d)] == [True]
    assert [(p.name, p.shape) for p in variables_of(frozen)] == [(p.name, p.shape) for p in variables_of(graph)]
    assert with_norms(frozen, frozen=False).nodes == graph.nodes
    assert with_norms(graph, frozen=False) is graph
