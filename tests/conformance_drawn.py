"""Random networks of every form and layer.

Which layers a network may have is an argument, so that an engine that lacks some can be tried on what it has.
"""

from __future__ import annotations

import random

from hypothesis import strategies as st

from conformance_graphs import ALL, EXACT, JOINS
from neocog.errors import ShapeError
from neocog.nn.graph import Graph, Normalisation
from neocog.nn.layers import (
    ELU,
    GELU,
    AdaptiveAvgPool2d,
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
    LeakyReLU,
    Linear,
    LocalResponseNorm,
    Maxout,
    MaxPool2d,
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
from neocog.nn.shapes import ImageShape, Shape
from neocog.nn.symbol import Input, Symbol


def graphs(
    layers: frozenset[type[Layer]] = ALL, *, exact: bool = False, images: bool = True
) -> st.SearchStrategy[Graph]:
    """Draw any small network: a number of layers, and a seed that decides the rest.

    A seed, since layers are then drawn evenly; hypothesis by itself likes the first of all choices best.

    Arguments:
        layers: what it may be made of; Conv2d, Flatten and Linear are.
        exact: whether settings must be such that float32 rounds nothing.
        images: whether it may end in an image.
    """
    allowed = layers & EXACT if exact else layers
    return st.builds(
        lambda size, seed: _Maker(random.Random(seed), allowed, exact).network(size, images),
        st.integers(1, 6),
        st.integers(0, 2**32 - 1),
    )


class _Maker:
    """Makes a random network."""

    def __init__(self, rng: random.Random, layers: frozenset[type[Layer]], exact: bool) -> None:
        self.rng = rng
        self.layers = layers
        self.exact = exact
        self.joins = [join for join in JOINS if join in layers]

    def network(self, size: int, images: bool) -> Graph:
        """Make a network with `size` layers on images, or a few more."""
        choose = self.rng.choice
        source = Input((choose((2, 3, 4, 5, 6, 8)), choose((2, 3, 4, 5, 6, 8)), choose((1, 2, 3, 5))))
        normalisation = choose((Normalisation(), Normalisation((1.0,), (2.0,)), Normalisation((0.5,))))
        x = self.grown(source, size)
        if images and self.rng.random() < 0.25:
            return Graph(source, x, normalisation)
        if GlobalAvgPool2d in self.layers and self.rng.random() < 0.4 and self.halves(x.shape.height * x.shape.width):
            x = GlobalAvgPool2d()(x)
        else:
            x = Flatten()(x)
        x = self.grown(x, self.rng.randrange(4))
        return Graph(source, Linear(choose((1, 2, 4, 8)), choose((True, False)))(x), normalisation)

    def grown(self, x: Symbol, size: int) -> Symbol:
        """Put layers and joins behind x, and lay side by side what is left over, where that is possible."""
        values = [x]
        for _ in range(size):
            values.append(self.step(values))
        last = values[-1]
        taken = {id(x) for value in values for x in value.inputs}
        loose = [value for value in values[:-1] if id(value) not in taken and _sides(value) == _sides(last)]
        return Concatenate()(last, *loose) if loose and Concatenate in self.joins else last

    def step(self, values: list[Symbol]) -> Symbol:
        """Put a layer on one of the values, most often on the last, or join several."""
        x = self.rng.choice([values[-1]] * (2 + len(values)) + values)
        if self.joins and len(values) > 1 and self.rng.random() < 0.3:
            join = self.rng.choice(self.joins)
            others = [y for y in values if (_sides(y) == _sides(x) if join is Concatenate else y.shape == x.shape)]
            if join is not Concatenate and self.may_be_a_pixel(x) and self.rng.random() < 0.4:
                others.append(AdaptiveAvgPool2d()(x))
            return join()(x, *(self.rng.choice(others) for _ in range(self.rng.randint(1, 2))))
        on_image = isinstance(x.shape, ImageShape)
        own = self.weighted(x.shape)
        layer = own if self.rng.random() < 0.35 else self.rng.choice(self.others(on_image) or [own])
        try:
            return layer(x)
        except ShapeError:
            return own(x)

    def weighted(self, shape: Shape) -> Layer:
        """Return a convolution or a Linear, which fits everywhere."""
        choose = self.rng.choice
        if not isinstance(shape, ImageShape):
            return Linear(choose((3, 6, 8, 12)), choose((True, False)))
        kernel, stride, bias = choose((1, 2, 3, 3, (1, 3), 5)), choose((1, 1, 2)), choose((True, False))
        filters, dilation, groups = choose((2, 3, 4, 6, 8, 16, 17)), choose((1, 1, 2)), 1
        if self.rng.random() < 0.4:
            groups = choose([n for n in range(1, shape.channels + 1) if shape.channels % n == 0])
            filters = groups * choose((1, 1, 2, 3))
        return Conv2d(filters, kernel, stride, "same", dilation, bias, groups)

    def others(self, on_image: bool) -> list[Layer]:
        """Return one of each other layer that is allowed."""
        choose = self.rng.choice
        window, rate = choose((1, 2, 3, (2, 1))), choose((0.5, 0.75) if self.exact else (0.0, 0.2, 0.5))
        made: list[Layer] = [
            *(ReLU(), ReLU6(), LeakyReLU(choose((0.5, 0.25) if self.exact else (0.01, 0.25))), PReLU()),
            *(ELU(choose((1.0, 0.5))), SiLU(), GELU(choose(("none", "tanh"))), Hardsigmoid(), Hardswish()),
            *(Sigmoid(), Tanh()),
            Slice(choose((0, 1, -2)), choose((None, None, -1, 2, 4))),
            *(Softmax(), Maxout(choose((2, 3, 4))), Dropout(rate), DropPath(rate)),
            BatchNorm2d(choose((0.1, 0.5)), choose((1e-5, 0.1)), choose((True, False)), choose((False, False, True))),
            LayerNorm2d(choose((1e-6, 0.1)), choose((True, False))),
        ]
        if on_image:
            wide, kernel, stride = choose((2, 3, 17)), choose((1, 2, 3)), choose((1, 2, (2, 1)))
            made += [ConvTranspose2d(wide, kernel, stride, choose((0, 1)), 0, choose((True, False)))]
            made += [ChannelShuffle(choose((2, 3, 4))), PixelShuffle(choose((1, 2)))]
            made += [Upsample(choose((1, 2, (3, 1))), "nearest" if self.exact else choose(("nearest", "bilinear")))]
            made += [
                LocalResponseNorm(
                    choose((1, 2, 3, 5, 20)), choose((1e-4, 2.0)), choose((0.75, 0.5)), choose((1.0, 2.0))
                )
            ]
            made += [GroupNorm(choose((1, 2, 3, 4)), choose((1e-5, 0.1)), choose((True, False)))]
            padding, ceil = choose((0, 0, 1)) if window == 3 else 0, choose((True, False))
            made += [MaxPool2d(window, choose((None, 1)), padding, ceil), Dropout2d(rate)]
            cells = window * window if isinstance(window, int) else 2
            if self.exact:
                made += [AvgPool2d(window, choose((None, 1)))] if self.halves(cells) else []
            else:
                made += [AvgPool2d(window, choose((None, 1)), padding, ceil, choose((True, False)))]
                made += [AdaptiveAvgPool2d((choose((1, 2, 3, 5)), choose((1, 2, 3, 5))))]
        allowed = [layer for layer in made if type(layer) in self.layers]
        # What normalises and pools deserves more than each of many activations.
        return allowed + 2 * [x for x in allowed if isinstance(x, BatchNorm2d | MaxPool2d | AvgPool2d)]

    def may_be_a_pixel(self, x: Symbol) -> bool:
        """Tell whether the mean of a map may stand for all of its pixels."""
        on_image = isinstance(x.shape, ImageShape) and AdaptiveAvgPool2d in self.layers
        return on_image and self.halves(x.shape.height * x.shape.width)

    def halves(self, cells: int) -> bool:
        """Tell whether a mean of so many cells may be taken."""
        return not self.exact or cells.bit_count() == 1


def _sides(x: Symbol) -> tuple[int, ...]:
    return (x.shape.height, x.shape.width) if isinstance(x.shape, ImageShape) else ()
