"""The one microkernel, and the register tile around it: start, reduce, and store with everything fused into the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llvmlite import ir

from neocog.emit.addresses import Addresses
from neocog.emit.argmax import largest, stopped, store_argmax
from neocog.emit.builder import F32, I8, I32, Builder, Index, IrValue
from neocog.emit.dot import add_dot
from neocog.emit.epilogue import finished
from neocog.emit.pointwise import Beside
from neocog.emit.rounded import store_rounded
from neocog.plan.clip import is_written
from neocog.plan.layout import Operand
from neocog.plan.loops import Axis, Clip
from neocog.plan.ops.contraction import Contraction
from neocog.plan.rounded import TOGETHER

Bounds = tuple[Index, Index]  # a first iteration and a last or, for loops, the one behind the last
UNROLL = 4  # iterations of an innermost loop that are written out, where it is not written out whole


@dataclass(frozen=True, slots=True)
class Tile:
    """One variant of the register tile: where its rows lie relative to its first, and its vectors of columns."""

    rows: tuple[Axis, ...]  # one iteration each; out, a and beside are the row's offsets
    iterations: tuple[dict[str, int], ...]  # for each row, its iteration of each tagged axis
    vectors: int
    ones: bool

    def rows_that_meet(self, clips: Sequence[Clip], taps: str, tap: int) -> list[int]:
        """List the rows that meet something at an iteration of a reduction axis."""
        about = [clip for clip in clips if clip.taps == taps]
        return [
            p
            for p, iteration in enumerate(self.iterations)
            if all(clip.meets(iteration[clip.rows], tap) for clip in about)
        ]


@dataclass(frozen=True, slots=True)
class Offsets:
    """How far each operand has moved, elements."""

    out: Index = 0
    a: Index = 0
    b: Index = 0
    beside: Index = 0

    def moved(self, b: Builder, axis: Axis, iterations: Index) -> Offsets:
        """Go `iterations` along an axis."""
        return Offsets(
            b.add(self.out, b.mul(iterations, axis.out)),
            b.add(self.a, b.mul(iterations, axis.a)),
            b.add(self.b, b.mul(iterations, axis.b)),
            b.add(self.beside, b.mul(iterations, axis.beside)),
        )


def emit_tile(
    b: Builder,
    addresses: Addresses,
    stage: Contraction,
    tile: Tile,
    place: Offsets,
    panel: Index,
    block: IrValue | None,
    bounds: Bounds,
) -> None:
    """Write one register tile: start from the bias or zero, reduce, and store with everything fused into the end."""
    lanes, whole = b.lanes, stage.factors != "float32"
    columns = range(tile.vectors)
    width = stage.vectors * lanes
    out = b.at(addresses.operand(stage.out), place.out, _element(stage.out))
    rows = len(tile.rows)
    zero = [b.splat_i32(0) if whole else b.splat(0.0)] * tile.vectors
    bias = zero
    if stage.bias is not None:
        from_panel, kind = b.at(addresses.operand(stage.bias), b.mul(panel, width)), zero[0].type
        bias = [b.load(from_panel, v * lanes, kind=kind) for v in columns]
    start = (zero if block is not None else bias) * rows
    if tile.ones:
        start = start + [b.splat(0.0)] * tile.vectors
    a = b.at(addresses.operand(stage.a), place.a, _element(stage.a))
    weights = b.at(addresses.operand(stage.b), place.b)
    sums = _reduce(b, tile, stage, bounds, a, weights, start)

    def accumulated(value: IrValue, base: IrValue, offset: int, first: IrValue) -> IrValue:
        if block is None:
            return value
        return b.ir.fadd(b.ir.select(b.less(block, 1), first, b.load(base, offset)), value)

    # What follows the sum waits for its last block; values before that may be anything.
    last = b.less(stage.reduction.total - 2, block) if block is not None and not stage.accumulates else None

    def finish(row: Axis, v: int, value: IrValue) -> IrValue:
        if whole:
            value = b.ir.sitofp(value, b.vector)
        if not stage.epilogue:
            return value
        channel = b.add(b.mul(panel, width), v * lanes)
        spot = Beside(place.beside, stage.beside + row.beside + v * lanes, channel)
        return finished(b, addresses, stage.epilogue, value, spot, stage.columns)

    if stage.cells > 1 or stage.mask is not None:  # windows of one pixel have a mask as well
        _emit_windows(b, addresses, stage, tile, place, out, sums, finish)
        return
    for p, row in enumerate(tile.rows):
        for v in columns:
            value = accumulated(sums[p * tile.vectors + v], out, row.out + v * lanes, bias[v])
            done = finish(row, v, value)
            if last is not None and done is not value:
                done = b.ir.select(last, done, value)
            _store(b, stage, done, out, row.out + v * lanes)
    if tile.ones and stage.ones is not None:
        # out has moved by panels of its own; what is left is how far the rows have.
        apart = b.add(place.out, b.mul(panel, width - stage.panel_steps.out))
        ones = b.at(addresses.operand(stage.ones), apart)
        for v in columns:
            b.store(accumulated(sums[rows * tile.vectors + v], ones, v * lanes, zero[v]), ones, v * lanes)


def _emit_windows(
    b: Builder,
    addresses: Addresses,
    stage: Contraction,
    tile: Tile,
    place: Offsets,
    out: IrValue,
    sums: Sequence[IrValue],
    finish: Callable[[Axis, int, IrValue], IrValue],
) -> None:
    """Store the largest of each window, whose cells are neighbouring rows, and which cell it was: none, where the
    epilogue stops it.
    """
    for first in range(0, len(tile.rows), stage.cells):
        row = tile.rows[first]
        for v in range(tile.vectors):
            cells = [sums[p * tile.vectors + v] for p in range(first, first + stage.cells)]
            value, argmax = largest(b, cells, ask=stage.mask is not None)
            value = finish(row, v, value)
            _store(b, stage, value, out, row.out + v * b.lanes)
            if stage.mask is not None and argmax is not None:
                if stage.epilogue:
                    argmax = stopped(b, value, argmax)
                beside = b.at(addresses.operand(stage.mask), place.beside, I8)
                store_argmax(b, argmax, b.at(beside, row.beside + v * b.lanes, I8), I8)


def _reduce(
    b: Builder, tile: Tile, stage: Contraction, bounds: Bounds, a: IrValue, weights: IrValue, sums: list[IrValue]
) -> list[IrValue]:
    """Write the loops over k around the microkernel's body; `bounds` are those of the cut axis."""
    reduction = stage.reduction
    if not reduction.axes:
        return _multiply(b, stage, tile, range(len(tile.rows)), a, weights, [(0, 0)], sums)
    written_clips = [clip for clip in stage.clips if is_written(clip, stage.rows)]
    axes = [(reduction.cut, bounds), *((axis, (0, axis.extent)) for axis in reduction.inner)]
    fmas = max(1, len(tile.rows)) * tile.vectors
    steps: list[tuple[int, int]] = [(0, 0)]
    while axes and _is_constant(axes[-1][1]) and not axes[-1][0].tag:
        axis, extent = axes[-1][0], axes[-1][1][1]
        if len(steps) * extent * fmas > b.target.body:
            break
        axes.pop()
        steps = [(n * axis.a + x, n * axis.b + y) for n in range(extent) for x, y in steps]

    if axes:
        # Only how they move in these loops matters there, and LLVM takes long where it sees how all others move them.
        a, weights = b.opaque(a), b.opaque(weights)

    def nest(depth: int, rows: Sequence[int], a: IrValue, weights: IrValue, sums: list[IrValue]) -> list[IrValue]:
        if not axes:
            return _multiply(b, stage, tile, rows, a, weights, steps, sums)
        axis, (start, stop) = axes[depth]

        def iterate(n: Index, rows: Sequence[int], sums: list[IrValue], written: int = 1) -> list[IrValue]:
            moved = b.at(a, b.mul(n, axis.a), _element(stage.a)), b.at(weights, b.mul(n, axis.b))
            if depth < len(axes) - 1:
                return nest(depth + 1, rows, *moved, sums)
            several = [(i * axis.a + x, i * axis.b + y) for i in range(written) for x, y in steps]
            return _multiply(b, stage, tile, rows, *moved, several, sums)

        if any(clip.taps == axis.tag for clip in written_clips):
            for n in range(axis.extent):
                sums = iterate(n, [p for p in tile.rows_that_meet(written_clips, axis.tag, n) if p in rows], sums)
            return sums
        step = 1
        if depth == len(axes) - 1 and not axis.tag:
            step = max(1, min(UNROLL, b.target.body // (fmas * len(steps))))
        whole, _ = b.divmod(b.sub(stop, start), step)
        with b.loop(0, whole, sums) as (group, carried):
            first = b.add(start, b.mul(group, step))
            carried[:] = iterate(first, rows, carried, step)
        if step > 1 and not (_is_constant((start, stop)) and (stop - start) % step == 0):
            with b.loop(b.add(start, b.mul(whole, step)), stop, carried) as (last, rest):
                rest[:] = iterate(last, rows, rest)
            return rest
        return carried

    return nest(0, range(len(tile.rows)), a, weights, sums)


def _is_constant(bounds: Bounds) -> bool:
    return isinstance(bounds[0], int) and isinstance(bounds[1], int)


def _element(operand: Operand) -> ir.Type:
    """Return what an operand's steps are counted in."""
    return I8 if operand.bytes_each == 1 else F32


def _store(b: Builder, stage: Contraction, value: IrValue, out: IrValue, offset: int) -> None:
    if stage.out.bytes_each == 1:
        store_rounded(b, value, out, offset)
    else:
        b.store(value, out, offset)


def _multiply(
    b: Builder,
    stage: Contraction,
    tile: Tile,
    rows: Sequence[int],
    a: IrValue,
    weights: IrValue,
    steps: Sequence[tuple[int, int]],
    sums: list[IrValue],
) -> list[IrValue]:
    """The microkernel:  sums[p][v] += a[p, k] * b[k, v]  for the rows p given and the k's written out in `steps`."""
    sums, whole = list(sums), stage.factors != "float32"
    kind = b.vector_i32 if whole else b.vector
    axes = (*stage.rows.axes, *stage.reduction.axes)
    apart = stage.a.start % TOGETHER or any(axis.a % TOGETHER for axis in axes)
    align = 1 if apart else TOGETHER  # of words of an image
    for step_a, step_b in steps:
        *sums, a, weights = b.in_turn(*sums, a, weights)
        vectors = [b.load(weights, step_b + v * b.lanes, kind=kind) for v in range(tile.vectors)]
        for p in rows:
            if whole:
                word = b.ir.load(b.at(a, step_a + tile.rows[p].a, I8), typ=I32, align=align)
                value = b.spread(word, b.vector_i32)
            else:
                value = b.splat(b.load_scalar(a, step_a + tile.rows[p].a))
            for v, vector in enumerate(vectors):
                place = p * tile.vectors + v
                if whole:
                    signed = stage.factors == "signed bytes"
                    sums[place] = add_dot(b, sums[place], value, vector, signed=signed)
                else:
                    sums[place] = b.multiply_add(value, vector, sums[place])
        if tile.ones:
            for v, vector in enumerate(vectors):
                place = len(tile.rows) * tile.vectors + v
                sums[place] = b.ir.fadd(sums[place], vector)
        b.ir.read_anew()  # what the next k meets again, it loads again: registers are full of sums
    return sums
