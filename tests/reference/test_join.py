"""Add, Multiply and Concatenate, in a graph whose values have several consumers."""

import numpy as np
import pytest

from neocog.nn.graph import Graph
from neocog.nn.layers import Add, Concatenate, Flatten, Linear, Multiply, ReLU
from neocog.nn.symbol import Input
from neocog.reference import join
from neocog.reference.network import IMAGE, backward, forward


def test_a_product_sends_each_factor_the_others():
    a, b, c = np.array([2.0]), np.array([3.0]), np.array([5.0])
    assert join.product((a, b, c)).item() == 30
    assert [x.item() for x in join.multiply_backward((a, b, c), np.array([10.0]))] == [150, 100, 60]


def test_a_zero_among_the_factors_still_sends_the_others():
    sent = join.multiply_backward((np.array([0.0]), np.array([3.0])), np.array([1.0]))
    assert [x.item() for x in sent] == [3, 0]


def test_what_was_laid_side_by_side_is_cut_again():
    parts = join.split(np.arange(12.0).reshape(2, 6), [1, 3, 2])
    assert [part.tolist() for part in parts] == [[[0], [6]], [[1, 2, 3], [7, 8, 9]], [[4, 5], [10, 11]]]


def test_gradients_of_several_consumers_add_up():
    x = Input((1, 1, 2))
    flat = Flatten()(x)
    net = Graph(x, Concatenate()(Add()(flat, flat, flat), Multiply()(flat, flat), ReLU()(flat)))
    run = forward(net, {}, np.array([[[[3.0, -5.0]]]]))
    assert run.logits.tolist() == [[9, -15, 9, 25, 3, 0]]
    found = backward(net, {}, run, np.array([[1.0, 10.0, 100.0, 1000.0, 7.0, 7.0]]), image=True)
    assert found.image.ravel().tolist() == [3 + 100 * 6 + 7, 30 + 1000 * -10]
    assert found.outputs[IMAGE].shape == (1, 1, 1, 2)


def test_a_branch_behind_which_nothing_is_learnt_gets_no_gradient():
    x = Input((1, 1, 2))
    flat = Flatten()(x)
    net = Graph(x, Add()(Linear(2)(flat, name="learns"), ReLU()(flat, name="passes")))
    parameters = {"learns.weight": np.eye(2), "learns.bias": np.zeros(2)}
    run = forward(net, parameters, np.ones((1, 1, 1, 2)))
    assert [net.nodes[number].name for number in backward(net, parameters, run, np.ones((1, 2))).outputs] == [
        "3",
        "learns",
    ]


def test_a_backward_pass_may_start_before_a_branch_joins():
    x = Input((1, 1, 1))
    flat = Flatten()(x)
    double = Add()(flat, flat)
    net = Graph(x, Multiply()(double, flat))
    run = forward(net, {}, np.full((1, 1, 1, 1), 4.0))
    place = next(node.index for node in net.nodes if isinstance(node.layer, Add))
    found = backward(net, {}, run, np.ones((1, 1)), start=place, image=True)
    assert found.image.item() == pytest.approx(2)
