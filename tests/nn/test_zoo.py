"""The known networks hold and cost what is published of them, and take the images that they say they take."""

import pytest

from neocog.errors import SettingError, ShapeError
from neocog.nn import zoo
from neocog.nn.graph import trace
from neocog.nn.layers import BatchNorm2d, Conv2d
from neocog.nn.parameters import parameters_of, variables_of
from neocog.nn.shapes import ImageShape
from neocog.nn.summary import summarise
from neocog.nn.zoo import MODELS, default_net, make_net, resnet18, resnet20, resnet50

# Parameters, and billions of multiply-adds an image, as torchvision 0.28 states them of its weights ("num_params" and
# "_ops"), timm 1.0.31 counts them, or a paper says; with as many classes as the network was made for.
PUBLISHED = {
    "alexnet": (61_100_840, 0.714),
    "convnext_atto": (3_695_520, 0.547),  # timm's
    "densenet121": (7_978_856, 2.834),
    "efficientnet_b0": (5_288_548, 0.386),
    "efficientnet_lite0": (
        4_652_008,
        0.385,
    ),  # timm's
    "googlenet": (6_624_904, 1.498),
    "mobilenet_v1": (4_231_976, 0.569),  # "4.2 M" and "569 M", table 6 of Howard et al. 2017
    "mobilenet_v1_x0_25": (470_072, 0.041),  # "0.5 M" and "41 M"
    "mobilenet_v1_x0_5": (1_331_592, 0.149),  # "1.3 M" and "149 M"
    "mobilenet_v2": (3_504_872, 0.301),
    "mobilenet_v3_large": (5_483_032, 0.217),
    "mobilenet_v3_small": (2_542_856, 0.057),
    "repvgg_a0": (9_108_968, 1.513),  # timm's; 1.4 billion when folded, table 4 of Ding et al. 2021
    "resnet18": (11_689_512, 1.814),
    "resnet20": (269_722 + 2_752, 0.041),  # "0.27 M", and two 1 x 1 shortcuts with their normalization
    "resnet34": (21_797_672, 3.664),
    "resnet50": (25_557_032, 4.089),
    "resnet56": (853_018 + 2_752, 0.126),  # "0.85 M"
    "shufflenet_v2_x0_5": (1_366_792, 0.040),
    "shufflenet_v2_x1_0": (2_278_604, 0.145),
    "squeezenet1_0": (1_248_424, 0.819),
    "squeezenet1_1": (1_235_496, 0.349),
    "vgg11": (132_863_336, 7.609),
    "vgg11_bn": (132_868_840, 7.609),
    "vgg16": (138_357_544, 15.47),
    "vgg16_bn": (138_365_992, 15.47),
}
OURS = {
    "airbench94": (1_972_792, 0.118),  # the paper gives neither
    "article": (225_034, 0.003),
    "fast224": (1_284_352, 0.203),
    "fast32": (464_170, 0.076),
    "lenet5": (61_706, 0.0),  # "60,000" in the paper, which connects fewer maps
    "photo": (1_423_306, 0.115),
    "vgg": (814_122, 0.039),
}


@pytest.mark.parametrize("name", MODELS)
def test_parameters_and_multiply_adds_are_the_published_ones(name):
    rows = summarise(MODELS[name].graph())
    parameters, billions = (PUBLISHED | OURS)[name]
    assert sum(row.parameters for row in rows) == parameters
    assert round(sum(row.multiply_adds for row in rows) / 1e9, 3) == billions


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_network_ends_in_its_classes(name, channels):
    side = min(96, MODELS[name].image.height)
    graph = trace(make_net(name, ImageShape(side, side, channels), 7), (side, side, channels))
    assert graph.classes == 7
    assert graph.answer_shape == (7,)


def test_the_networks_are_in_alphabetical_order_and_have_a_function_of_their_name():
    assert list(MODELS) == sorted(MODELS)
    assert all(known.make is getattr(zoo, name) for name, known in MODELS.items())


@pytest.mark.parametrize(
    ("name", "least"),
    [
        *(("alexnet", 63), ("article", 10), ("densenet121", 29), ("googlenet", 15), ("lenet5", 12)),
        *(("squeezenet1_0", 21), ("squeezenet1_1", 17), ("vgg11", 32), ("vgg16", 32)),
    ],
)
def test_the_least_image_is_the_stated_one(name, least):
    net = MODELS[name].make(10)
    assert f"{least} × {least} pixels" in getattr(zoo, name).__doc__
    trace(net, (least, least, 3))
    with pytest.raises(ShapeError):
        trace(net, (least - 1, least - 1, 3))


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


@pytest.mark.parametrize(
    ("net", "side", "sides"),
    [(resnet18(), 96, (24, 12, 6, 3)), (resnet50(), 96, (24, 12, 6, 3)), (resnet20(), 32, (32, 16, 8))],
)
def test_each_stage_of_a_resnet_halves_the_image(net, side, sides):
    nodes = {node.name: node for node in trace(net, (side, side, 3)).nodes}
    last = {name.split(".")[0]: node for name, node in nodes.items() if name.endswith(".add")}
    assert tuple(node.output.height for node in last.values()) == sides


def test_a_convolution_before_a_normalization_has_no_bias_of_its_own():
    for net in (resnet18(), resnet20(), resnet50()):
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
    assert min(last.input.height, last.input.width) >= min(2 if side >= 64 else 4, side)
    narrow = trace(default_net(ImageShape(side, side + 3, 3), 4, width=0.5), (side, side + 3, 3))
    assert sum(p.size for p in parameters_of(narrow)) <= 0.51 * sum(p.size for p in parameters_of(graph))


def test_auto_is_the_default_network():
    image = ImageShape(28, 28, 1)
    assert make_net("auto", image, 10) == default_net(image, 10)


def test_an_unknown_network_is_refused_with_the_known_ones():
    with pytest.raises(SettingError) as caught:
        make_net("resnet", ImageShape(28, 28, 1), 10)
    assert str(caught.value).startswith(
        "unknown model 'resnet'\n  hint: known models: auto, airbench94, alexnet, article, "
    )
