"""Filters of groups, spread out to blocks that a matrix product takes, and their gradient gathered; or transposed.

Groups that lie side by side make a block, whose channels and filters both begin and end at whole vectors. Its matrix
holds zeros where a filter does not see a channel: with 4 channels a group and 16 lanes, four groups are one block.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from neocog.plan.layout import Panels
from neocog.plan.ops.op import Op, Part, Reach, uneven_groups, walked


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


@dataclass(frozen=True, slots=True)
class TransposeGroups(Op):
    """Write filters with inputs and outputs swapped within each group, tap by tap, for the gradient of the input.

    Arguments:
        filters: rows are (tap, channel of the group).
        transposed: rows are (tap, filter of the group), columns the channels of all groups.
        taps: of a filter.
        groups: of channels and filters.
    """

    filters: Panels
    transposed: Panels
    taps: int
    groups: int

    @property
    def inputs(self) -> int:
        """Channels of one group."""
        return self.transposed.columns // self.groups

    @property
    def outputs(self) -> int:
        """Filters of one group."""
        return self.filters.columns // self.groups

    @property
    def items(self) -> int:
        """One panel of one tap each."""
        return self.taps * self.transposed.count

    def reads(self) -> tuple[Part, ...]:
        """Return the filters."""
        return (self.filters,)

    def writes(self) -> tuple[Part, ...]:
        """Return their copy."""
        return (self.transposed,)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all of both."""
        yield from walked("filters", self.filters)
        yield from walked("transposed", self.transposed)

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield sizes that do not belong together."""
        yield from uneven_groups(self.name, self.groups, self.transposed.columns, self.filters.columns)
        rows = self.taps * self.inputs, self.taps * self.outputs
        if (self.filters.rows, self.transposed.rows) != rows:
            yield f"{self.name}: rows are not those of {self.taps} taps of {self.groups} groups"


def _faults(op: Spread | Gather, lanes: int) -> Iterator[str]:
    groups = op.filters.columns // op.outputs
    if op.filters.width != lanes or op.block.width % lanes:
        yield f"{op.name}: panels are no whole vectors"
    if op.filters.columns != op.block.columns or op.filters.columns % op.outputs:
        yield f"{op.name}: {op.block.columns} columns are not those of groups of {op.outputs} filters"
    if op.filters.rows != op.taps * op.inputs or op.block.rows != op.taps * op.inputs * groups:
        yield f"{op.name}: rows are not those of {op.taps} taps of groups of {op.inputs} channels"
