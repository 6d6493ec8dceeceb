"""What every kind of work says of itself, so that memory, proofs and descriptions need not know the kinds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from neocog.plan.blocked import Blocked
from neocog.plan.layout import Name, Operand, Panels, Tensor, Vectors, operand

Part = Operand | Tensor | Panels | Vectors
"""An allocation as an op sees it."""


@dataclass(frozen=True, slots=True)
class Reach:
    """The elements of an operand that an op touches, from the lowest to the highest, counted from where it begins.

    Arguments:
        what: the operand's part in the op, for messages.
        aligned: whether it must begin at a whole vector.
    """

    what: str
    operand: Operand
    low: int
    high: int
    aligned: bool = True


@dataclass(frozen=True, slots=True)
class Op(ABC):
    """A kind of work, cut into `items` that any thread may do.

    A new op is a frozen dataclass that says what it reads and writes, how far it reaches, and what could be wrong with
    it; and an emitter in the table of a file in emit/.

    `takes_blocked` says that it knows images of bfloat16, which lie otherwise than those of float32.
    """

    takes_blocked: ClassVar[bool] = False

    name: str

    @property
    @abstractmethod
    def items(self) -> int:
        """Number of independent pieces of work."""

    @abstractmethod
    def reads(self) -> tuple[Part, ...]:
        """Return what is read that the op did not write itself."""

    @abstractmethod
    def writes(self) -> tuple[Part, ...]:
        """Return what is written, memory that only the op itself needs included."""

    @abstractmethod
    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield how far each operand is touched."""

    @property
    def multiply_adds(self) -> int:
        """Number of scalar multiply-adds that are needed; what padding costs is not counted."""
        return 0

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield what contradicts itself: sizes that differ, pixels that do not begin at whole vectors."""
        return iter(())

    def details(self) -> Iterator[str]:
        """Yield lines for a description of the program."""
        return iter(())

    def fills(self) -> tuple[Tensor, ...]:
        """Return the written tensors of which every element is written, halo included, before any is read."""
        return ()

    def spares(self) -> tuple[Part, ...]:
        """Return what is written but for something, halos aside, that is read all the same: channels or columns that
        fill up a vector, or pixels between windows. They hold the zeros that memory is made of.
        """
        return ()

    def scratch(self) -> dict[Name, int]:
        """Return the memory that only the op itself needs, while it runs, and the sizes of it, elements."""
        return {}

    def inner_stages(self) -> tuple[Op, ...]:
        """Return the ops that it consists of: itself, but for a chain."""
        return (self,)

    @property
    def times(self) -> int:
        """How often each of its stages runs: once, or in a chain for every block of images."""
        return 1

    def before_last(self) -> tuple[int, int]:
        """Return how many images and slices of the batch lie before those that its stages see last."""
        return 0, 0


def present(*parts: Part | None) -> tuple[Part, ...]:
    """Leave out what an op does without."""
    return tuple(part for part in parts if part is not None)


def walked(what: str, part: Tensor | Panels | Vectors | None) -> Iterator[Reach]:
    """Yield the reach of an op that walks every pixel of a tensor, or all panels; none where there is nothing.

    Whether pixels begin at whole vectors is for `off_vectors` to say: there are tensors that are walked value by value.
    """
    match part:
        case Blocked():  # its zeros are written with it
            yield Reach(what, operand(part, 0), 0, part.images * part.image_step - 1)
        case Tensor():
            last = (part.images - 1) * part.image_step + (part.height - 1) * part.row_step
            end = last + part.width * part.pitch - 1
            yield Reach(what, operand(part, part.origin), 0, end, aligned=False)
        case Panels() | Vectors():
            yield Reach(what, part.begin, 0, part.size - 1)
        case None:
            return


def off_vectors(name: str, lanes: int, *tensors: Tensor | None) -> Iterator[str]:
    """Yield a fault for each tensor whose pixels do not begin at whole vectors."""
    for tensor in tensors:
        if tensor is not None and tensor.pitch % lanes:
            yield f"{name}: pixels of {tensor.name!r} lie {tensor.pitch} elements apart, not in vectors"


def other_size(name: str, tensor: Tensor, height: int, width: int) -> Iterator[str]:
    """Yield a fault where a tensor has not the pixels that are walked."""
    if (tensor.height, tensor.width) != (height, width):
        yield f"{name}: {tensor.name!r} has {tensor.height} x {tensor.width} pixels, {(height, width)} are walked"


def uneven_groups(name: str, groups: int, *counts: int) -> Iterator[str]:
    """Yield a fault for each number of channels or filters that groups do not divide."""
    for count in counts:
        if count % groups:
            yield f"{name}: {groups} groups do not divide {count}"


def other_channels(name: str, tensor: Tensor, channels: int) -> Iterator[str]:
    """Yield a fault where a tensor has not the channels that are walked."""
    if tensor.channels != channels:
        yield f"{name}: {tensor.name!r} has {tensor.channels} channels, {channels} are walked"
