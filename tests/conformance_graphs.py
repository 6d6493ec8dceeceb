"""Networks of every form and with every layer: branches, joins, values with several consumers, images as answers."""

from __future__ import annotations

from collections.abc import Iterable

from conformance_networks import cells_of
from neocog.errors import ShapeError
from neocog.nn.blocks import Concat, Residual, Sequential, SqueezeExcite
from neocog.nn.graph import Graph, Normalisation, trace
from neocog.nn.layers import (
    ELU,
    GELU,
    LAYERS,
    AdaptiveAvgPool2d,
    Add,
    AvgPool2d,
    BatchNorm2d,
    ChannelShuffle,
    Concatenate,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Dropout2d,
    DropPath,
    Flatten,
    GlobalAvgPool2d,
    GroupNorm,
    Hardsigmoid,
    Hardswish,
    Layer,
    LayerNorm2d,
    LayerScale,
    LeakyReLU,
    Linear,
    LocalResponseNorm,
    Maxout,
    MaxPool2d,
    Multiply,
    PixelShuffle,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Slice,
    Softmax,
    Tanh,
    Upsample,
)
from neocog.nn.shapes import ImageShape
from neocog.nn.symbol import Input

ALL = frozenset(LAYERS)
JOINS = (Add, Multiply, Concatenate)
# What makes whole or half numbers of whole numbers; see conformance_cases.py.
EXACT = ALL - {
    *(ELU, SiLU, GELU, Hardsigmoid, Hardswish, Sigmoid, Tanh),
    *(Softmax, BatchNorm2d, GroupNorm, LayerNorm2d, LocalResponseNorm),
}

# One or more of each layer, with other settings than the usual ones too. A new layer is written in here.
VARIANTS: dict[type[Layer], tuple[Layer, ...]] = {
    Conv2d: (
        *(Conv2d(6, 3, padding=1), Conv2d(4, 3, 2, "same", bias=False), Conv2d(4, 3, padding=((0, 1), (2, 0)))),
        *(Conv2d(6, 3, padding=1, groups=6), Conv2d(6, 3, 2, "same", bias=False, groups=6)),
        *(
            Conv2d(12, (1, 3), groups=6),
            Conv2d(6, 2, bias=False, groups=3),
            Conv2d(4, 3, 2, ((0, 1), (0, 1)), groups=2),
        ),
    ),
    ConvTranspose2d: (
        ConvTranspose2d(4, 3, 2, 1, 1),
        ConvTranspose2d(3, 2, (2, 3), bias=False),
        ConvTranspose2d(17, (3, 2), 1, (2, 0)),
        ConvTranspose2d(3, 3, 2, ((0, 1), (2, 0)), dilation=(1, 2)),
    ),
    MaxPool2d: (
        MaxPool2d(2, 1),
        MaxPool2d(3, 2, 1),
        MaxPool2d(3, 3, 1, ceil_mode=True),
        MaxPool2d(3, 2, ((0, 1), (2, 1))),
        MaxPool2d(2, 1, "same"),
    ),
    AvgPool2d: (
        *(AvgPool2d(2), AvgPool2d(2, 1, 1), AvgPool2d(2, count_include_pad=False, padding=1)),
        *(AvgPool2d(4, 3, (1, 2), ceil_mode=True), AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False)),
        *(AvgPool2d(2, 2, ((0, 1), (1, 0))), AvgPool2d(3, 2, "same", count_include_pad=False)),
    ),
    AdaptiveAvgPool2d: (
        AdaptiveAvgPool2d((3, 4)),
        AdaptiveAvgPool2d(),
        AdaptiveAvgPool2d((5, 3)),
        AdaptiveAvgPool2d(7),
    ),
    GlobalAvgPool2d: (GlobalAvgPool2d(),),
    Flatten: (Flatten(),),
    Linear: (Linear(6), Linear(4, bias=False)),
    ReLU: (ReLU(),),
    ReLU6: (ReLU6(),),
    LeakyReLU: (LeakyReLU(0.25), LeakyReLU()),
    PReLU: (PReLU(),),
    ELU: (ELU(), ELU(0.5)),
    SiLU: (SiLU(),),
    GELU: (GELU(), GELU("tanh")),
    Hardsigmoid: (Hardsigmoid(),),
    Hardswish: (Hardswish(),),
    Sigmoid: (Sigmoid(),),
    Tanh: (Tanh(),),
    Softmax: (Softmax(),),
    Maxout: (Maxout(), Maxout(3)),
    BatchNorm2d: (
        *(BatchNorm2d(), BatchNorm2d(0.5, 1e-2, affine=False)),
        *(BatchNorm2d(frozen=True), BatchNorm2d(affine=False, frozen=True)),
    ),
    LayerScale: (LayerScale(), LayerScale(0.5)),
    GroupNorm: (GroupNorm(2), GroupNorm(3, 1e-2, affine=False), GroupNorm(1), GroupNorm(6)),
    LayerNorm2d: (LayerNorm2d(), LayerNorm2d(1e-2, affine=False)),
    LocalResponseNorm: (
        *(LocalResponseNorm(3, 1.0, 0.75, 2.0), LocalResponseNorm(5), LocalResponseNorm(4, 0.5, 1.5, 0.5)),
        *(LocalResponseNorm(40, 3.0, 0.5), LocalResponseNorm(1, 1.0)),
    ),
    Dropout: (Dropout(0.5), Dropout(0.2)),
    Dropout2d: (Dropout2d(0.5), Dropout2d(0.3)),
    DropPath: (DropPath(0.5), DropPath(0.2)),
    Add: (Add(),),
    Multiply: (Multiply(),),
    Concatenate: (Concatenate(),),
    Slice: (Slice(1, 4), Slice(0, 3), Slice(-2)),
    ChannelShuffle: (ChannelShuffle(2), ChannelShuffle(3)),
    PixelShuffle: (PixelShuffle(2),),
    Upsample: (Upsample(2), Upsample((1, 3), "bilinear"), Upsample(2, "bilinear"), Upsample((3, 2), "bilinear")),
}


# Networks made around one layer ---------------------------------------------------------------------------------------


def _on_images(layer: Layer) -> Graph:
    """Put a layer between two convolutions, where its input has a second consumer if it keeps its shape."""
    x = Input((5, 6, 2))
    before = Conv2d(8 if isinstance(layer, PixelShuffle) else 6, 3, padding=1)(x)
    y = layer(before, Conv2d(6, 1)(x)) if isinstance(layer, JOINS) else layer(before)
    if y.shape == before.shape and not isinstance(layer, JOINS):
        y = Add()(y, before)
    if isinstance(y.shape, ImageShape):
        y = Flatten()(Conv2d(3, 1 if y.shape.height == 1 else 2)(y))
    return Graph(x, Linear(4)(y), Normalisation((0.5,), (0.25,)))


def _on_vectors(layer: Layer) -> Graph | None:
    """Put a layer behind a Flatten and behind a Linear; None if it takes images only."""
    x = Input((3, 2, 2))
    flat = Flatten()(x)
    try:
        y = layer(flat, Linear(12)(flat)) if isinstance(layer, JOINS) else layer(layer(Linear(12)(layer(flat))))
    except ShapeError:
        return None
    return Graph(x, Linear(4)(y), Normalisation((0.5,), (0.25,)))


def _at_the_end(layer: Layer) -> Graph | None:
    """Let a network end in a layer on images; None if it gives vectors."""
    x = Input((4, 4, 2))
    y = Conv2d(8 if isinstance(layer, PixelShuffle) else 6, 3, padding=1)(x)
    y = layer(y, Conv2d(6, 1)(x)) if isinstance(layer, JOINS) else layer(y)
    return Graph(x, y, Normalisation((0.5,), (0.25,))) if isinstance(y.shape, ImageShape) else None


def networks_around(variants: Iterable[tuple[Layer, ...]]) -> dict[str, Graph]:
    """Return networks that have one layer at their core, by a text that says which and where.

    Of a layer's variants the first is tried everywhere, the others on images, or where they fit.
    """
    found: dict[str, Graph | None] = {}
    for first, *others in variants:
        for layer in (first, *others):
            if not isinstance(layer, Linear):
                found[f"{layer} on images"] = _on_images(layer)
        if not isinstance(first, Linear):
            found[f"{first} at the end"] = _at_the_end(first)
        for layer in (first, *others) if isinstance(first, Linear) else (first,):
            found[f"{layer} on vectors"] = _on_vectors(layer)
    return {name: graph for name, graph in found.items() if graph is not None}


EACH = networks_around(VARIANTS.values())


def _basic_block(channels: int, stride: int) -> Layer:
    body = Sequential(
        *(Conv2d(channels, 3, stride, 1, bias=False), BatchNorm2d(), ReLU()),
        *(Conv2d(channels, 3, 1, 1, bias=False), BatchNorm2d()),
    )
    shortcut = Sequential(Conv2d(channels, 1, stride, bias=False), BatchNorm2d()) if stride > 1 else None
    return Sequential(Residual(body, shortcut), ReLU())


def _inverted(channels: int, stride: int, kernel: int) -> tuple[Layer, ...]:
    """Return a block of MobileNetV2: expanded, convolved channel by channel, and projected."""
    wide = 6 * channels
    body = Sequential(
        *(Conv2d(wide, 1, bias=False), BatchNorm2d(), ReLU6()),
        *(Conv2d(wide, kernel, stride, kernel // 2, bias=False, groups=wide), BatchNorm2d(), ReLU6()),
        *(Conv2d(channels, 1, bias=False), BatchNorm2d()),
    )
    return (Residual(body),) if stride == 1 else (body,)


def _attention() -> Graph:
    """Weigh each pixel of each map by what a small network makes of the pixel's channels."""
    x = Input((4, 4, 2))
    y = Conv2d(16, 3, padding=1)(x)
    gate = Sigmoid()(Conv2d(16, 1)(ReLU()(Conv2d(4, 1)(y))))
    return Graph(x, Linear(5)(GlobalAvgPool2d()(Multiply()(y, gate))))


def _pixels_for_all() -> Graph:
    """Join images with images of one pixel, in front and behind, several at once, that a formula gives or the image."""
    x = Input((5, 4, 3))
    mean = AdaptiveAvgPool2d()(x)
    y = Add()(mean, Conv2d(3, 3, padding=1)(x))
    gate, shift = Tanh()(Add()(mean, Conv2d(3, 1)(mean))), ReLU()(Conv2d(3, 1)(AdaptiveAvgPool2d()(y)))
    y = Add()(Multiply()(gate, y, shift), shift, mean)
    return Graph(x, GlobalAvgPool2d()(Multiply()(Conv2d(3, 2)(y), gate)))


def _shared() -> Graph:
    """Give one value to consumers of every kind: a convolution, a pooling, an activation, joins that take it twice."""
    x = Input((6, 6, 3))
    y = Conv2d(4, 3, padding=1)(x)
    parts = (Conv2d(4, 3, padding=1)(y), MaxPool2d(3, 1, 1)(y), ReLU()(y), Multiply()(y, y), Add()(y, y, y), y)
    return Graph(x, Linear(3)(Flatten()(Concatenate()(*parts))))


def _flat_and_activated() -> Graph:
    """Read a flattened image, which ends in a ReLU and fills whole vectors, by something other than one Linear."""
    x = Input((3, 3, 2))
    y = Flatten()(ReLU()(Conv2d(16, 3, padding=1)(x)))
    return Graph(x, Linear(3)(Concatenate()(Dropout(0.5)(y), Linear(4)(y))))


def _enlarged() -> Graph:
    """Shrink and enlarge in several ways, with a shortcut, as U-Nets do: transposed convolutions in company."""
    x = Input((8, 6, 3))
    wide = ReLU()(Conv2d(18, 3, padding=1)(x))
    small = ReLU()(Conv2d(7, 3, 2, padding=1)(wide))
    up = ReLU()(BatchNorm2d()(ConvTranspose2d(18, 2, 2, bias=False)(small)))
    again = ReLU()(ConvTranspose2d(18, 3, 2, 1, 1)(small))
    both = Add()(again, Upsample(2, "bilinear")(Conv2d(18, 1)(small)))
    y = Concatenate()(up, Add()(ConvTranspose2d(18, 3, 1, 1)(wide), both))
    return Graph(x, Conv2d(2, 1)(Upsample((1, 2))(y)))


def _split_and_shuffled() -> Graph:
    """Split channels, let one half through and the other through a convolution, and shuffle both, as ShuffleNetV2 does;
    then take the same value apart into runs that overlap, leave out channels, and meet another consumer.
    """
    x = Input((5, 4, 3))
    left, right = Conv2d(34, 3, padding=1)(x).split(2)
    y = ChannelShuffle(2)(Concatenate()(left, ReLU()(Conv2d(17, 1)(right))))
    runs = (y[..., :20], y[..., 17:], y[..., 3:5], Conv2d(4, 1)(y))
    z = PixelShuffle(2)(Conv2d(76, 3, padding=1)(Concatenate()(*runs)))
    return Graph(x, Linear(3)(Flatten()(MaxPool2d(2)(ReLU()(z)))))


def _added_to_a_relu() -> Graph:
    """Add the ReLU of a convolution to a second convolution of it, and to itself behind another ReLU."""
    x = Input((6, 6, 3))
    y = Conv2d(4, 3, padding=1)(x)
    z = ReLU()(Conv2d(4, 1)(Add()(ReLU()(y), Conv2d(4, 1)(y))))
    return Graph(x, Add()(ReLU()(z), z))


def _behind_what_drops() -> Graph:
    """Put a ReLU behind a Dropout2d, which a prediction leaves out, and add what the convolution before them gives."""
    x = Input((5, 4, 2))
    y = Conv2d(6, 3, padding=1)(x)
    return Graph(x, Add()(ReLU()(Dropout2d(0.5)(y)), ReLU()(Dropout2d(0.0)(Conv2d(6, 1)(y))), y))


GRAPHS: dict[str, Graph] = {
    "residual": trace(Sequential(Residual(Conv2d(2, 3, padding=1)), ReLU(), Flatten(), Linear(3)), (5, 5, 2)),
    "two residual stages": trace(
        Sequential(
            *(Conv2d(8, 3, padding=1, bias=False), BatchNorm2d(), ReLU(), _basic_block(8, 1), _basic_block(12, 2)),
            *(GlobalAvgPool2d(), Linear(10)),
        ),
        (8, 8, 3),
        Normalisation((0.4,), (0.3,)),
    ),
    "dropped paths": trace(
        Sequential(
            Conv2d(8, 3, padding=1),
            Residual(Sequential(BatchNorm2d(), SiLU(), Conv2d(8, 3, padding=1), DropPath(0.5))),
            *(Dropout2d(0.25), GELU(), GlobalAvgPool2d(), Dropout(0.25), Linear(4)),
        ),
        (6, 5, 2),
    ),
    "inception": trace(
        Sequential(
            Concat(Conv2d(8, 1), Sequential(Conv2d(4, 1), ReLU(), Conv2d(16, 3, padding=1)), MaxPool2d(3, 1, 1)),
            *(ReLU(), MaxPool2d(2), Flatten(), Linear(4)),
        ),
        (6, 6, 3),
    ),
    "dense": trace(
        Sequential(
            Conv2d(8, 3, padding=1),
            *(Concat(Sequential(), Sequential(BatchNorm2d(), ReLU(), Conv2d(8, 3, padding=1))) for _ in range(2)),
            *(BatchNorm2d(), ReLU(), AvgPool2d(2), Flatten(), Linear(3)),
        ),
        (4, 6, 2),
    ),
    "inverted residuals": trace(
        Sequential(
            *(Conv2d(4, 3, 2, ((0, 1), (0, 1)), bias=False), BatchNorm2d(), ReLU6()),
            *(*_inverted(4, 2, 3), *_inverted(4, 1, 5), GlobalAvgPool2d(), Linear(5)),
        ),
        (12, 14, 3),
        Normalisation((0.4,), (0.3,)),
    ),
    "depthwise first and last": trace(
        Sequential(
            *(Conv2d(3, 3, padding=1, groups=3), ReLU(), Conv2d(40, 1), Conv2d(40, 5, 2, 2, 1, groups=40), PReLU()),
            *(Conv2d(40, 3, 1, ((2, 1), (0, 3)), (2, 3), groups=40), ReLU6(), MaxPool2d(2)),
            Conv2d(40, (1, 2), groups=40),
        ),
        (12, 13, 3),
    ),
    "a depthwise filter written in a loop": trace(
        Sequential(Conv2d(5, 1), Conv2d(5, 9, padding=4, groups=5), ReLU(), Flatten(), Linear(2)), (6, 7, 1)
    ),
    "groups in blocks": trace(
        Sequential(
            *(Conv2d(72, 1), ReLU(), Residual(Sequential(Conv2d(72, 3, padding=1, groups=18), ReLU())), MaxPool2d(2)),
            *(Conv2d(36, 3, 2, 1, groups=9, bias=False), BatchNorm2d(), ReLU(), Conv2d(64, 1), Conv2d(32, 1, groups=2)),
            *(Conv2d(48, 3, padding=1, groups=16), SiLU(), Flatten(), Linear(3)),
        ),
        (8, 9, 2),
    ),
    "gates": _attention(),
    "pixels for all": _pixels_for_all(),
    "squeezed and excited": trace(
        Sequential(
            *(Conv2d(17, 3, padding=1), SiLU(), SqueezeExcite(4), Conv2d(8, 1), BatchNorm2d()),
            Residual(Sequential(Conv2d(8, 3, padding=1), SqueezeExcite(squeezed=3, gate=Hardsigmoid()), DropPath(0.5))),
            *(Hardswish(), SqueezeExcite(16, activation=SiLU()), GlobalAvgPool2d(), Linear(4)),
        ),
        (6, 5, 2),
    ),
    "shared by all": _shared(),
    "flat and activated": _flat_and_activated(),
    "added to a ReLU": _added_to_a_relu(),
    "split and shuffled": _split_and_shuffled(),
    "enlarged": _enlarged(),
    "behind what drops": _behind_what_drops(),
    "flat and steep": trace(
        # The gradient of the last convolution has a halo, so that it is no view of what the Linear gives.
        Sequential(Conv2d(4, 3), Conv2d(16, 3, padding=1), LeakyReLU(0.25), Flatten(), Linear(3)),
        (6, 5, 2),
    ),
    "a head for each pixel": trace(
        Sequential(Conv2d(8, 3, padding=1), ReLU(), Residual(Conv2d(8, 3, padding=1)), Conv2d(3, 1)), (5, 4, 1)
    ),
    "a lone convolution": trace(Conv2d(3, 3), (5, 5, 2)),
}


def layers_of(graph: Graph) -> frozenset[type[Layer]]:
    """Return the kinds of layers that a network has."""
    return frozenset(type(node.layer) for node in graph.nodes)


def is_exact(graph: Graph) -> bool:
    """Tell whether a network has cases without rounding: no layer forms anything but sums, products and halves."""
    exact = layers_of(graph) <= EXACT
    for node in graph.nodes:
        match node.layer:
            case Dropout() | Dropout2d() | DropPath():
                exact &= node.layer.rate in (0.0, 0.5, 0.75)
            case LeakyReLU():
                exact &= node.layer.slope in (0.5, 0.25)
            case Upsample():
                exact &= node.layer.mode == "nearest"
            case AvgPool2d() | AdaptiveAvgPool2d() | GlobalAvgPool2d():
                exact &= all(int(cells).bit_count() == 1 for cells in cells_of(node).flat)
    return exact
