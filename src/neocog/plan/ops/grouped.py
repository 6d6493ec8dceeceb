"""Filters of groups, spread out to blocks that a matrix product takes, and their gradient gathered.

Groups that lie side by side make a block, whose channels and filters both begin and end at whole vectors. Its matrix
holds zeros where a filter does not see a channel: with 4 channels a group and 16 lanes, four groups are one block.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from neocog.plan.layout import Panels
from neocog.plan.ops.op import Op, Part, Reach, walked


def groups_together(groups: int, inputs: int, outputs: int, lanes: int) -> int:
    """Return how many neighbouring groups, of so many channels and filters each, begin and end at whole vectors."""
    return min(groups, math.lcm(*(lanes // math.gcd(lanes, each) for each in (inputs, outputs))))


@dataclass(frozen=True, slots=True)
class Spread(Op):
    """Write the matrix of a block: zeros, and in them the filters of its groups.

    Arguments:
        filters: those of the block, in panels as wide as a vector; rows are (tap, channel of the group).
        block: rows are (tap, channel of the block).
        taps: of a filter.
        inputs, outputs: channels and filters of one group.
    """

    filters: Panels
    block: Panels
    taps: int
    inputs: int
    outputs: int

    @property
    def items(self) -> int:
        """A vector of filters each."""
        return self.filters.count

    def reads(self) -> tuple[Part, ...]:
        """Return the filters."""
        return (self.filters,)

    def writes(self) -> tuple[Part, ...]:
        """Return the matrix."""
        return (self.block,)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all of both."""
        yield from walked("filters", self.filters)
        yield from walked("block", self.block)

    def spares(self) -> tuple[Part, ...]:
        """Return the matrix where its columns do not fill the last panel."""
        written = self.filters.count * self.filters.width
        return (self.block,) if written % self.block.width else ()

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield sizes that do not belong together."""
        yield from _faults(self, lanes)


@dataclass(frozen=True, slots=True)
class Gather(Op):
    """Read the gradient of the filters from that of a block's matrix; what belongs to its zeros is left.

    Arguments are those of `Spread`.
    """

    block: Panels
    filters: Panels
    taps: int
    inputs: int
    outputs: int

    @property
    def items(self) -> int:
        """A vector of filters each."""
        return self.filters.count

    def reads(self) -> tuple[Part, ...]:
        """Return the gradient of the matrix."""
        return (self.block,)

    def writes(self) -> tuple[Part, ...]:
        """Return that of the filters."""
        return (self.filters,)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all of both."""
        yield from walked("block", self.block)
        yield from walked("filters", self.filters)

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield sizes that do not belong together."""
        yield from _faults(self, lanes)


def _faults(op: Spread | Gather, lanes: int) -> Iterator[str]:
    groups = op.filters.columns // op.outputs
    if op.filters.width != lanes or op.block.width % lanes:
        yield f"{op.name}: panels are no whole vectors"
    if op.filters.columns != op.block.columns or op.filters.columns % op.outputs:
        yield f"{op.name}: {op.block.columns} columns are not those of groups of {op.outputs} filters"
    if op.filters.rows != op.taps * op.inputs or op.block.rows != op.taps * op.inputs * groups:
        yield f"{op.name}: rows are not those of {op.taps} taps of groups of {op.inputs} channels"
