"""Contractions as machine code: work items, register tiles, and the one microkernel."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from neocog.emit.builder import Builder, Index, Value
from neocog.emit.memory import Memory
from neocog.plan.contraction import Axis, Contraction, Split

UNROLL_FMAS = 256  # most multiply-adds that the body of an innermost loop may hold
UNROLL_TURNS = 4  # turns of an innermost loop that are written out, where it is not written out whole


@dataclass(frozen=True, slots=True)
class Tile:
    """One variant of the register tile: where its rows lie relative to its first, and its vectors of columns."""

    rows: tuple[Axis, ...]  # one turn each; out, a and gate are the row's offsets
    vectors: int
    ones: bool


@dataclass(frozen=True, slots=True)
class Place:
    """How far each operand has moved, elements."""

    out: Index = 0
    a: Index = 0
    b: Index = 0
    gate: Index = 0

    def moved(self, b: Builder, axis: Axis, turns: Index) -> Place:
        """Go `turns` along an axis."""
        return Place(
            b.add(self.out, b.mul(turns, axis.out)),
            b.add(self.a, b.mul(turns, axis.a)),
            b.add(self.b, b.mul(turns, axis.b)),
            b.add(self.gate, b.mul(turns, axis.gate)),
        )


def emit_contraction(b: Builder, memory: Memory, stage: Contraction, low: Value, high: Value) -> None:
    """Write the work items low ≤ item < high of a contraction."""
    blocks = stage.reduction
    if blocks.total == 1:
        _emit_items(b, memory, stage, low, high, None, blocks.cut.extent, Place())
        return
    with b.loop(0, blocks.total) as (block, _):
        place, part = _outer(b, blocks, block, Place())
        first, turns = _part(b, blocks, part)
        place = place.moved(b, blocks.cut, first)
        _emit_items(b, memory, stage, low, high, block, turns, place)


def _emit_items(
    b: Builder,
    memory: Memory,
    stage: Contraction,
    low: Value,
    high: Value,
    block: Value | None,
    turns: Index,
    start: Place,
) -> None:
    with b.loop(low, high) as (item, _):
        if stage.panels_first:
            panel, rest = b.divmod(item, stage.rows.total)
        else:
            rest, panel = b.divmod(item, stage.panels)
        place, part = _outer(b, stage.rows, rest, start.moved(b, stage.panel_steps, panel))
        first, _ = _part(b, stage.rows, part)
        place = place.moved(b, stage.rows.cut, first)
        for tile in _variants(b, stage, panel, part, rest):
            _emit_tile(b, memory, stage, tile, place, b.mul(panel, stage.panel_steps.b), block, turns)


def _outer(b: Builder, split: Split, item: Index, place: Place) -> tuple[Place, Index]:
    rest, part = b.divmod(item, split.parts)
    for axis in reversed(split.outer):
        rest, turn = b.divmod(rest, axis.extent)
        place = place.moved(b, axis, turn)
    return place, part


def _part(b: Builder, split: Split, part: Index) -> tuple[Index, Index]:
    """Give the first turn of a part of the cut axis, and how many it has."""
    first = b.add(b.mul(part, split.short), b.minimum(part, split.long_parts))
    if not split.long_parts or isinstance(part, int):
        return first, split.short + (isinstance(part, int) and part < split.long_parts)
    longer = b.ir.zext(b.less(part, split.long_parts), b.index(0).type)
    return first, b.add(longer, split.short)


def _variants(b: Builder, stage: Contraction, panel: Index, part: Index, item: Index) -> Iterator[Tile]:
    """Give the register tiles that occur, each inside the branch that chooses it."""
    split = stage.rows
    inner = list(itertools.product(*(range(axis.extent) for axis in split.inner)))

    def rows(turns: int) -> tuple[Axis, ...]:
        return tuple(_row(split, turn, place) for turn in range(turns) for place in inner)

    by_panel: list[tuple[int, Value | None]] = [(stage.vectors, None)]
    if stage.last_vectors != stage.vectors:
        last = stage.panels - 1
        if stage.panels == 1:
            by_panel = [(stage.last_vectors, None)]
        else:
            by_panel = [
                (stage.vectors, b.less(panel, last)),
                (stage.last_vectors, b.less(last - 1, panel)),
            ]
    first_of_slice = _is_first(b, stage, item)
    sizes = split.sizes()
    for vectors, on_panel in by_panel:
        for position, turns in enumerate(sizes):
            on_size = None
            if len(sizes) == 2:
                on_size = b.less(part, split.long_parts) if position == 0 else b.less(split.long_parts - 1, part)
            for ones in (True, False) if stage.ones else (False,):
                if ones and position > 0:
                    continue  # the first part is a long one
                on_ones = None
                if stage.ones and position == 0:
                    on_ones = first_of_slice if ones else b.ir.not_(first_of_slice)
                with _all(b, (on_panel, on_size, on_ones)):
                    yield Tile(rows(turns), vectors, ones)


def _is_first(b: Builder, stage: Contraction, item: Index) -> Value:
    """Whether an item is the first to see its stretch of b: a's row of ones is summed with it, once."""
    moving = 1
    for axis in stage.rows.outer:
        if axis.b == 0:
            moving *= axis.extent
    _, place = b.divmod(b.index(item), moving * stage.rows.parts)
    return b.less(place, 1)


@contextmanager
def _all(b: Builder, conditions: Sequence[Value | None]) -> Iterator[None]:
    joined = None
    for condition in conditions:
        if condition is not None:
            joined = condition if joined is None else b.ir.and_(joined, condition)
    if joined is None:
        yield
        return
    with b.when(joined):
        yield


def _row(split: Split, turn: int, inner: tuple[int, ...]) -> Axis:
    steps = [(split.cut, turn), *zip(split.inner, inner, strict=True)]
    return Axis(
        1,
        sum(axis.out * n for axis, n in steps),
        sum(axis.a * n for axis, n in steps),
        0,
        sum(axis.gate * n for axis, n in steps),
    )


def _emit_tile(
    b: Builder,
    memory: Memory,
    stage: Contraction,
    tile: Tile,
    place: Place,
    panel_b: Index,
    block: Value | None,
    turns: Index,
) -> None:
    """Write one register tile: start from the bias or zero, reduce, and store with everything fused into the end."""
    lanes = b.lanes
    columns = range(tile.vectors)
    out = b.at(memory.operand(stage.out), place.out)
    rows = len(tile.rows)
    if stage.bias is not None:
        bias = b.at(memory.operand(stage.bias), panel_b)
        start = [b.load(bias, v * lanes) for v in columns] * rows
    else:
        start = [b.splat(0.0)] * (tile.vectors * rows)
    if tile.ones:
        start = start + [b.splat(0.0)] * tile.vectors
    a, weights = b.at(memory.operand(stage.a), place.a), b.at(memory.operand(stage.b), place.b)
    sums = _reduce(b, tile, stage.reduction, turns, a, weights, start)

    def accumulated(value: Value, base: Value, offset: int) -> Value:
        if block is None:
            return value
        old = b.ir.select(b.less(block, 1), b.splat(0.0), b.load(base, offset))
        return b.ir.fadd(old, value)

    for p, row in enumerate(tile.rows):
        for v in columns:
            value = accumulated(sums[p * tile.vectors + v], out, row.out + v * lanes)
            if stage.relu:
                value = b.relu(value)
            if stage.gate is not None:
                gate = b.at(memory.operand(stage.gate), place.gate)
                value = b.gated(value, b.load(gate, row.gate + v * lanes))
            b.store(value, out, row.out + v * lanes)
    if tile.ones and stage.ones is not None:
        ones = b.at(memory.operand(stage.ones), place.out)
        for v in columns:
            b.store(accumulated(sums[rows * tile.vectors + v], ones, v * lanes), ones, v * lanes)


def _reduce(
    b: Builder, tile: Tile, reduction: Split, turns: Index, a: Value, weights: Value, sums: list[Value]
) -> list[Value]:
    """Write the loops over k around the microkernel's body; `turns` counts those of the cut axis."""
    if not reduction.axes:
        return _multiply(b, tile, a, weights, [(0, 0)], sums)
    axes = [(reduction.cut, turns), *((axis, axis.extent) for axis in reduction.inner)]
    fmas = len(tile.rows) * tile.vectors
    written: list[tuple[int, int]] = [(0, 0)]
    while axes and isinstance(axes[-1][1], int) and len(written) * axes[-1][1] * fmas <= UNROLL_FMAS:
        axis, extent = axes.pop()
        written = [(n * axis.a + x, n * axis.b + y) for n in range(extent) for x, y in written]

    def nest(depth: int, a: Value, weights: Value, sums: list[Value]) -> list[Value]:
        if depth == len(axes):
            return _multiply(b, tile, a, weights, written, sums)
        axis, extent = axes[depth]
        step = 1
        if depth == len(axes) - 1:
            step = max(1, min(UNROLL_TURNS, UNROLL_FMAS // (fmas * len(written))))
        whole, _ = b.divmod(extent, step)
        with b.loop(0, whole, sums) as (turn, carried):
            here = b.mul(turn, step)
            for n in range(step):
                at = b.add(here, n)
                moved_a, moved_b = b.at(a, b.mul(at, axis.a)), b.at(weights, b.mul(at, axis.b))
                carried[:] = nest(depth + 1, moved_a, moved_b, carried)
        if step > 1 and not (isinstance(extent, int) and extent % step == 0):
            with b.loop(b.mul(whole, step), extent, carried) as (turn, rest):
                moved_a, moved_b = b.at(a, b.mul(turn, axis.a)), b.at(weights, b.mul(turn, axis.b))
                rest[:] = nest(depth + 1, moved_a, moved_b, rest)
            return rest
        return carried

    return nest(0, a, weights, sums)


def _multiply(
    b: Builder, tile: Tile, a: Value, weights: Value, steps: Sequence[tuple[int, int]], sums: list[Value]
) -> list[Value]:
    """The microkernel:  sums[p][v] += a[p, k] * b[k, v]  for the k's written out in `steps`."""
    sums = list(sums)
    for step_a, step_b in steps:
        vectors = [b.load(weights, step_b + v * b.lanes) for v in range(tile.vectors)]
        for p, row in enumerate(tile.rows):
            value = b.splat(b.load_scalar(a, step_a + row.a))
            for v, vector in enumerate(vectors):
                place = p * tile.vectors + v
                sums[place] = b.multiply_add(value, vector, sums[place])
        if tile.ones:
            for v, vector in enumerate(vectors):
                place = len(tile.rows) * tile.vectors + v
                sums[place] = b.ir.fadd(sums[place], vector)
    return sums
