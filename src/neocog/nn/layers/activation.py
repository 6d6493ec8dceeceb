"""Activations: functions of one value, and two that look at several channels of a pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from neocog.errors import SettingError, ShapeError
from neocog.nn.layer import Layer, Variable, channels_of
from neocog.nn.limits import check_count, is_number, shown
from neocog.nn.shapes import ImageShape, Shape, VectorShape

__all__ = [
    "ELU",
    "GELU",
    "Hardsigmoid",
    "Hardswish",
    "LeakyReLU",
    "Maxout",
    "PReLU",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
]


@dataclass(frozen=True, slots=True)
class Activation(Layer):
    """Base of all functions that are applied value by value.

    `keeps_zero` says that 0 stays 0, so that zeros around an image stay zeros. `from_output` says that the derivative
    is computed from what came out, so that what went in need not be kept.
    """

    keeps_zero: ClassVar[bool] = True
    from_output: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class ReLU(Activation):
    """max(x, 0), value by value; the gradient passes where x > 0."""

    from_output: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class ReLU6(Activation):
    """min(max(x, 0), 6); the gradient passes where 0 < x < 6.

    Source: Krizhevsky 2010, Convolutional deep belief networks on CIFAR-10.
    """

    from_output: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class LeakyReLU(Activation):
    """x where x > 0, else slope · x.

    Source: Maas, Hannun and Ng 2013, Rectifier nonlinearities improve neural network acoustic models.
    """

    from_output: ClassVar[bool] = True

    slope: float = 0.01

    def __post_init__(self) -> None:
        if not (is_number(self.slope) and 0.0 <= self.slope <= 1.0):
            raise SettingError(f"LeakyReLU: slope must lie in [0, 1], got {shown(self.slope)}")


@dataclass(frozen=True, slots=True)
class PReLU(Layer):
    """x where x > 0, else weight · x, with one learned weight for each channel. Weight decay does not apply to it.

    Source: He et al. 2015, Delving deep into rectifiers.
    """

    def variables(self, *inputs: Shape) -> tuple[Variable, ...]:
        return (Variable("weight", (channels_of(inputs[0]),), 0.25, decay=False),)


@dataclass(frozen=True, slots=True)
class ELU(Activation):
    """x where x > 0, else alpha · (exp(x) - 1).

    Source: Clevert, Unterthiner and Hochreiter 2016, Fast and accurate deep network learning by exponential linear
    units.
    """

    from_output: ClassVar[bool] = True

    alpha: float = 1.0

    def __post_init__(self) -> None:
        if not (is_number(self.alpha) and 0.0 < self.alpha <= 100.0):
            raise SettingError(f"ELU: alpha must lie in (0, 100], got {shown(self.alpha)}")


@dataclass(frozen=True, slots=True)
class SiLU(Activation):
    """x · sigmoid(x), also called Swish.

    Source: Elfwing, Uchibe and Doya 2018, Sigmoid-weighted linear units; Ramachandran, Zoph and Le 2017.
    """


@dataclass(frozen=True, slots=True)
class GELU(Activation):
    """x · Φ(x) with the distribution function Φ of the normal distribution.

    Arguments:
        approximate: "none" for the error function, "tanh" for 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))).

    Source: Hendrycks and Gimpel 2016, Gaussian error linear units.
    """

    approximate: Literal["none", "tanh"] = "none"

    def __post_init__(self) -> None:
        if self.approximate not in ("none", "tanh"):
            raise SettingError(f'GELU: approximate must be "none" or "tanh", got {shown(self.approximate)}')


@dataclass(frozen=True, slots=True)
class Hardsigmoid(Activation):
    """min(max(x + 3, 0), 6) / 6; the gradient passes where -3 < x < 3.

    Source: Howard et al. 2019, Searching for MobileNetV3.
    """

    keeps_zero: ClassVar[bool] = False
    from_output: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Hardswish(Activation):
    """x · min(max(x + 3, 0), 6) / 6: a SiLU made of straight lines and a parabola.

    Source: Howard et al. 2019, Searching for MobileNetV3.
    """


@dataclass(frozen=True, slots=True)
class Sigmoid(Activation):
    """1 / (1 + exp(-x))."""

    keeps_zero: ClassVar[bool] = False
    from_output: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Tanh(Activation):
    """The hyperbolic tangent."""

    from_output: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Softmax(Layer):
    """exp(x) over its sum: the values of a vector, or of each pixel's channels, become shares of one.

    CrossEntropy contains a softmax already: a network that ends in Softmax is not to be trained with it.
    """


@dataclass(frozen=True, slots=True)
class Maxout(Layer):
    """Keep the largest of `pieces` channels; output c is the largest of the inputs c, c + n, c + 2 n, … for n outputs.

    The gradient goes to the largest (to the first, on a tie).

    Arguments:
        pieces: how many channels compete for one output; they must divide the channels.

    Source: Goodfellow et al. 2013, Maxout networks.

    >>> Maxout(2).output_shape(VectorShape(10))
    VectorShape(features=5, image=None)
    """

    pieces: int = 2

    def __post_init__(self) -> None:
        check_count("Maxout", "pieces", self.pieces)

    def output_shape(self, *inputs: Shape) -> Shape:
        x = inputs[0]
        channels, rest = divmod(channels_of(x), self.pieces)
        if rest:
            raise ShapeError(f"Maxout needs a multiple of {self.pieces} channels, got {x}")
        return ImageShape(x.height, x.width, channels) if isinstance(x, ImageShape) else VectorShape(channels)
