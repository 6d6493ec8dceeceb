"""Normalization of the channels of each pixel: what it is normalised by, and what its gradient needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from neocog.plan.layout import Operand, Tensor
from neocog.plan.ops.op import Op, Part, Reach, off_vectors, other_channels, other_size, present, walked


@dataclass(frozen=True, slots=True)
class PixelStatistics(Op):
    """For each pixel, what its channels are normalised by, in every lane of a vector.

    Arguments:
        x: the images.
        mean: of one channel: the mean of the pixel's values, with its sign turned round, so that it is added.
        inverse: of one channel: 1 / √(variance + ε).
    """

    takes_blocked: ClassVar[bool] = True

    x: Tensor
    mean: Tensor
    inverse: Tensor
    epsilon: float

    @property
    def items(self) -> int:
        """One row of one image each."""
        return self.x.images * self.x.height

    def reads(self) -> tuple[Part, ...]:
        """Return the images."""
        return (self.x,)

    def writes(self) -> tuple[Part, ...]:
        """Return mean and inverse."""
        return (self.mean, self.inverse)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all pixels."""
        for tensor in (self.x, self.mean, self.inverse):
            yield from walked("values", tensor)

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield sizes that differ, numbers that are not one a pixel, and pixels off whole vectors."""
        yield from _faults(self.name, lanes, (self.x,), (self.mean, self.inverse))


@dataclass(frozen=True, slots=True)
class PixelGradient(Op):
    """What the gradient of the input needs, for each pixel.

    With i for `inverse`, d for x + mean, and m for the mean over the channels, the gradient of x is
    i · γ · g + slope · d + offset, where slope is -i³ · m(γ · g · d), and offset is -i · m(γ · g).

    Arguments:
        g: the gradient of what the layer gave.
        x, mean, inverse: as in `PixelStatistics`.
        weight: γ, if learned.
        slope, offset: of one channel.
    """

    takes_blocked: ClassVar[bool] = True

    g: Tensor
    x: Tensor
    mean: Tensor
    inverse: Tensor
    weight: Operand | None
    slope: Tensor
    offset: Tensor

    @property
    def items(self) -> int:
        """One row of one image each."""
        return self.x.images * self.x.height

    def reads(self) -> tuple[Part, ...]:
        """Return the gradient, the images, their statistics, and γ."""
        return present(self.g, self.x, self.mean, self.inverse, self.weight)

    def writes(self) -> tuple[Part, ...]:
        """Return slope and offset."""
        return (self.slope, self.offset)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all pixels, and γ."""
        for tensor in (self.g, self.x, self.mean, self.inverse, self.slope, self.offset):
            yield from walked("values", tensor)
        if self.weight is not None:
            yield Reach("weight", self.weight, 0, -(-self.x.channels // lanes) * lanes - 1)

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield sizes that differ, numbers that are not one a pixel, and pixels off whole vectors."""
        numbers = (self.mean, self.inverse, self.slope, self.offset)
        yield from _faults(self.name, lanes, (self.x, self.g), numbers)


def _faults(name: str, lanes: int, images: tuple[Tensor, ...], numbers: tuple[Tensor, ...]) -> Iterator[str]:
    x = images[0]
    for tensor in (*images, *numbers):
        yield from other_size(name, tensor, x.height, x.width)
    for tensor in images:
        yield from other_channels(name, tensor, x.channels)
    for tensor in numbers:
        yield from other_channels(name, tensor, 1)
    yield from off_vectors(name, lanes, *images, *numbers)
