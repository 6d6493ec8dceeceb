"""Normalization by the statistics of all slices of a training step: what a slice tells the others, and what follows.

`neocog.plan.ops.norm` has the ops of a batch that is one slice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from neocog.plan.layout import Operand
from neocog.plan.ops.norm import BatchStatistics, Slices
from neocog.plan.ops.op import Op, Part, Reach, present


@dataclass(frozen=True, slots=True)
class SliceMoments(Op):
    """Mean and Σ (x - mean)² of each channel over the images of a slice, from what `Moments` left.

    Arguments:
        moments: three vectors for each of the chain's parts.
        slices: the chain's parts of the slice.
        pixels: values of a channel in an image.
        out: two vectors: mean and Σ (x - mean)².
        channels, step: of a vector; elements from one vector to the next.
    """

    moments: Operand
    slices: Slices
    pixels: int
    out: Operand
    channels: int
    step: int

    @property
    def items(self) -> int:
        """All channels."""
        return 1

    def reads(self) -> tuple[Part, ...]:
        """Return the moments."""
        return (self.moments,)

    def writes(self) -> tuple[Part, ...]:
        """Return both vectors."""
        return (self.out,)

    def spares(self) -> tuple[Part, ...]:
        """Return the vectors: what fills up the last one stays zero."""
        return (self.out,)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all vectors."""
        yield Reach("moments", self.moments, 0, self.slices.count * 3 * self.step - 1)
        yield Reach("out", self.out, 0, 2 * self.step - 1)


@dataclass(frozen=True, slots=True)
class SyncStatistics(BatchStatistics):
    """The same as `BatchStatistics`, from what `SliceMoments` gave for every slice of the step.

    `moments` holds two vectors for each of `slices.count` slices, which have `slices.block` images each, or what is
    left of the step's.
    """

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all vectors."""
        yield Reach("moments", self.moments, 0, self.slices.count * 2 * self.step - 1)
        yield Reach("out", self.out, 0, 4 * self.step - 1)
        for vector in present(self.weight, self.bias, self.mean, self.variance):
            assert isinstance(vector, Operand)
            yield Reach("vector", vector, 0, self.step - 1)


@dataclass(frozen=True, slots=True)
class SliceSums(Op):
    """Σ g and Σ g (x - mean) of each channel over a slice, from those of the chain's parts.

    Arguments:
        sums: two vectors for each of `parts` parts.
        out: two vectors.
        channels, step: of a vector; elements from one vector to the next.
    """

    sums: Operand
    parts: int
    out: Operand
    channels: int
    step: int

    @property
    def items(self) -> int:
        """All channels."""
        return 1

    def reads(self) -> tuple[Part, ...]:
        """Return the sums of the parts."""
        return (self.sums,)

    def writes(self) -> tuple[Part, ...]:
        """Return those of the slice."""
        return (self.out,)

    def spares(self) -> tuple[Part, ...]:
        """Return the vectors: what fills up the last one stays zero."""
        return (self.out,)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all vectors."""
        yield Reach("sums", self.sums, 0, self.parts * 2 * self.step - 1)
        yield Reach("out", self.out, 0, 2 * self.step - 1)


@dataclass(frozen=True, slots=True)
class SyncGradient(Op):
    """Slope and offset, as `NormGradient` gives them, from the sums of all slices.

    Arguments:
        sums: two vectors for each of `slices` slices.
        pixels: values of a channel in an image.
        statistics: what `SyncStatistics` gave.
        out: two vectors: slope and offset.
        channels, step: of a vector; elements from one vector to the next.
    """

    sums: Operand
    slices: int
    pixels: int
    statistics: Operand
    out: Operand
    channels: int
    step: int

    @property
    def items(self) -> int:
        """All channels."""
        return 1

    def reads(self) -> tuple[Part, ...]:
        """Return the sums and the statistics."""
        return (self.sums, self.statistics)

    def writes(self) -> tuple[Part, ...]:
        """Return the vectors."""
        return (self.out,)

    def spares(self) -> tuple[Part, ...]:
        """Return the vectors: what fills up the last one stays zero."""
        return (self.out,)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all vectors."""
        yield Reach("sums", self.sums, 0, self.slices * 2 * self.step - 1)
        yield Reach("statistics", self.statistics, 0, 4 * self.step - 1)
        yield Reach("out", self.out, 0, 2 * self.step - 1)
