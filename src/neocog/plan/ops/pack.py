"""Weights in the order in which products of tiles read them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from neocog.plan.blocked import PANEL
from neocog.plan.layout import Operand, Panels
from neocog.plan.ops.op import Op, Part, Reach, uneven_groups, walked
from neocog.plan.ops.product import PANEL_TAP, planes_seen


@dataclass(frozen=True, slots=True)
class TapRange:
    """Taps of an axis in the order in which they are read: how many, the first one, and from one to the next."""

    count: int
    first: int = 0
    step: int = 1


@dataclass(frozen=True, slots=True)
class PackTiles(Op):
    """Round weights to bfloat16, in the order in which tiles read them:
    [filter // 32][plane][tap][filter // 16 % 2][channel // 2 % 16][filter % 16][channel % 2].

    Arguments:
        weights: rows are (tap, channel).
        channels: of a tap, those of one group.
        down, across: which taps of a filter.
        row: taps of a row of a filter.
        out: where they go.
        groups: of channels and filters; planes are those that a panel sees.
    """

    weights: Panels
    channels: int
    down: TapRange
    across: TapRange
    row: int
    out: Operand
    groups: int = 1

    @property
    def taps(self) -> int:
        """Number of taps."""
        return self.down.count * self.across.count

    @property
    def planes(self) -> int:
        """Planes of channels that a panel sees."""
        return planes_seen(self.groups, self.channels, self.weights.columns // self.groups)

    @property
    def panels(self) -> int:
        """Panels of filters."""
        return -(-self.weights.columns // PANEL)

    @property
    def items(self) -> int:
        """One tap and plane of a panel each."""
        return self.panels * self.planes * self.taps

    @property
    def size(self) -> int:
        """Elements that are written."""
        return self.items * PANEL_TAP

    def reads(self) -> tuple[Part, ...]:
        """Return the weights."""
        return (self.weights,)

    def writes(self) -> tuple[Part, ...]:
        """Return the tiles."""
        return (self.out,)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all weights, and all tiles."""
        yield from walked("weights", self.weights)
        yield Reach("tiles", self.out, 0, self.size - 1)

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield a matrix with other rows or columns."""
        yield from uneven_groups(self.name, self.groups, self.weights.columns)
        if self.weights.rows % (self.row * self.channels):
            yield f"{self.name}: {self.weights.rows} rows of weights are no taps of {self.channels} channels"
