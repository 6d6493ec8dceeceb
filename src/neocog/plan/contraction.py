"""The one piece of linear algebra that everything is made of: a tiled, batch-reduced matrix product.

    out[row, column] = sum over k of  a[row, k] * b[k, column]

Rows and reductions are nests of loops with constant strides, so that one description covers a convolution (rows are
pixels, reductions are taps and channels), both of its gradients and a fully connected layer. After Georganas et al.
2019, High-performance deep learning via a single building block (arXiv 1906.06440).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from neocog.plan.layout import Space
from neocog.plan.target import Target

NOBODY = 255  # the winner of a window whose largest value a ReLU stopped
LEAST_REUSE = 4  # register tiles that share a block of a panel, so that it is worth keeping near


@dataclass(frozen=True, slots=True)
class Axis:
    """One loop: how often, and how far each operand moves with every turn (elements).

    `gate` is how far whatever lies beside the output moves: the gate of a ReLU, or the winners of a pooling. A tag
    names an axis that must stay as it is, because something speaks of its turns.
    """

    extent: int
    out: int = 0
    a: int = 0
    b: int = 0
    gate: int = 0
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Operand:
    """Where an operand begins: a named piece of memory, and elements into it.

    Inside a chain, which runs for a few images at a time, it moves `image` elements for every image before them, and
    `slice` elements for every slice of the batch.
    """

    space: Space
    name: str
    start: int
    image: int = 0
    slice: int = 0
    bytes_each: int = 4  # size of one element


def merge(axes: Sequence[Axis]) -> tuple[Axis, ...]:
    """Join neighbouring loops that walk all operands evenly, and drop loops of one turn; outermost first."""
    merged: list[Axis] = []
    for axis in reversed(axes):
        if axis.extent == 1:
            continue
        if merged:
            inner = merged[-1]
            steps = [(axis.out, inner.out), (axis.a, inner.a), (axis.b, inner.b), (axis.gate, inner.gate)]
            if not axis.tag and not inner.tag and all(outer == inner.extent * step for outer, step in steps):
                merged[-1] = Axis(axis.extent * inner.extent, inner.out, inner.a, inner.b, inner.gate)
                continue
        merged.append(axis)
    return tuple(reversed(merged))


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
        """The axis that is cut; a single turn where nothing is left to cut."""
        return self.axes[self.axis] if self.axis < len(self.axes) else Axis(1)

    @property
    def inner(self) -> tuple[Axis, ...]:
        """The axes that run as a whole."""
        return self.axes[self.axis + 1 :]

    @property
    def short(self) -> int:
        """Turns of the cut axis in a short part; a long part has one more."""
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
        """Turns of the cut axis in the parts that occur, longest first."""
        return (self.short + 1, self.short) if self.long_parts else (self.short,)


@dataclass(frozen=True, slots=True)
class Clip:
    """Which turns of a row axis and of a reduction axis meet something: those with 0 ≤ place < limit, where

        place = origin + row turn · row + reduction turn · tap.

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


@dataclass(frozen=True, slots=True)
class Contraction:
    """out = a · b over strided loops, in register tiles, with what follows fused into its end.

    Arguments:
        out, a, b: where the operands begin.
        rows: loops over the rows of `out`, cut into register tiles.
        reduction: loops over k, cut into blocks: each block is summed in registers from zero and added to `out`.
        columns: number of columns that count; the rest of the last vector is padding.
        panels: number of column panels; every one has `vectors` vectors but for the last, which has `last_vectors`.
        panel_steps: how far out, b and gate move from panel to panel.
        bias: added to every row, one value a column; moves with b's panels.
        relu: whether negative sums become zero.
        gate: an activation shaped like `out`; where it is not above zero, zero is stored (ReLU's backward pass).
        ones: also sum b over k, as if a had one more row of ones, into `ones` (the gradient of a bias).
        cells: the innermost rows are the cells of a pooling's window: only the largest of so many is stored; 1 without.
        winner: bytes beside `out`: which cell was the largest, or NOBODY where a ReLU stops it.
        accumulates: in a chain, whether what an earlier block of the same slice left in `out` is added to.
        panels_first: whether neighbouring work items share the panel (weights stay near) or the rows (inputs do).
        clips: pairs of row and reduction that need no work, because a holds zeros there.
    """

    name: str
    out: Operand
    a: Operand
    b: Operand
    rows: Split
    reduction: Split
    columns: int
    panels: int
    vectors: int
    last_vectors: int
    panel_steps: Axis
    bias: Operand | None = None
    relu: bool = False
    gate: Operand | None = None
    ones: Operand | None = None
    cells: int = 1
    winner: Operand | None = None
    accumulates: bool = False
    panels_first: bool = False
    clips: tuple[Clip, ...] = ()

    @property
    def items(self) -> int:
        """Number of independent pieces of work."""
        return self.rows.total * self.panels

    @property
    def items_first(self) -> bool:
        """Whether each item takes all blocks of the reduction before the next one begins, and not each block all items.

        So a few rows read the weights in the order in which they lie; many find a block of them in the cache.
        """
        return self.rows.total < LEAST_REUSE

    @property
    def multiply_adds(self) -> int:
        """Number of scalar multiply-adds that are needed; what padding costs is not counted."""
        return self.columns * math.prod(axis.extent for axis in (*self.rows.axes, *self.reduction.axes))


def tile_cost(rows: int, vectors: int, length: int, target: Target) -> float:
    """Estimate the cycles of one register tile over a reduction of `length`.

    Two multiply-adds and two loads start each cycle and an addition takes four: so many independent sums are needed
    before the loop runs at full speed. The constant stands for entering and leaving the tile.
    """
    slots = 1 if target.fma else 2
    cycles = max(rows * vectors * slots / 2, (rows + vectors) / 2, 4.0)
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
