"""The known networks take the images that they say they take."""

import pytest

from neocog.errors import SettingError, ShapeError
from neocog.nn.graph import trace
from neocog.nn.layers import BatchNorm2d, Conv2d
from neocog.nn.parameters import parameters_of, variables_of
from neocog.nn.shapes import ImageShape
from neocog.nn.zoo import MODELS, article, default_net, lenet5, make_net, resnet18, resnet20


@pytest.mark.parametrize(
    ("name", "side"),
    [("article", 28), ("lenet5", 28), ("photo", 96), ("resnet18", 96), ("resnet20", 32), ("vgg", 32)],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_network_ends_in_its_classes(name, side, channels):
    graph = trace(make_net(name, ImageShape(side, side, channels), 7), (side, side, channels))
    assert graph.classes == 7


def test_the_networks_are_those_listed():
    assert sorted(MODELS) == ["article", "lenet5", "photo", "resnet18", "resnet20", "vgg"]


@pytest.mark.parametrize(("make", "least"), [(article, 10), (lenet5, 12)])
def test_the_least_image_is_the_stated_one(make, least):
    trace(make(), (least, least, 1))
    with pytest.raises(ShapeError):
        trace(make(), (least - 1, least - 1, 1))


@pytest.mark.parametrize(
    ("net", "image", "count"),
    [
        (lenet5(), (28, 28, 1), 61_706),
        (resnet18(1000), (224, 224, 3), 11_689_512),  # as torchvision states it
        (resnet18(10), (96, 96, 3), 11_181_642),
        (resnet20(), (32, 32, 3), 269_722 + 2_752),  # "0.27 M", and the two 1 x 1 shortcuts with their normalization
    ],
)
def test_a_network_has_the_published_number_of_parameters(net, image, count):
    assert sum(parameter.size for parameter in parameters_of(trace(net, image))) == count


def test_a_resnet_keeps_what_torchvisions_does_under_the_same_names():
    """By PyTorch's names a state dict of torchvision fits; only its counters of batches are missing."""
    kept = {p.name: p.shape for p in variables_of(trace(resnet18(1000), (224, 224, 3)))}
    assert len(kept) == 102
    blocks = {name.rsplit(".", 2)[0] for name in kept if name.startswith("layer")}
    assert blocks == {f"layer{s}.{b}" for s in (1, 2, 3, 4) for b in (0, 1)} | {
        f"layer{s}.0.downsample" for s in (2, 3, 4)
    }
    assert kept["conv1.weight"] == (7, 7, 3, 64)
    assert kept["bn1.running_var"] == (64,)
    assert kept["layer3.0.downsample.0.weight"] == (1, 1, 128, 256)
    assert kept["layer3.0.downsample.1.bias"] == (256,)
    assert kept["layer4.1.conv2.weight"] == (3, 3, 512, 512)
    assert kept["fc.weight"] == (512, 1000)


@pytest.mark.parametrize(("net", "side", "sides"), [(resnet18(), 96, (24, 12, 6, 3)), (resnet20(), 32, (32, 16, 8))])
def test_each_stage_of_a_resnet_halves_the_image(net, side, sides):
    nodes = {node.name: node for node in trace(net, (side, side, 3)).nodes}
    last = {name.split(".")[0]: node for name, node in nodes.items() if name.endswith(".add")}
    assert tuple(node.output.height for node in last.values()) == sides


def test_a_convolution_before_a_normalization_has_no_bias_of_its_own():
    for net in (resnet18(), resnet20()):
        graph = trace(net, (64, 64, 3))
        for node in graph.nodes:
            if isinstance(node.layer, Conv2d):
                assert not node.layer.bias
                assert [type(graph.nodes[reader].layer) for reader in graph.consumers(node.index)] == [BatchNorm2d]


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
    assert (
        str(caught.value)
        == "unknown model 'resnet'\n  hint: known models: auto, article, lenet5, photo, resnet18, resnet20, vgg"
    )
