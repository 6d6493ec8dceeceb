"""Layers that move values, or enlarge: shapes, messages, and how the functional form writes them."""

import pytest

from neocog.errors import SettingError, ShapeError
from neocog.nn.layers import ChannelShuffle, Conv2d, ConvTranspose2d, Flatten, PixelShuffle, Slice, Upsample
from neocog.nn.shapes import ImageShape, VectorShape
from neocog.nn.symbol import Input


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (Slice(2, 2), ImageShape(2, 2, 4), "needs at least one channel between its start and its stop"),
        (Slice(0, 5), ImageShape(2, 2, 4), "both within the 4 that there are, got start 0 and stop 5"),
        (Slice(-5), VectorShape(4), "got start -5 and stop None"),
        (ChannelShuffle(4), ImageShape(2, 2, 6), "channels that 4 groups share evenly, got 6"),
        (ChannelShuffle(2), VectorShape(4), "ChannelShuffle needs an image, got a vector of 4 values"),
        (
            ConvTranspose2d(2, 2, padding=2),
            ImageShape(2, 3, 6),
            "cuts off more than there is: 2 x 3 pixels become -1 x 0",
        ),
        (Upsample(2), VectorShape(4), "Upsample needs an image, got a vector of 4 values"),
        (PixelShuffle(2), ImageShape(2, 2, 6), "PixelShuffle needs a multiple of 2 x 2 = 4 channels, got 6"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(layer, shape, message):
    with pytest.raises(ShapeError, match=message):
        layer.output_shape(shape)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Slice(0.5), "Slice: start must be an integer of at most 16,777,216 in size, got 0.5"),
        (lambda: Slice(None), "Slice: start must be an integer"),
        (lambda: Slice(0, True), "Slice: stop must be an integer"),
        (lambda: ChannelShuffle(0), "ChannelShuffle: groups must be an integer of at least 1, got 0"),
        (lambda: ConvTranspose2d(2, 3, 2, 0, (1, 2)), r"output_padding must be smaller than the stride, got \(1, 2\)"),
        (lambda: ConvTranspose2d(0), "ConvTranspose2d: channels must be an integer of at least 1, got 0"),
        (lambda: Upsample(1.5), "Upsample: scale must be an integer of at least 1, or a pair of them, got 1.5"),
        (lambda: Upsample(2, "cubic"), 'Upsample: mode must be "nearest" or "bilinear", got .cubic.'),
        (lambda: PixelShuffle(1 << 20), "PixelShuffle: factor must be at most 65,536"),
    ],
)
def test_settings_are_checked(make, message):
    with pytest.raises(SettingError, match=message):
        make()


def test_symbols_are_sliced_as_arrays_are():
    y = Conv2d(8, 1)(Input((4, 4, 3)))
    for symbol, layer in (
        (y[..., 2:5], Slice(2, 5)),
        (y[..., :3], Slice(0, 3)),
        (y[..., -2:], Slice(-2)),
        (Flatten()(y)[..., 1:], Slice(1)),
    ):
        assert symbol.layer == layer
    assert [part.layer for part in y.split(2)] == [Slice(0, 4), Slice(4, 8)]
    assert [part.shape.channels for part in y.split((1, 5, 2))] == [1, 5, 2]


@pytest.mark.parametrize("place", [0, slice(0, 2), (..., 1), (0, slice(0, 2)), (..., slice(0, 4, 2))], ids=str)
def test_other_places_are_refused(place):
    with pytest.raises(SettingError, match=r"channels are taken as in x\[..., 2:5\], without a step"):
        Conv2d(8, 1)(Input((4, 4, 3)))[place]


@pytest.mark.parametrize("parts", [3, 0, -1, 9, True, (3, 4), (8, 0), (), (4.0, 4.0), "ab", None], ids=str)
def test_parts_that_do_not_add_up_are_refused(parts):
    with pytest.raises(SettingError, match=r"split: the 8 channels of Conv2d must be cut into equal parts"):
        Conv2d(8, 1)(Input((4, 4, 3))).split(parts)
