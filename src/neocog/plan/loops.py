"""Nests of loops with constant strides: how far each operand moves, how they merge, and how they are cut into tiles."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from neocog.target.processor import Target


@dataclass(frozen=True, slots=True)
class Axis:
    """One loop: how often, and how far each operand moves with every iteration (elements).

    `beside` is how far whatever lies beside the output moves: what an epilogue reads, or the mask of a pooling. A
    tag names an axis that must stay as it is, because something speaks of its iterations.
    """

    extent: int
    out: int = 0
    a: int = 0
    b: int = 0
    beside: int = 0
    tag: str = ""


def merge(axes: Sequence[Axis]) -> tuple[Axis, ...]:
    """Join neighbouring loops that walk all operands evenly, and drop loops of one iteration; outermost first."""
    merged: list[Axis] = []
    for axis in reversed(axes):
        if axis.extent == 1:
            continue
        if merged:
            inner = merged[-1]
            steps = [(axis.out, inner.out), (axis.a, inner.a), (axis.b, inner.b), (axis.beside, inner.beside)]
            if not axis.tag and not inner.tag and all(outer == inner.extent * step for outer, step in steps):
                merged[-1] = Axis(axis.extent * inner.extent, inner.out, inner.a, inner.b, inner.beside)
                continue
        merged.append(axis)
    return tuple(reversed(merged))


def span(axes: Iterable[Axis], which: str) -> tuple[int, int]:
    """Return the lowest and highest distance that loops move an operand; an empty loop moves nothing."""
    low = high = 0
    for axis in axes:
        far = max(0, axis.extent - 1) * int(getattr(axis, which))
        low, high = low + min(0, far), high + max(0, far)
    return low, high


@dataclass(frozen=True, slots=True)
class Split:
    """A nest of loops cut at one axis: axes before `axis` run one by one, that axis in `parts` nearly equal runs, and
    those behind it as a whole.
    """

    axes: tuple[Axis, ...]
    axis: int
    parts: int

    @property
    def outer(self) -> tuple[Axis, ...]:
        """The axes that run one by one."""
        return self.axes[: self.axis]

    @property
    def cut(self) -> Axis:
        """The axis that is cut; a single iteration where nothing is left to cut."""
        return self.axes[self.axis] if self.axis < len(self.axes) else Axis(1)

    @property
    def inner(self) -> tuple[Axis, ...]:
        """The axes that run as a whole."""
        return self.axes[self.axis + 1 :]

    @property
    def short(self) -> int:
        """Iterations of the cut axis in a short part; a long part has one more."""
        return self.cut.extent // self.parts

    @property
    def long_parts(self) -> int:
        """Number of long parts; they come first."""
        return self.cut.extent % self.parts

    @property
    def total(self) -> int:
        """Number of parts over all outer axes."""
        return math.prod(axis.extent for axis in self.outer) * self.parts

    def sizes(self) -> tuple[int, ...]:
        """Iterations of the cut axis in the parts that occur, longest first."""
        return (self.short + 1, self.short) if self.long_parts else (self.short,)


@dataclass(frozen=True, slots=True)
class Clip:
    """Which iterations of a row axis and of a reduction axis meet something: those with 0 ≤ place < limit, where

        place = origin + row iteration · row + reduction iteration · tap.

    The others meet a halo of zeros. Leaving them out changes no result, only the time that it takes.
    """

    rows: str  # tag of the row axis
    taps: str  # tag of the reduction axis
    origin: int
    row: int
    tap: int
    limit: int

    def meets(self, row: int, tap: int) -> bool:
        """Whether a pair meets something."""
        return 0 <= self.origin + row * self.row + tap * self.tap < self.limit


def tile_cost(rows: int, vectors: int, length: int, target: Target) -> float:
    """Estimate the cycles of one register tile over a reduction of `length`.

    Two multiply-adds and two loads start each cycle and an addition takes four: so many independent sums are needed
    before the loop runs at full speed. Where a multiply-add is two instructions, processors multiply beside adding, and
    what counts is how many instructions begin: four a cycle. The constant stands for entering and leaving the tile.
    """
    sums, loads = rows * vectors, rows + vectors
    cycles = max(sums / 2, loads / 2, 4.0) if target.fma else max((2 * sums + loads) / 4, 4.0)
    return length * cycles + 1.5 * rows * vectors + 12


def split_cost(split: Split, vectors: int, length: int, target: Target) -> float:
    """Estimate the cycles of all register tiles of a cut nest of rows, for one panel."""
    inner = math.prod(axis.extent for axis in split.inner)
    long, short = split.long_parts, split.parts - split.long_parts
    each = long * tile_cost((split.short + 1) * inner, vectors, length, target)
    each += short * tile_cost(split.short * inner, vectors, length, target)
    return each * math.prod(axis.extent for axis in split.outer)


def choose_rows(
    axes: tuple[Axis, ...], vectors: int, length: int, target: Target, *, cells: int = 1
) -> tuple[Split, float]:
    """Cut a nest of rows into register tiles of at most what the registers hold, at the least estimated cost.

    The rows of a tile share what they read of b, so an axis that moves b runs one by one.

    Arguments:
        axes: the rows' loops, merged.
        vectors: columns of a tile, in vectors.
        length: length of the reduction.
        cells: so many of the innermost rows must stay together, and fit a tile.

    Returns:
        the cut, and its estimated cycles for one panel.
    """
    limit = target.tile_rows(vectors)
    assert limit >= cells
    if not axes:
        return Split((), 0, 1), tile_cost(1, vectors, length, target)
    best: tuple[Split, float] | None = None
    inner = 1
    for position in reversed(range(len(axes))):
        extent = axes[position].extent
        if axes[position].b and best is None:
            whole = math.prod(axis.extent for axis in axes)
            best = Split(axes, len(axes), 1), tile_cost(1, vectors, length, target) * whole
        if axes[position].b or inner > limit:
            break
        if inner < cells:
            inner *= extent
            continue
        fewest = -(-extent // (limit // inner))
        for parts in range(fewest, min(extent, fewest + 2) + 1):
            split = Split(axes, position, parts)
            if (split.sizes()[0]) * inner > limit:
                continue
            cost = split_cost(split, vectors, length, target)
            if best is None or cost < best[1]:
                best = (split, cost)
        inner *= extent
    if best is None:  # the cells of one window are all there is
        best = Split(axes, 0, 1), tile_cost(inner, vectors, length, target)
    return best
