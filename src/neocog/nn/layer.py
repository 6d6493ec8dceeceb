"""What every layer is: frozen data that says which shapes it takes and gives, and which arrays it stores."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import ClassVar

from neocog.errors import ShapeError
from neocog.nn.limits import plain_integers
from neocog.nn.shapes import ImageShape, Shape
from neocog.nn.symbol import Symbol
from neocog.nn.window import Window
from neocog.nn.wiring import Wiring


@dataclass(frozen=True, slots=True)
class Variable:
    """One array that a layer stores.

    Arguments:
        name: within the layer, as PyTorch writes it: "weight", "bias", "running_mean".
        shape: as it lies in memory; channels come last.
        start: the number that it is filled with at first; None: drawn at random, as weights are.
        trainable: whether it follows a gradient. What is not is a buffer, such as a running average.
        decay: whether weight decay applies to it.
        fans: of weights, how many inputs meet in a sum, and how many sums an input meets; None: as the shape says.
    """

    name: str
    shape: tuple[int, ...]
    start: float | None = None
    trainable: bool = True
    decay: bool = True
    fans: tuple[float, float] | None = None

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Layer:
    """Base of all layers.

    `training_only` layers do nothing where a network predicts. `whole_batch` ones compute, while training, with all
    images of a batch at once, and `whole_image` ones always with all pixels of an image. What `enlarges` gives several
    pixels for one. A layer takes `arity` inputs; None means two or more.
    """

    training_only: ClassVar[bool] = False
    whole_batch: ClassVar[bool] = False
    whole_image: ClassVar[bool] = False
    enlarges: ClassVar[bool] = False
    arity: ClassVar[int | None] = 1

    def __init_subclass__(cls) -> None:
        """Let every layer begin its own checks with plain integers."""
        if "__post_init__" in vars(cls):
            own = cls.__post_init__

            def checked(self: Layer) -> None:
                Layer.__post_init__(self)
                own(self)

            cls.__post_init__ = checked  # type: ignore[method-assign]

    def __post_init__(self) -> None:
        """Make Python's integers of NumPy's and others: they are told, written to files and compiled alike."""
        for entry in fields(self):
            value = getattr(self, entry.name)
            plain = plain_integers(value)
            if plain is not value:
                object.__setattr__(self, entry.name, plain)

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the shape of the output for inputs of these shapes, or raise ShapeError; most layers keep it."""
        return inputs[0]

    def variables(self, *inputs: Shape) -> tuple[Variable, ...]:
        """Return the arrays that the layer stores for inputs of these shapes."""
        return ()

    def window_over(self, x: ImageShape) -> Window | None:
        """Return the walk of the layer's window over an image, or None where each output sees one pixel."""
        return None

    def wire(self, wiring: Wiring, name: str, inputs: tuple[int, ...]) -> int:
        """Add the layer to a graph under construction and return the number of its output; blocks add several."""
        return wiring.add(self, name, inputs)

    def __call__(self, *inputs: Symbol, name: str | None = None) -> Symbol:
        """Return what the layer gives for symbolic inputs, to build a network of any form; see `Graph`.

        A layer is a description: each call of it makes a layer of the network with weights of its own.

        Arguments:
            inputs: from `Input` or other layers.
            name: what files and messages call this layer; default: its number.
        """
        return Symbol.of(self, inputs, name)


def image_input(layer: Layer, x: Shape) -> ImageShape:
    """Return the shape as an image's, or raise ShapeError."""
    if not isinstance(x, ImageShape):
        raise ShapeError(
            f"{type(layer).__name__} needs an image, got {x}", hint="put it before Flatten, or remove the Flatten"
        )
    return x


def channels_of(x: Shape) -> int:
    """Return the number of values of a pixel, or of a vector."""
    return x.channels if isinstance(x, ImageShape) else x.features
