"""Networks of every form and with every layer: branches, joins, values with several consumers, images as answers.

Which layers a network may have is an argument, so that an engine that lacks some can be tried on what it has.
"""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import strategies as st

from conformance_cases import convs, dropouts, pools
from neocog.errors import ShapeError
from neocog.nn.blocks import Concat, Residual, Sequential
from neocog.nn.graph import Graph, Normalisation, trace
from neocog.nn.layer import channels_of
from neocog.nn.layers import (
    ELU,
    GELU,
    LAYERS,
    Add,
    AvgPool2d,
    BatchNorm2d,
    Concatenate,
    Conv2d,
    Dropout,
    Dropout2d,
    DropPath,
    Flatten,
    GlobalAvgPool2d,
    Hardsigmoid,
    Layer,
    LeakyReLU,
    Linear,
    Maxout,
    MaxPool2d,
    Multiply,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Tanh,
)
from neocog.nn.shapes import ImageShape, VectorShape
from neocog.nn.symbol import Input, Symbol

ALL = frozenset(LAYERS)
JOINS = (Add, Multiply, Concatenate)
# What makes whole or half numbers of whole numbers; see conformance_cases.py.
EXACT = ALL - {ELU, SiLU, GELU, Hardsigmoid, Sigmoid, Tanh, Softmax, BatchNorm2d}

# One or more of each layer, with other settings than the usual ones too. A new layer is written in here.
VARIANTS: dict[type[Layer], tuple[Layer, ...]] = {
    Conv2d: (Conv2d(6, 3, padding=1), Conv2d(4, 3, 2, "same", bias=False)),
    MaxPool2d: (MaxPool2d(2, 1), MaxPool2d(3, 2, 1)),
    AvgPool2d: (AvgPool2d(2), AvgPool2d(2, 1, 1)),
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
    Sigmoid: (Sigmoid(),),
    Tanh: (Tanh(),),
    Softmax: (Softmax(),),
    Maxout: (Maxout(), Maxout(3)),
    BatchNorm2d: (BatchNorm2d(), BatchNorm2d(0.5, 1e-2, affine=False)),
    Dropout: (Dropout(0.5), Dropout(0.2)),
    Dropout2d: (Dropout2d(0.5), Dropout2d(0.3)),
    DropPath: (DropPath(0.5), DropPath(0.2)),
    Add: (Add(),),
    Multiply: (Multiply(),),
    Concatenate: (Concatenate(),),
}


# Networks made around one layer ---------------------------------------------------------------------------------------


def _on_images(layer: Layer) -> Graph:
    """Put a layer between two convolutions, where its input has a second consumer if it keeps its shape."""
    x = Input((5, 6, 2))
    before = Conv2d(6, 3, padding=1)(x)
    y = layer(before, Conv2d(6, 1)(x)) if isinstance(layer, JOINS) else layer(before)
    if y.shape == before.shape and not isinstance(layer, JOINS):
        y = Add()(y, before)
    if isinstance(y.shape, ImageShape):
        y = Flatten()(Conv2d(3, 2)(y))
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
    y = Conv2d(6, 3, padding=1)(x)
    y = layer(y, Conv2d(6, 1)(x)) if isinstance(layer, JOINS) else layer(y)
    return Graph(x, y, Normalisation((0.5,), (0.25,))) if isinstance(y.shape, ImageShape) else None


def networks_around(layers: Iterable[Layer]) -> dict[str, Graph]:
    """Return networks that have one layer at their core, by a text that says which and where."""
    found: dict[str, Graph | None] = {}
    for layer in layers:
        if not isinstance(layer, Linear):
            found[f"{layer} on images"] = _on_images(layer)
            found[f"{layer} at the end"] = _at_the_end(layer)
        found[f"{layer} on vectors"] = _on_vectors(layer)
    return {name: graph for name, graph in found.items() if graph is not None}


EACH = networks_around(layer for variants in VARIANTS.values() for layer in variants)


def _basic_block(channels: int, stride: int) -> Layer:
    body = Sequential(
        *(Conv2d(channels, 3, stride, 1, bias=False), BatchNorm2d(), ReLU()),
        *(Conv2d(channels, 3, 1, 1, bias=False), BatchNorm2d()),
    )
    shortcut = Sequential(Conv2d(channels, 1, stride, bias=False), BatchNorm2d()) if stride > 1 else None
    return Sequential(Residual(body, shortcut), ReLU())


def _attention() -> Graph:
    """Weigh channels by what a small network makes of their means, as squeeze-and-excitation does."""
    x = Input((4, 4, 2))
    y = Conv2d(16, 3, padding=1)(x)
    # A gate for each pixel, since nothing brings a vector back to an image.
    gate = Sigmoid()(Conv2d(16, 1)(ReLU()(Conv2d(4, 1)(y))))
    return Graph(x, Linear(5)(GlobalAvgPool2d()(Multiply()(y, gate))))


def _shared() -> Graph:
    """Give one value to consumers of every kind: a convolution, a pooling, an activation, joins that take it twice."""
    x = Input((6, 6, 3))
    y = Conv2d(4, 3, padding=1)(x)
    parts = (Conv2d(4, 3, padding=1)(y), MaxPool2d(3, 1, 1)(y), ReLU()(y), Multiply()(y, y), Add()(y, y, y), y)
    return Graph(x, Linear(3)(Flatten()(Concatenate()(*parts))))


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
    "gates": _attention(),
    "shared by all": _shared(),
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
            case AvgPool2d() | GlobalAvgPool2d():
                exact &= node.layer.window_over(node.input).cells.bit_count() == 1
    return exact


# Random networks ------------------------------------------------------------------------------------------------------


@st.composite
def graphs(draw: st.DrawFn, layers: frozenset[type[Layer]] = ALL, *, exact: bool = False, images: bool = True) -> Graph:
    """Draw any small network.

    Arguments:
        layers: what it may be made of; Conv2d, Flatten and Linear are.
        exact: whether settings must be such that float32 rounds nothing.
        images: whether it may end in an image.
    """
    layers = layers & EXACT if exact else layers
    source = Input((draw(st.integers(2, 8)), draw(st.integers(2, 8)), draw(st.sampled_from((1, 2, 3, 5)))))
    normalisation = draw(st.sampled_from((Normalisation(), Normalisation((1.0,), (2.0,)), Normalisation((0.5,)))))
    values = [source]
    for _ in range(draw(st.integers(1, 5))):
        values.append(draw(_steps(values, layers, exact)))
    x = _joined(values, layers)
    if images and x is not source and draw(st.integers(0, 3)) == 0:
        return Graph(source, x, normalisation)
    vectors = [draw(st.sampled_from([Flatten(), GlobalAvgPool2d()] if _averages(x, layers, exact) else [Flatten()]))(x)]
    for _ in range(draw(st.integers(0, 3))):
        vectors.append(draw(_steps(vectors, layers, exact)))
    x = _joined(vectors, layers)
    return Graph(source, Linear(draw(st.sampled_from((1, 2, 4, 8))), draw(st.booleans()))(x), normalisation)


def _averages(x: Symbol, layers: frozenset[type[Layer]], exact: bool) -> bool:
    return GlobalAvgPool2d in layers and (not exact or (x.shape.height * x.shape.width).bit_count() == 1)


def _joined(values: list[Symbol], layers: frozenset[type[Layer]]) -> Symbol:
    """Lay what nobody takes beside the last value, where that is possible; the rest is no part of the network."""
    last = values[-1]
    taken = {id(x) for value in values for x in value.inputs}
    if Concatenate not in layers:
        return last
    loose = [value for value in values[:-1] if id(value) not in taken and _sides(value) == _sides(last)]
    return Concatenate()(last, *loose) if loose else last


def _sides(x: Symbol) -> tuple[int, ...]:
    return (x.shape.height, x.shape.width) if isinstance(x.shape, ImageShape) else ()


@st.composite
def _steps(draw: st.DrawFn, values: list[Symbol], layers: frozenset[type[Layer]], exact: bool) -> Symbol:
    """Draw a layer on one of the values, most often the last, or a join of several."""
    x = draw(st.sampled_from([values[-1]] * 3 + values))
    joins = [join for join in JOINS if join in layers]
    if joins and draw(st.integers(0, 2)) == 0:
        join = draw(st.sampled_from(joins))
        others = [y for y in values if (_sides(y) if join is Concatenate else y.shape) == _fits(x, join)]
        count = draw(st.integers(1, 2))
        return join()(x, *(draw(st.sampled_from(others or [x])) for _ in range(count)))
    if isinstance(x.shape, VectorShape):
        return draw(_vector_layers(x.shape, layers, exact))(x)
    layer = draw(_image_layers(layers, exact))
    try:
        return layer(x)
    except ShapeError:
        return Conv2d(draw(st.sampled_from((4, 6, 8))), draw(st.sampled_from((1, 3))), padding="same")(x)


def _fits(x: Symbol, join: type[Layer]) -> object:
    return _sides(x) if join is Concatenate else x.shape


def _image_layers(layers: frozenset[type[Layer]], exact: bool) -> st.SearchStrategy[Layer]:
    """Draw a layer for images, a convolution one time in three."""
    kinds = [
        pools(MaxPool2d, exact) if MaxPool2d in layers else None,
        pools(AvgPool2d, exact) if AvgPool2d in layers else None,
        *_pointwise(layers, exact),
        st.sampled_from((0.5, 0.75)).map(Dropout2d) if Dropout2d in layers else None,
    ]
    others = [kind for kind in kinds if kind is not None]
    small = st.builds(
        Conv2d,
        st.sampled_from((2, 3, 4, 6, 8, 16)),
        st.sampled_from((1, 2, 3)),
        st.sampled_from((1, 1, 2)),
        st.just("same"),
        bias=st.booleans(),
    )
    return st.one_of(*[st.one_of(small, small, convs())] * max(1, len(others) // 2), *others)


def _vector_layers(x: VectorShape, layers: frozenset[type[Layer]], exact: bool) -> st.SearchStrategy[Layer]:
    linear = st.builds(Linear, st.sampled_from((3, 6, 8, channels_of(x) if x.features <= 64 else 6)), st.booleans())
    return st.one_of(linear, linear, *_pointwise(layers, exact)).filter(lambda layer: _takes(layer, x))


def _takes(layer: Layer, x: VectorShape) -> bool:
    try:
        layer.output_shape(x)
    except ShapeError:
        return False
    return True


def _pointwise(layers: frozenset[type[Layer]], exact: bool) -> list[st.SearchStrategy[Layer]]:
    """List strategies for what looks at single pixels, of those layers that are allowed."""
    plain = [kind for kind in (ReLU, ReLU6, PReLU, SiLU, Hardsigmoid, Sigmoid, Tanh, Softmax) if kind in layers]
    found: list[st.SearchStrategy[Layer]] = [st.just(kind()) for kind in plain]
    if LeakyReLU in layers:
        found.append(st.sampled_from((0.5, 0.25) if exact else (0.01, 0.25)).map(LeakyReLU))
    if ELU in layers:
        found.append(st.sampled_from((1.0, 0.5)).map(ELU))
    if GELU in layers:
        found.append(st.sampled_from(("none", "tanh")).map(GELU))
    if Maxout in layers:
        found.append(st.sampled_from((2, 3, 4)).map(Maxout))
    if BatchNorm2d in layers:
        norm = st.builds(BatchNorm2d, st.sampled_from((0.1, 0.5)), st.sampled_from((1e-5, 0.1)), st.booleans())
        found += [norm, norm]
    if Dropout in layers:
        found.append(dropouts(exact))
    if DropPath in layers:
        found.append(st.sampled_from((0.5, 0.75)).map(DropPath))
    return found
