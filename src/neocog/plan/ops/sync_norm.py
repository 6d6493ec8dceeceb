"""Normalization by the statistics of all slices of a training step: what a slice tells the others, and what follows.

`neocog.plan.ops.norm` has the ops of a batch that is one slice.
"""

from __future__ import annotations

from dataclasses import dataclass

from neocog.plan.layout import Operand
from neocog.plan.ops.by_channel import ByChannel, Vectors
from neocog.plan.ops.norm import MOMENTS, BatchStatistics, NormGradient, Slices


@dataclass(frozen=True, slots=True)
class SliceMoments(ByChannel):
    """Mean and Σ (x - mean)² of each channel over the images of a slice, from what `Moments` left.

    Arguments:
        moments: three vectors for each of the chain's parts.
        slices: the chain's parts of the slice.
        pixels: values of a channel in an image.
        out: two vectors: mean and Σ (x - mean)².
    """

    moments: Operand
    slices: Slices
    pixels: int
    out: Operand

    def taken(self) -> Vectors:
        """Return the moments."""
        return {"moments": (self.moments, self.slices.count * MOMENTS)}

    def given(self) -> Vectors:
        """Return both vectors."""
        return {"out": (self.out, 2)}


@dataclass(frozen=True, slots=True)
class SyncStatistics(BatchStatistics):
    """The same as `BatchStatistics`, from what `SliceMoments` gave for every slice of the step.

    `moments` holds two vectors for each of `slices.count` slices, which have `slices.block` images each, or what is
    left of the step's.
    """

    def taken(self) -> Vectors:
        """Return the moments of all slices, γ and β."""
        return {
            "moments": (self.moments, self.slices.count * 2),
            "weight": (self.weight, 1),
            "bias": (self.bias, 1),
        }


@dataclass(frozen=True, slots=True)
class SliceSums(ByChannel):
    """Σ g and Σ g (x - mean) of each channel over a slice, from those of the chain's parts.

    Arguments:
        sums: two vectors for each of `parts` parts.
        out: two vectors.
    """

    sums: Operand
    parts: int
    out: Operand

    def taken(self) -> Vectors:
        """Return the sums of the parts."""
        return {"sums": (self.sums, self.parts * 2)}

    def given(self) -> Vectors:
        """Return those of the slice."""
        return {"out": (self.out, 2)}


@dataclass(frozen=True, slots=True)
class SyncGradient(NormGradient):
    """Slope and offset, as `NormGradient` gives them, from the sums of all slices; γ and β have no part in it.

    `sums` holds two vectors for each of `slices` slices of the step, `statistics` is what `SyncStatistics` gave.
    """
