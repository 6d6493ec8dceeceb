"""An expression evaluated for every value of an image, and sums of it over pixels, of a batch or of each image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from neocog.plan.layout import Operand, Tensor
from neocog.plan.ops.op import Op, Part, Reach, off_vectors, other_size, walked
from neocog.plan.ops.pointwise import Expression, Settle


@dataclass(frozen=True, slots=True)
class Sums:
    """For every channel, the sums over images and pixels of a value, and of its product with another.

    Arguments:
        out: a vector of `step` elements for each sum, for each slice of the batch.
        other: the other factor; None: there is no product.
        step: channels, rounded up to whole vectors.
        plain: whether the sum of the value itself is wanted too; it comes first.
    """

    out: Operand
    other: Expression | None
    step: int
    plain: bool = True

    @property
    def count(self) -> int:
        """Number of sums."""
        return (self.other is not None) + self.plain

    def settled(self, settle: Settle) -> Sums:
        """Return the sums with their tensors as a stage sees them."""
        return self if self.other is None else replace(self, other=self.other.settled(settle))


@dataclass(frozen=True, slots=True)
class Map(Op):
    """y = value, pixel by pixel, and sums of the values; y may be left out.

    With sums, an op covers the images of a block of a chain at once, and adds to what the slice's blocks before left.
    """

    takes_blocked: ClassVar[bool] = True

    value: Expression
    y: Tensor | None
    sums: tuple[Sums, ...] = ()

    @property
    def shape(self) -> Tensor:
        """A tensor with the pixels that are walked."""
        return self.y if self.y is not None else self.value.x

    @property
    def items(self) -> int:
        """One row of one image each; everything at once where sums are wanted."""
        return 1 if self.sums else self.shape.images * self.shape.height

    def _expressions(self) -> tuple[Expression, ...]:
        return (self.value, *(sums.other for sums in self.sums if sums.other is not None))

    def reads(self) -> tuple[Part, ...]:
        """Return all tensors and vectors of the expressions."""
        expressions = self._expressions()
        tensors = tuple(tensor for expression in expressions for tensor in expression.tensors())
        scalars = tuple(scalar for expression in expressions for scalar in expression.scalars())
        return (*tensors, *(vector for expression in expressions for vector in expression.vectors()), *scalars)

    def writes(self) -> tuple[Part, ...]:
        """Return y and the sums."""
        outs = tuple(sums.out for sums in self.sums)
        return outs if self.y is None else (self.y, *outs)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all pixels, and the vectors."""
        for expression in self._expressions():
            for tensor in expression.tensors():
                yield from walked("x", tensor)
            for vector in expression.vectors():
                yield Reach("vector", vector, 0, _rounded(self.shape.channels, lanes) - 1)
            for scalar in expression.scalars():
                yield Reach("scalar", scalar, 0, 0, aligned=False)
        yield from walked("y", self.y)
        for sums in self.sums:
            yield Reach("sums", sums.out, 0, sums.count * sums.step - 1)

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield sizes that differ, and pixels off whole vectors."""
        for expression in self._expressions():
            yield from _value_faults(self.name, lanes, expression, self.shape)
        yield from off_vectors(self.name, lanes, self.y)

    def details(self) -> Iterator[str]:
        """Yield the expression."""
        yield self.value.label
        for sums in self.sums:
            of = ["it"] * sums.plain + ([f"its product with {sums.other.label}"] if sums.other is not None else [])
            yield f"sums over pixels of {' and of '.join(of)}"


@dataclass(frozen=True, slots=True)
class PixelSum(Op):
    """For each image, y = the sum of a value over so many rows and columns."""

    takes_blocked: ClassVar[bool] = True

    value: Expression
    y: Tensor
    height: int
    width: int

    @property
    def shape(self) -> Tensor:
        """A tensor with the pixels that are walked."""
        return replace(self.y, height=self.height, width=self.width)

    @property
    def items(self) -> int:
        """One image each."""
        return self.y.images

    def reads(self) -> tuple[Part, ...]:
        """Return all tensors and vectors of the expression."""
        return (*self.value.tensors(), *self.value.vectors(), *self.value.scalars())

    def writes(self) -> tuple[Part, ...]:
        """Return the sums."""
        return (self.y,)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all pixels, and the vectors."""
        for tensor in self.value.tensors():
            yield from walked("x", tensor)
        for vector in self.value.vectors():
            yield Reach("vector", vector, 0, _rounded(self.y.channels, lanes) - 1)
        for scalar in self.value.scalars():
            yield Reach("scalar", scalar, 0, 0, aligned=False)
        yield from walked("y", self.y)

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield sizes that differ, and pixels off whole vectors."""
        yield from _value_faults(self.name, lanes, self.value, self.shape)
        yield from other_size(self.name, self.y, 1, 1)
        yield from off_vectors(self.name, lanes, self.y)

    def details(self) -> Iterator[str]:
        """Yield the expression."""
        yield self.value.label


def _value_faults(name: str, lanes: int, value: Expression, shape: Tensor) -> Iterator[str]:
    """Yield tensors of a value that have other pixels than it is wanted for, or that lie off whole vectors."""
    for tensor in value.tensors():
        if (tensor.height, tensor.width) not in ((shape.height, shape.width), (1, 1)):
            yield f"{name}: {tensor.name!r} and {shape.name!r} differ in size"
        yield from off_vectors(name, lanes, tensor)


def _rounded(channels: int, lanes: int) -> int:
    return -(-channels // lanes) * lanes
