"""Gradients: held to finite differences, conserved where promised, and taken apart into what sends them."""

from __future__ import annotations

import numpy as np
import pytest

import neocog as nc
from explain.networks import NETWORKS, make_image, make_model
from neocog.explain.gradient import conserved, finite_difference, gradients, read_target, route
from neocog.explain.lesson import lesson_image, lesson_model
from neocog.nn.graph import IMAGE
from neocog.nn.shapes import ImageShape
from neocog.reference.loss import backward as backward_loss
from neocog.reference.loss import forward as forward_loss


@pytest.mark.parametrize("target", ["class:1", "loss:0"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_gradient_of_the_pixels_agrees_with_finite_differences(name: str, target: str) -> None:
    model = make_model(name)
    flow = gradients(model, make_image(model), target)
    found = finite_difference(flow)
    assert found.checked >= (1 if name == "one pixel" else 3)
    assert found.largest <= 1e-3


@pytest.mark.parametrize("target", ["class:1", "loss:0"])
def test_a_target_of_all_pixels_is_the_mean_of_theirs(target: str) -> None:
    model = make_model("pixel by pixel")
    flow = gradients(model, make_image(model), target)
    logits = flow.traced.logits
    assert logits.shape == (6, 7, 3)
    of_pixels = [flow.target.value(pixel) for row in logits for pixel in row]
    assert flow.value == pytest.approx(np.mean(of_pixels), rel=1e-12)
    np.testing.assert_allclose(
        flow.outputs[-1], [[flow.target.gradient(pixel) / 42 for pixel in row] for row in logits], rtol=1e-12
    )
    assert flow.traced.probabilities.sum() == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize(
    "loss",
    [
        nc.BinaryCrossEntropy(),
        nc.BinaryCrossEntropy(pos_weight=[1.0, 3.0, 0.5]),
        nc.CrossEntropy(label_smoothing=0.1),
        nc.MeanSquaredError(),
    ],
)
def test_the_loss_is_the_one_that_the_network_was_trained_with(loss: nc.Loss) -> None:
    net = nc.Sequential(nc.Conv2d(3, 3), nc.Tanh(), nc.Flatten(), nc.Linear(3))
    model = nc.Model(net, (5, 6, 1), seed=3, loss=loss)
    flow = gradients(model, make_image(model), "loss:1")
    logits = flow.traced.logits[None]
    target = np.array([1]) if isinstance(loss, nc.CrossEntropy) else np.array([[0.0, 1.0, 0.0]])
    assert flow.value == forward_loss(loss, logits, target)
    np.testing.assert_array_equal(flow.outputs[-1], backward_loss(loss, logits, target)[0])
    assert finite_difference(flow).largest <= 1e-3


def test_labels_have_a_probability_each_and_their_gradient_is_not_shared() -> None:
    net = nc.Sequential(nc.Flatten(), nc.Linear(3))
    model = nc.Model(net, (5, 6, 1), seed=3, loss=nc.BinaryCrossEntropy())
    image = make_image(model)
    flow = gradients(model, image, "loss:2")
    sigmoid = 1 / (1 + np.exp(-flow.traced.logits))
    np.testing.assert_allclose(flow.traced.probabilities, sigmoid, rtol=1e-12)
    np.testing.assert_allclose(flow.traced.probabilities, model.predict_proba(image[None])[0], rtol=1e-5)
    assert flow.traced.predicted == tuple(np.flatnonzero(model.predict(image[None])[0]))
    np.testing.assert_allclose(flow.outputs[-1], (sigmoid - [0, 0, 1]) / 3, rtol=1e-12)


def test_a_wrong_gradient_would_be_found() -> None:
    model = make_model("colour")
    flow = gradients(model, make_image(model), 1)
    flow.image[...] *= 1.01
    assert finite_difference(flow).largest > 5e-3


@pytest.mark.parametrize("name", ["grey", "colour", "four channels", "overlapping pools", "nested"])
def test_poolings_conserve_the_sum_where_they_promise_to(name: str) -> None:
    model = make_model(name)
    flow = gradients(model, make_image(model), 0)
    promised = 0
    for node in model.graph.nodes:
        if conserved(node):
            promised += 1
            assert flow.input(node.index).sum() == pytest.approx(flow.outputs[node.index].sum(), rel=1e-9, abs=1e-12)
    assert promised >= 1


def test_an_average_over_padding_promises_nothing_and_loses_some() -> None:
    model = make_model("overlapping pools")
    assert conserved(model.graph.nodes[3]) is False
    flow = gradients(model, make_image(model), 0)
    assert abs(flow.input(3).sum() - flow.outputs[3].sum()) > 1e-6


@pytest.mark.parametrize(
    "name", ["colour", "stride and dilation", "overlapping pools", "nested", "residual", "branches"]
)
def test_contributions_add_up_to_the_gradient_of_every_kind_of_layer(name: str) -> None:
    model = make_model(name)
    flow = gradients(model, make_image(model), 1)
    generator = np.random.default_rng(0)
    for node in model.graph.nodes:
        for position, shape in enumerate(node.shapes):
            sides = (shape.height, shape.width, shape.channels) if isinstance(shape, ImageShape) else (1, 1, shape.size)
            for _ in range(5):
                cell = tuple(int(generator.integers(side)) for side in sides)
                found = route(flow, node.index, *cell, position)
                assert found.contributions.sum() == pytest.approx(found.total, rel=1e-9, abs=1e-12), (node.title, cell)
                assert (np.diff(np.abs(found.contributions)) <= 0).all()


@pytest.mark.parametrize("name", ["residual", "branches"])
def test_what_layers_send_back_to_one_value_adds_up_to_its_gradient(name: str) -> None:
    model = make_model(name)
    flow = gradients(model, make_image(model), 1)
    graph, shared = model.graph, 0
    for value in (IMAGE, *(node.index for node in graph.nodes[:-1])):
        edges = [
            (node.index, position) for node in graph.nodes for position, of in enumerate(node.inputs) if of == value
        ]
        sent = [flow.sent(*edge) for edge in edges]
        np.testing.assert_allclose(sum(sent[1:], sent[0]), flow.of(value), rtol=1e-12, atol=1e-15)
        cell = tuple(side // 2 for side in flow.of(value).shape)
        row, column, channel = cell if len(cell) == 3 else (0, 0, *cell)
        routes = [route(flow, index, row, column, channel, position) for index, position in edges]
        assert sum(found.total for found in routes) == pytest.approx(routes[0].gradient, rel=1e-12, abs=1e-15)
        shared += len(edges) > 1
    assert shared >= 2


def test_max_pooling_sends_all_to_the_winner() -> None:
    flow = gradients(lesson_model(), lesson_image(), "falling line")
    winner, loser = route(flow, 1, 0, 0, 0), route(flow, 1, 0, 1, 0)
    assert (winner.total, winner.factors.tolist()) == (1.0, [1.0])
    assert (loser.total, loser.factors.tolist()) == (0.0, [0.0])


def test_targets_are_read_in_every_spelling() -> None:
    model = lesson_model()
    assert read_target(model, "upright line") == read_target(model, 1) == read_target(model, "class:1")
    assert read_target(model, "loss:0").kind == "loss"
    for wrong in ("class:2", 2, "line", "loss:-1"):
        with pytest.raises(nc.SettingError):
            read_target(model, wrong)


def test_a_loss_that_is_almost_nothing_is_no_mistake_of_the_gradient() -> None:
    model = make_model("colour")
    values = {name: np.array(value) for name, value in model.parameters.items()}
    values["4.bias"][1] += 28.0  # certain of class 1: its loss and the gradient of it lie below what float64 sees
    model.load_parameters(values)
    assert finite_difference(gradients(model, make_image(model), "loss:1")).largest <= 1e-3
