"""What is left out at random while a network trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from neocog.errors import SettingError
from neocog.nn.layer import Layer, image_input
from neocog.nn.limits import is_number, shown
from neocog.nn.shapes import Shape

__all__ = ["Dropout", "Dropout2d", "DropPath"]  # noqa: RUF022 - in the order in which people meet them


@dataclass(frozen=True, slots=True)
class _Dropping(Layer):
    training_only: ClassVar[bool] = True

    rate: float = 0.5

    def __post_init__(self) -> None:
        if not (is_number(self.rate) and 0.0 <= self.rate < 1.0):
            raise SettingError(f"{type(self).__name__}: rate must lie in [0, 1), got {shown(self.rate)}")


@dataclass(frozen=True, slots=True)
class Dropout(_Dropping):
    """While training, zero each value with probability `rate` and scale the others by 1 / (1 - rate).

    Source: Srivastava et al. 2014, Dropout: a simple way to prevent neural networks from overfitting.
    """


@dataclass(frozen=True, slots=True)
class Dropout2d(_Dropping):
    """While training, zero each feature map of each image with probability `rate` and scale the others.

    Neighbouring pixels are so alike that Dropout, which takes them one by one, hides little of a map.

    Source: Tompson et al. 2015, Efficient object localization using convolutional networks.
    """

    def output_shape(self, *inputs: Shape) -> Shape:
        return image_input(self, inputs[0])


@dataclass(frozen=True, slots=True)
class DropPath(_Dropping):
    """While training, zero all of an image's values with probability `rate` and scale the others: stochastic depth.

    It stands at the end of a Residual's body, which an image then skips.

    Source: Huang et al. 2016, Deep networks with stochastic depth.
    """

    rate: float = 0.1
