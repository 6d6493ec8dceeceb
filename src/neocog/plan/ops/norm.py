"""Normalization: of a batch, by sums in slices and what follows from them; of the groups of an image at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from neocog.plan.layout import Operand, Tensor
from neocog.plan.ops.by_channel import ByChannel, Vectors
from neocog.plan.ops.op import Op, Part, Reach, off_vectors, other_channels, other_size, present, walked

MOMENTS = 3  # vectors that moments are
MEAN, INVERSE, SCALE, SHIFT = range(4)  # what statistics give for each channel, a vector each
SLOPE, OFFSET = range(2)  # likewise what gradients need


@dataclass(frozen=True, slots=True)
class Slices:
    """How a chain cuts the batch: slice s has the blocks from blocks · s / count to blocks · (s + 1) / count."""

    count: int
    blocks: int
    block: int  # images

    def first_image(self, number: int) -> int:
        """Return the first image of a slice."""
        return self.blocks * number // self.count * self.block


@dataclass(frozen=True, slots=True)
class Moments(Op):
    """For every channel, the sums of x - pivot and (x - pivot)² over the pixels of a block's images.

    The pivot is the channel's first value of the slice: near enough to the mean that nothing cancels, whatever the
    mean is. Images past the caller's count are left out. `out` holds three vectors for each slice: pivot and the sums.
    """

    takes_blocked: ClassVar[bool] = True

    x: Tensor
    out: Operand
    step: int

    @property
    def items(self) -> int:
        """Everything at once."""
        return 1

    def reads(self) -> tuple[Part, ...]:
        """Return the images."""
        return (self.x,)

    def writes(self) -> tuple[Part, ...]:
        """Return the sums."""
        return (self.out,)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all pixels, and the three vectors."""
        yield from walked("x", self.x)
        yield Reach("moments", self.out, 0, MOMENTS * self.step - 1)

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield pixels off whole vectors."""
        yield from off_vectors(self.name, lanes, self.x)


@dataclass(frozen=True, slots=True)
class BatchStatistics(ByChannel):
    """Mean and variance of the batch from the moments of its slices, and what a normalization multiplies and adds.

    Arguments:
        moments: what `Moments` left, three vectors for each slice.
        slices, pixels: how many values each slice has, a channel.
        weight, bias: γ and β, if learned.
        mean, variance: the running averages, brought up to date with `momentum`.
        out: four vectors: mean, 1 / √(variance + ε), γ times that, and β.
    """

    moments: Operand
    slices: Slices
    pixels: int
    weight: Operand | None
    bias: Operand | None
    mean: Operand
    variance: Operand
    momentum: float
    epsilon: float
    out: Operand

    def taken(self) -> Vectors:
        """Return moments, γ and β."""
        return {
            "moments": (self.moments, self.slices.count * MOMENTS),
            "weight": (self.weight, 1),
            "bias": (self.bias, 1),
        }

    def given(self) -> Vectors:
        """Return the four vectors."""
        return {"out": (self.out, 4)}

    def updated(self) -> Vectors:
        """Return the running averages."""
        return {"mean": (self.mean, 1), "variance": (self.variance, 1)}


@dataclass(frozen=True, slots=True)
class FrozenStatistics(ByChannel):
    """What a normalization multiplies and adds that takes its running averages, which stay as they are.

    Arguments:
        weight, bias: γ and β, if learned.
        mean, variance: the running averages.
        out: four vectors, as `BatchStatistics` leaves them.
    """

    weight: Operand | None
    bias: Operand | None
    mean: Operand
    variance: Operand
    epsilon: float
    out: Operand

    def taken(self) -> Vectors:
        """Return γ and β, and the running averages."""
        return {
            "weight": (self.weight, 1),
            "bias": (self.bias, 1),
            "mean": (self.mean, 1),
            "variance": (self.variance, 1),
        }

    def given(self) -> Vectors:
        """Return the four vectors."""
        return {"out": (self.out, 4)}


@dataclass(frozen=True, slots=True)
class NormGradient(ByChannel):
    """What the gradient of a normalization's input needs, and the gradients of γ and β.

    From the sums Σ g and Σ g (x - mean) over the batch, dx = scale · g + slope · (x - mean) + offset follows for each
    channel.

    Arguments:
        sums: two vectors for each of `slices` slices.
        statistics: what `BatchStatistics` or `FrozenStatistics` gave.
        out: two vectors: slope and offset; None where the statistics are frozen, so that dx = scale · g.
        weight, bias: where the gradients of γ and β go.
    """

    sums: Operand
    slices: int
    pixels: int
    statistics: Operand
    out: Operand | None
    weight: Operand | None
    bias: Operand | None

    def taken(self) -> Vectors:
        """Return the sums and the statistics."""
        return {"sums": (self.sums, 2 * self.slices), "statistics": (self.statistics, 4)}

    def given(self) -> Vectors:
        """Return slope and offset, and the gradients of γ and β."""
        return {"out": (self.out, 2), "weight": (self.weight, 1), "bias": (self.bias, 1)}


@dataclass(frozen=True, slots=True)
class GroupStatistics(Op):
    """For each channel of each image, what its group is normalised by.

    Arguments:
        x: the images.
        mean: of one pixel: the mean of the group's values, with its sign turned round, so that it is added.
        inverse: of one pixel: 1 / √(variance + ε).
        groups: of an image; the channels of a group follow each other.
    """

    takes_blocked: ClassVar[bool] = True

    x: Tensor
    mean: Tensor
    inverse: Tensor
    groups: int
    epsilon: float

    @property
    def items(self) -> int:
        """One image each."""
        return self.x.images

    def reads(self) -> tuple[Part, ...]:
        """Return the images."""
        return (self.x,)

    def writes(self) -> tuple[Part, ...]:
        """Return mean and inverse."""
        return (self.mean, self.inverse)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all pixels, and those of one pixel."""
        for tensor in (self.x, self.mean, self.inverse):
            yield from walked("values", tensor)

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield sizes that differ, groups that do not divide the channels, and pixels off whole vectors."""
        yield from _group_faults(self.name, lanes, self.groups, (self.x,), (self.mean, self.inverse))


@dataclass(frozen=True, slots=True)
class GroupGradient(Op):
    """What the gradient of the input of a group normalization needs, for each channel of each image.

    With i for `inverse`, d for x + mean, and m for the mean over a group, the gradient of x is
    i · γ · g + slope · d + offset, where slope is -i³ · m(γ · g · d), and offset is -i · m(γ · g).

    Arguments:
        g: the gradient of what the layer gave.
        x, mean, inverse: as in `GroupStatistics`.
        weight: γ, if learned.
        slope, offset: of one pixel.
    """

    takes_blocked: ClassVar[bool] = True

    g: Tensor
    x: Tensor
    mean: Tensor
    inverse: Tensor
    weight: Operand | None
    slope: Tensor
    offset: Tensor
    groups: int

    @property
    def items(self) -> int:
        """One image each."""
        return self.x.images

    def reads(self) -> tuple[Part, ...]:
        """Return the gradient, the images, their statistics, and γ."""
        return present(self.g, self.x, self.mean, self.inverse, self.weight)

    def writes(self) -> tuple[Part, ...]:
        """Return slope and offset."""
        return (self.slope, self.offset)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all pixels, and those of one pixel."""
        for tensor in (self.g, self.x, self.mean, self.inverse, self.slope, self.offset):
            yield from walked("values", tensor)
        if self.weight is not None:
            yield Reach("weight", self.weight, 0, -(-self.x.channels // lanes) * lanes - 1)

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield sizes that differ, groups that do not divide the channels, and pixels off whole vectors."""
        points = (self.mean, self.inverse, self.slope, self.offset)
        yield from _group_faults(self.name, lanes, self.groups, (self.x, self.g), points)


def _group_faults(
    name: str, lanes: int, groups: int, images: tuple[Tensor, ...], points: tuple[Tensor, ...]
) -> Iterator[str]:
    x = images[0]
    if x.channels % groups:
        yield f"{name}: {groups} groups do not divide {x.channels} channels"
    for tensor in images:
        yield from other_size(name, tensor, x.height, x.width)
    for tensor in points:
        yield from other_size(name, tensor, 1, 1)
    for tensor in (*images, *points):
        yield from other_channels(name, tensor, x.channels)
    yield from off_vectors(name, lanes, *images, *points)


def vector(base: Operand, number: int, step: int) -> Operand:
    """Return one of several vectors that lie behind each other."""
    return Operand(base.space, base.name, base.start + number * step)
