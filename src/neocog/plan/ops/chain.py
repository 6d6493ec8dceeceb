"""Stages that take the batch a few images at a time, or one image a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from neocog.plan.ops.op import Op, Part, Reach


@dataclass(frozen=True, slots=True)
class Chain(Op):
    """Stages that run one after another for a few images at a time, so that what they hand on stays in a cache.

    Each is planned for `block` images. What lies in the arena of the whole batch moves along with them.

    Arguments:
        block: images at a time.
        blocks: of the batch.
        slices: runs of nearly as many blocks each, whose partial gradients are kept apart. They depend on shapes only,
            so that a result does not depend on the number of threads.
        rolls: whether blocks are bands of one image, each a slice of its own. What tensors of the arena hold of a band
            is planned as if it were an image, and a stage may keep what neighbours share from a thread's last band.
    """

    stages: tuple[Op, ...]
    block: int
    blocks: int
    slices: int
    rolls: bool = False

    @property
    def items(self) -> int:
        """One slice each."""
        return self.slices

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of all stages over the whole batch."""
        return self.blocks * sum(stage.multiply_adds for stage in self.stages)

    def reads(self) -> tuple[Part, ...]:
        """Return what any of its stages reads."""
        return tuple(part for stage in self.stages for part in stage.reads())

    def writes(self) -> tuple[Part, ...]:
        """Return what any of its stages writes."""
        return tuple(part for stage in self.stages for part in stage.writes())

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield how far its stages reach for the first images of the batch."""
        for stage in self.stages:
            yield from stage.reaches(lanes)

    def details(self) -> Iterator[str]:
        """Yield its stages, and their details."""
        blocks = f"{self.blocks} blocks of {self.block} images, in {self.slices} slices"
        yield f"chain: {f'{self.blocks} bands of an image' if self.rolls else blocks}"
        for number, stage in enumerate(self.stages):
            yield f".{number}  {stage.name}"
            yield from (f"  {line}" for line in stage.details())

    def inner_stages(self) -> tuple[Op, ...]:
        """Return its stages."""
        return self.stages

    @property
    def times(self) -> int:
        """One run for each block of images."""
        return self.blocks

    def before_last(self) -> tuple[int, int]:
        """Return how many images and slices lie before those of the last block."""
        return (self.blocks - 1) * self.block, self.slices - 1
