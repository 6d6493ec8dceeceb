"""The known networks take the images that they say they take."""

import pytest

from neocog.errors import SettingError, ShapeError
from neocog.nn.graph import trace
from neocog.nn.layers import Conv2d
from neocog.nn.parameters import parameters_of
from neocog.nn.shapes import ImageShape
from neocog.nn.zoo import MODELS, article, default_net, lenet5, make_net


@pytest.mark.parametrize(("name", "side"), [("article", 28), ("lenet5", 28), ("photo", 96), ("vgg", 32)])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_network_ends_in_its_classes(name, side, channels):
    graph = trace(make_net(name, ImageShape(side, side, channels), 7), (side, side, channels))
    assert graph.classes == 7


def test_the_networks_are_those_listed():
    assert sorted(MODELS) == ["article", "lenet5", "photo", "vgg"]


@pytest.mark.parametrize(("make", "least"), [(article, 10), (lenet5, 12)])
def test_the_least_image_is_the_stated_one(make, least):
    trace(make(), (least, least, 1))
    with pytest.raises(ShapeError):
        trace(make(), (least - 1, least - 1, 1))


def test_lenet5_has_the_known_number_of_parameters():
    graph = trace(lenet5(), (28, 28, 1))
    assert sum(parameter.size for parameter in parameters_of(graph)) == 61_706


@pytest.mark.parametrize("side", [1, 2, 3, 5, 6, 7, 11, 12, 28, 32, 47, 48, 64, 96, 224])
def test_the_default_network_fits_every_size(side):
    graph = trace(default_net(ImageShape(side, side + 3, 3), 4), (side, side + 3, 3))
    assert graph.classes == 4
    last = [node for node in graph.nodes if isinstance(node.layer, Conv2d)][-1]
    assert min(last.input.height, last.input.width) >= min(3, side)


def test_auto_is_the_default_network():
    image = ImageShape(28, 28, 1)
    assert make_net("auto", image, 10) == default_net(image, 10)


def test_an_unknown_network_is_refused_with_the_known_ones():
    with pytest.raises(SettingError) as caught:
        make_net("resnet", ImageShape(28, 28, 1), 10)
    assert str(caught.value) == "unknown model 'resnet'\n  hint: known models: auto, article, lenet5, photo, vgg"
