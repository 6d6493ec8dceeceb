"""The layers' shape rules and what they refuse, word for word."""

import pytest

from neocog.errors import SettingError, ShapeError
from neocog.nn.blocks import Sequential
from neocog.nn.layers import AvgPool2d, Conv2d, Dropout, Flatten, GroupNorm, LayerScale, Linear, MaxPool2d, ReLU
from neocog.nn.shapes import ImageShape, VectorShape

IMAGE = ImageShape(6, 6, 1)
VECTOR = VectorShape(10)


def test_shapes_of_the_worked_example():
    net = Sequential(Conv2d(2, 3, bias=False), MaxPool2d(2), Flatten())
    maps = net.layers[0].output_shape(IMAGE)
    assert maps == ImageShape(4, 4, 2)
    assert net.layers[1].output_shape(maps) == ImageShape(2, 2, 2)
    assert net.output_shape(IMAGE) == VectorShape(8, ImageShape(2, 2, 2))
    assert [v.shape for v in net.layers[0].variables(IMAGE)] == [(3, 3, 1, 2)]


@pytest.mark.parametrize(
    ("layer", "output"),
    [
        (Conv2d(4, 3, padding=1), ImageShape(7, 10, 4)),
        (Conv2d(4, 3, padding="same", stride=2), ImageShape(4, 5, 4)),
        (Conv2d(4, (1, 5), stride=(2, 3), padding=(0, 1)), ImageShape(4, 3, 4)),
        (Conv2d(4, 3, dilation=3), ImageShape(1, 4, 4)),
        (Conv2d(4, 3, 2, padding=((0, 1), (1, 0))), ImageShape(3, 5, 4)),
        (Conv2d(6, 3, padding=1, groups=3), ImageShape(7, 10, 6)),
        (MaxPool2d(), ImageShape(3, 5, 3)),
        (MaxPool2d(3, 2, 1), ImageShape(4, 5, 3)),
        (AvgPool2d((2, 3)), ImageShape(3, 3, 3)),
        (AvgPool2d(7, stride=1), ImageShape(1, 4, 3)),
        (ReLU(), ImageShape(7, 10, 3)),
        (Dropout(), ImageShape(7, 10, 3)),
        (Flatten(), VectorShape(210, ImageShape(7, 10, 3))),
    ],
)
def test_output_shapes(layer, output):
    assert layer.output_shape(ImageShape(7, 10, 3)) == output


def test_weights_lie_in_memory_as_the_field_writes_them():
    assert Conv2d(5, (2, 3)).variables(ImageShape(9, 9, 4))[0].shape == (2, 3, 4, 5)
    assert Conv2d(6, 3, groups=2).variables(ImageShape(9, 9, 4))[0].shape == (3, 3, 2, 6)
    assert Conv2d(8, 3, groups=4).variables(ImageShape(9, 9, 4))[0].shape == (3, 3, 1, 8)
    assert Linear(5).variables(VectorShape(7))[0].shape == (7, 5)
    assert MaxPool2d().variables(IMAGE) == ()


def test_a_vector_remembers_its_image_until_a_linear_mixes_it():
    flat = Flatten().output_shape(IMAGE)
    assert Dropout().output_shape(ReLU().output_shape(flat)) == VectorShape(36, IMAGE)
    assert Linear(3).output_shape(flat) == VectorShape(3)


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (
            Conv2d(1, 7),
            IMAGE,
            "Conv2d needs an input of at least 7 x 7 pixels, got 6 x 6\n"
            "  hint: remove a pooling layer, add padding=1, or train on larger images",
        ),
        (
            Conv2d(1, (9, 3), padding=(1, 0), dilation=(1, 2)),
            ImageShape(6, 4, 1),
            "Conv2d needs an input of at least 7 x 5 pixels, got 6 x 4\n"
            "  hint: remove a pooling layer, add padding=1, or train on larger images",
        ),
        (
            MaxPool2d(2),
            ImageShape(1, 5, 1),
            "MaxPool2d needs an input of at least 2 x 2 pixels, got 1 x 5\n"
            "  hint: remove a pooling layer, add padding=1, or train on larger images",
        ),
        (
            Conv2d(1),
            VECTOR,
            "Conv2d needs an image, got a vector of 10 values\n  hint: put it before Flatten, or remove the Flatten",
        ),
        (
            AvgPool2d(),
            VECTOR,
            "AvgPool2d needs an image, got a vector of 10 values\n  hint: put it before Flatten, or remove the Flatten",
        ),
        (
            Flatten(),
            VECTOR,
            "Flatten needs an image, got a vector of 10 values\n  hint: put it before Flatten, or remove the Flatten",
        ),
        (
            Linear(2),
            IMAGE,
            "Linear needs a vector, got 1 channel of 6 x 6 pixels\n  hint: put a Flatten() before it",
        ),
        (GroupNorm(4), ImageShape(6, 6, 6), "GroupNorm needs a multiple of 4 channels, got 6 channels of 6 x 6 pixels"),
        (
            GroupNorm(2),
            VECTOR,
            "GroupNorm needs an image, got a vector of 10 values\n  hint: put it before Flatten, or remove the Flatten",
        ),
    ],
)
def test_an_input_that_does_not_fit_is_refused(layer, shape, message):
    with pytest.raises(ShapeError) as caught:
        layer.output_shape(shape)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Conv2d(0), "Conv2d: channels must be an integer of at least 1, got 0"),
        (lambda: Conv2d(True), "Conv2d: channels must be an integer of at least 1, got True"),
        (lambda: Linear(2.0), "Linear: features must be an integer of at least 1, got 2.0"),
        (lambda: Conv2d(1, 0), "Conv2d: kernel must be an integer of at least 1, or a pair of them, got 0"),
        (lambda: Conv2d(1, stride=0), "Conv2d: stride must be an integer of at least 1, or a pair of them, got 0"),
        (lambda: Conv2d(1, dilation=0), "Conv2d: dilation must be an integer of at least 1, or a pair of them, got 0"),
        (lambda: Conv2d(1, padding=-1), "Conv2d: padding must be an integer of at least 0, or a pair of them, got -1"),
        (
            lambda: Conv2d(1, padding="valid"),
            "Conv2d: padding must be an integer of at least 0, or a pair of them, got 'valid'",
        ),
        (lambda: MaxPool2d(0), "MaxPool2d: window must be an integer of at least 1, or a pair of them, got 0"),
        (lambda: MaxPool2d(2, 0), "MaxPool2d: stride must be an integer of at least 1, or a pair of them, got 0"),
        (lambda: AvgPool2d(2, 2, -1), "AvgPool2d: padding must be an integer of at least 0, or a pair of them, got -1"),
        (
            lambda: MaxPool2d((4, 3), padding=3),
            "MaxPool2d: padding must be smaller than the window, got padding 3 for a window of 3 pixels",
        ),
        (lambda: Dropout(1.0), "Dropout: rate must lie in [0, 1), got 1.0"),
        (lambda: Dropout(-0.1), "Dropout: rate must lie in [0, 1), got -0.1"),
        (lambda: Dropout(float("nan")), "Dropout: rate must lie in [0, 1), got nan"),
        (lambda: GroupNorm(0), "GroupNorm: groups must be an integer of at least 1, got 0"),
        (lambda: LayerScale(0.0), "LayerScale: start must be a number other than 0, got 0.0"),
        (lambda: LayerScale("a"), "LayerScale: start must be a number other than 0, got 'a'"),
        (lambda: GroupNorm(2, 0.0), "GroupNorm: epsilon must be above 0, got 0.0"),
        (lambda: Sequential(Conv2d(1), 3), "Sequential: item 1 must be a layer, got 3"),
        (lambda: Sequential([ReLU()]), "Sequential: item 0 must be a layer, got [ReLU()]"),
    ],
)
def test_a_setting_out_of_its_range_is_refused(make, message):
    with pytest.raises(SettingError) as caught:
        make()
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("make", "hint"),
    [
        (lambda: Sequential(ReLU), "write ReLU(...)"),
        (lambda: Sequential([ReLU()]), "pass layers one by one"),
        (lambda: MaxPool2d(2, padding=2), "a window that sees nothing but padding has no largest value"),
        (lambda: Conv2d(1, (1, 2, 3)), "write kernel=(vertical, horizontal) for a rectangle"),
    ],
)
def test_hints_say_what_to_do(make, hint):
    with pytest.raises(SettingError) as caught:
        make()
    assert caught.value.hint == hint


def test_a_network_prints_as_it_is_written():
    assert repr(Sequential(Linear(2), Sequential(ReLU()))) == (
        "Sequential(Linear(features=2, bias=True), Sequential(ReLU()))"
    )


def test_layers_are_frozen_and_compare_by_value():
    assert Sequential(Conv2d(2, 3), ReLU()) == Sequential(Conv2d(2, 3), ReLU())
    assert hash(Conv2d(2)) == hash(Conv2d(2))
    with pytest.raises(AttributeError):
        Conv2d(2).channels = 3
