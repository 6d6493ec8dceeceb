"""Tracing a network: names, shapes, and errors that say where."""

import pytest

from neocog.errors import SettingError, ShapeError
from neocog.nn.blocks import Sequential
from neocog.nn.graph import Normalisation, trace
from neocog.nn.layers import AvgPool2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU
from neocog.nn.shapes import ImageShape, VectorShape
from neocog.nn.zoo import article


def test_nodes_carry_the_names_that_pytorch_writes():
    net = Sequential(
        Conv2d(2), Sequential(ReLU(), Sequential(MaxPool2d(2))), Sequential(), Flatten(), Sequential(Linear(3))
    )
    graph = trace(net, (6, 6, 1))
    assert [node.name for node in graph.nodes] == ["0", "1.0", "1.1.0", "3", "4.0"]
    assert [node.index for node in graph.nodes] == [0, 1, 2, 3, 4]
    assert graph.nodes[2].title == "layer 1.1.0 (MaxPool2d)"


def test_shapes_flow_from_layer_to_layer():
    graph = trace(article(10), ImageShape(28, 28, 1))
    assert graph.input == ImageShape(28, 28, 1)
    assert graph.nodes[5].output == ImageShape(5, 5, 64)
    assert graph.output == VectorShape(10)
    assert all(one.output == other.input for one, other in zip(graph.nodes, graph.nodes[1:], strict=False))


def test_the_features_are_what_the_flatten_gives():
    graph = trace(Sequential(Conv2d(2), Flatten(), Dropout(), Linear(3)), (6, 6, 1))
    assert graph.feature_node == 1


@pytest.mark.parametrize(
    ("net", "shape", "message"),
    [
        (
            Sequential(Conv2d(64, 3), MaxPool2d(2), Conv2d(8, 3)),
            (6, 6, 1),
            "layer 2 (Conv2d) needs an input of at least 3 x 3 pixels, got 2 x 2\n"
            "  input: layer 1 (MaxPool2d) gives 64 channels of 2 x 2 pixels\n"
            "  hint: remove a pooling layer, add padding=1, or train on larger images",
        ),
        (
            Sequential(Sequential(Linear(10))),
            (6, 6, 1),
            "layer 0.0 (Linear) needs a vector, got 1 channel of 6 x 6 pixels\n"
            "  input: the image gives 1 channel of 6 x 6 pixels\n"
            "  hint: put a Flatten() before it",
        ),
        (
            Sequential(Flatten(), AvgPool2d(2)),
            (2, 2, 3),
            "layer 1 (AvgPool2d) needs an image, got a vector of 12 values\n"
            "  input: layer 0 (Flatten) gives a vector of 12 values\n"
            "  hint: put it before Flatten, or remove the Flatten",
        ),
        (Sequential(), (6, 6, 1), "a network needs at least one layer, got none"),
        (
            Sequential(Flatten()),
            (28, 28),
            "input_shape must be (height, width, channels), got (28, 28)\n"
            "  hint: a grey image of 28 x 28 pixels is (28, 28, 1)",
        ),
        (Sequential(Flatten()), (0, 6, 1), "input_shape must hold numbers from 1 to 65536, got (0, 6, 1)"),
        (
            Sequential(Flatten()),
            ImageShape(1, 70000, 1),
            "input_shape must hold numbers from 1 to 65536, got (1, 70000, 1)",
        ),
    ],
)
def test_a_network_that_does_not_fit_is_refused(net, shape, message):
    with pytest.raises(ShapeError) as caught:
        trace(net, shape)
    assert str(caught.value) == message


def test_normalisation_spreads_one_number_over_all_channels():
    assert Normalisation((0.5,), (1.0, 2.0)).per_channel(2) == ((0.5, 0.5), (1.0, 2.0))


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ((float("inf"),), (1.0,), "mean must be finite, got (inf,)"),
        ((0.0,), (0.0,), "std must be finite and above 0, got (0.0,)"),
        ((0.0,), (float("nan"),), "std must be finite and above 0, got (nan,)"),
        ((0.0, 0.0), (1.0,), "mean must hold 1 or 3 numbers, got 2"),
        ((0.0,), (1.0, 1.0), "std must hold 1 or 3 numbers, got 2"),
    ],
)
def test_a_normalisation_that_cannot_be_is_refused(mean, std, message):
    with pytest.raises(SettingError) as caught:
        trace(Sequential(Flatten()), (2, 2, 3), Normalisation(mean, std))
    assert str(caught.value) == message
