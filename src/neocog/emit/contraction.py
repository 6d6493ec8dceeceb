"""Contractions as machine code: their items, one by one or as nested loops, and which register tile each takes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from neocog.emit.addresses import Addresses
from neocog.emit.builder import Builder, Index, IrValue
from neocog.emit.emitter import Emitters
from neocog.emit.microkernel import Bounds, Offsets, Tile, emit_tile
from neocog.plan.clip import is_written
from neocog.plan.loops import Axis, Split
from neocog.plan.ops.contraction import Contraction


def emit_contraction(b: Builder, addresses: Addresses, stage: Contraction, low: Index, high: Index) -> None:
    """Write the work items low ≤ item < high of a contraction."""
    blocks = stage.reduction
    before = b.mul(addresses.block.number, blocks.total) if stage.accumulates and addresses.block else None
    if blocks.total == 1:
        _emit_items(b, addresses, stage, low, high, before, blocks.cut.extent, Offsets())
        return
    if stage.items_first:
        with b.loop(low, high) as (item, _):
            _emit_blocks(b, addresses, stage, item, b.add(item, 1), before)
    else:
        _emit_blocks(b, addresses, stage, low, high, before)


def _emit_blocks(
    b: Builder, addresses: Addresses, stage: Contraction, low: Index, high: Index, before: IrValue | None
) -> None:
    """Write some items block by block of their reduction."""
    blocks = stage.reduction
    with b.loop(0, blocks.total) as (block, _):
        place, part, _ = _outer(b, blocks, block, Offsets())
        first, iterations = _part(b, blocks, part)
        place = place.moved(b, blocks.cut, first)
        number = block if before is None else b.add(before, block)
        _emit_items(b, addresses, stage, low, high, number, iterations, place)


def emit_some(b: Builder, addresses: Addresses, stage: Contraction, low: Index, high: Index, start: Offsets) -> None:
    """Write some items, with operands that begin elsewhere; of a contraction whose reduction is in one piece."""
    _emit_items(b, addresses, stage, low, high, None, stage.reduction.cut.extent, start)


def emit_block(b: Builder, addresses: Addresses, stage: Contraction, block: IrValue, iterations: Index) -> None:
    """Write all items of a contraction over the first `iterations` of its reduction, added to what is there already
    unless this is block 0.
    """
    _emit_nest(b, addresses, stage, block, iterations, Offsets())


def emit_panels(
    b: Builder,
    addresses: Addresses,
    stage: Contraction,
    after: Callable[[Index, int], None],
    only: Index | None = None,
) -> None:
    """Write all items panel by panel, or those of one panel; behind each what `after` writes, given its number and
    vectors.
    """
    _emit_nest(b, addresses, stage, None, stage.reduction.cut.extent, Offsets(), after, only)


def _emit_items(
    b: Builder,
    addresses: Addresses,
    stage: Contraction,
    low: Index,
    high: Index,
    block: IrValue | None,
    iterations: Index,
    start: Offsets,
) -> None:
    """Write some items, each found by its number; all of them as loops, which need no divisions."""
    if isinstance(low, int) and isinstance(high, int) and (low, high) == (0, stage.items):
        _emit_nest(b, addresses, stage, block, iterations, start)
        return
    with b.loop(low, high) as (item, _):
        if stage.panels_first:
            panel, rest = b.divmod(item, stage.rows.total)
        else:
            rest, panel = b.divmod(item, stage.panels)
        place, part, tagged = _outer(b, stage.rows, rest, start.moved(b, stage.panel_steps, panel))
        first, size = _part(b, stage.rows, part)
        place = place.moved(b, stage.rows.cut, first)
        tagged[stage.rows.cut.tag] = first, b.add(b.add(first, size), -1)
        bounds = _bounds(b, stage, tagged, iterations)
        for tile in _variants(b, stage, panel, part, rest):
            emit_tile(b, addresses, stage, tile, place, panel, block, bounds)


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where in a nest of loops a tile stands; `counts` are all 0 for the first tile of a slice."""

    place: Offsets
    panel: Index = 0
    vectors: int = 0
    iterations: int = 0
    tagged: tuple[tuple[str, Bounds], ...] = ()
    counts: tuple[Index, ...] = ()


def _emit_nest(
    b: Builder,
    addresses: Addresses,
    stage: Contraction,
    block: IrValue | None,
    iterations: Index,
    start: Offsets,
    after: Callable[[Index, int], None] | None = None,
    only: Index | None = None,
) -> None:
    """Write all items, or those of `only` one panel, as nested loops over panels, outer rows and parts."""

    def leaf(spot: _Spot) -> None:
        bounds = _bounds(b, stage, dict(spot.tagged), iterations)
        emit_tile(
            b, addresses, stage, _tile(stage, spot.iterations, spot.vectors), spot.place, spot.panel, block, bounds
        )
        if stage.ones is None or any(isinstance(count, int) and count for count in spot.counts):
            return
        first = [b.less(count, 1) for count in spot.counts if not isinstance(count, int)]
        with _all(b, first):
            emit_tile(b, addresses, stage, _ones(spot.vectors), spot.place, spot.panel, block, bounds)

    def over_panels(spot: _Spot, then: Callable[[_Spot], None]) -> None:
        full = stage.panels - (stage.last_vectors != stage.vectors)
        for low, high, vectors in ((0, full, stage.vectors), (full, stage.panels, stage.last_vectors)):
            for panel in _iterations(b, low, high) if only is None else _if_inside(b, only, low, high):
                place = spot.place.moved(b, stage.panel_steps, panel)
                then(replace(spot, place=place, panel=panel, vectors=vectors))

    def over_rows(spot: _Spot, then: Callable[[_Spot], None], axes: Sequence[Axis]) -> None:
        if axes:
            for iteration in _iterations(b, 0, axes[0].extent):
                counts = spot.counts if axes[0].b else (*spot.counts, iteration)
                tagged = (*spot.tagged, (axes[0].tag, (iteration, iteration)))
                place = spot.place.moved(b, axes[0], iteration)
                over_rows(replace(spot, place=place, tagged=tagged, counts=counts), then, axes[1:])
            return
        split = stage.rows
        for number, size, before in (
            (split.long_parts, split.short + 1, 0),
            (split.parts - split.long_parts, split.short, split.long_parts * (split.short + 1)),
        ):
            for part in _iterations(b, 0, number):
                first = b.add(b.mul(part, size), before)
                tagged = (*spot.tagged, (split.cut.tag, (first, b.add(first, size - 1))))
                counts = (*spot.counts, b.add(part, 1 if before else 0))
                place = spot.place.moved(b, split.cut, first)
                then(replace(spot, place=place, iterations=size, tagged=tagged, counts=counts))

    def whole_panel(spot: _Spot) -> None:
        over_rows(spot, leaf, stage.rows.outer)
        if after is not None:
            after(spot.panel, spot.vectors)

    begin = _Spot(start)
    if stage.panels_first:
        over_panels(begin, whole_panel)
    else:
        over_rows(begin, lambda spot: over_panels(spot, leaf), stage.rows.outer)


def _iterations(b: Builder, low: int, high: int) -> Iterator[Index]:
    """Write a loop; a single iteration needs none."""
    if high - low == 1:
        yield low
    elif high > low:
        with b.loop(low, high) as (iteration, _):
            yield iteration


def _if_inside(b: Builder, number: Index, low: int, high: int) -> Iterator[Index]:
    """Write what is done with a number where low ≤ number < high."""
    if high > low:
        with b.when(b.ir.and_(b.less(low - 1, number), b.less(number, high))):
            yield number


def _outer(b: Builder, split: Split, item: Index, place: Offsets) -> tuple[Offsets, Index, dict[str, Bounds]]:
    """Take an item apart: how far its outer loops move the operands, its part, and the iterations of tagged axes."""
    tagged: dict[str, Bounds] = {}
    rest, part = b.divmod(item, split.parts)
    for axis in reversed(split.outer):
        rest, iteration = b.divmod(rest, axis.extent)
        place = place.moved(b, axis, iteration)
        tagged[axis.tag] = iteration, iteration
    return place, part, tagged


def _bounds(b: Builder, stage: Contraction, tagged: dict[str, Bounds], iterations: Index) -> Bounds:
    """Return the first iteration of the outermost reduction axis that a tile needs, and the one behind its last."""
    for clip in stage.clips:
        if is_written(clip, stage.rows):
            continue
        low, high = tagged[clip.rows]
        least = b.add(clip.origin, b.mul(low, clip.row))
        most = b.add(clip.origin, b.mul(high, clip.row))
        if clip.tap > 0:  # least + tap · iteration < limit and most + tap · iteration >= 0
            step, before, room = clip.tap, b.mul(most, -1), b.add(b.mul(least, -1), clip.limit - 1)
        else:
            step, before, room = -clip.tap, b.add(least, 1 - clip.limit), most
        start, _ = b.divmod(b.add(b.maximum(before, 0), step - 1), step)
        stop, _ = b.divmod(b.add(b.maximum(room, -step), step), step)
        return start, b.minimum(stop, iterations)
    return 0, iterations


def _part(b: Builder, split: Split, part: Index) -> tuple[Index, Index]:
    """Return the first iteration of a part of the cut axis, and how many it has."""
    first = b.add(b.mul(part, split.short), b.minimum(part, split.long_parts))
    if not split.long_parts or isinstance(part, int):
        return first, split.short + (isinstance(part, int) and part < split.long_parts)
    longer = b.ir.zext(b.less(part, split.long_parts), b.index(0).type)
    return first, b.add(longer, split.short)


def _variants(b: Builder, stage: Contraction, panel: Index, part: Index, item: Index) -> Iterator[Tile]:
    """Return the register tiles that occur, each inside the branch that chooses it."""
    split = stage.rows
    by_panel: list[tuple[int, IrValue | None]] = [(stage.vectors, None)]
    if stage.last_vectors != stage.vectors:
        last = stage.panels - 1
        if stage.panels == 1:
            by_panel = [(stage.last_vectors, None)]
        else:
            by_panel = [
                (stage.vectors, b.less(panel, last)),
                (stage.last_vectors, b.less(last - 1, panel)),
            ]
    sizes = split.sizes()
    for vectors, on_panel in by_panel:
        for position, iterations in enumerate(sizes):
            on_size = None
            if len(sizes) == 2:
                on_size = b.less(part, split.long_parts) if position == 0 else b.less(split.long_parts - 1, part)
            with _all(b, (on_panel, on_size)):
                yield _tile(stage, iterations, vectors)
        if stage.ones is not None:
            with _all(b, (on_panel, _is_first(b, stage, item))):
                yield _ones(vectors)


def _ones(vectors: int) -> Tile:
    """Return the tile of a's row of ones, which nothing but additions is needed for."""
    return Tile((), (), vectors, True)


def _tile(stage: Contraction, iterations: int, vectors: int) -> Tile:
    """Return the register tile of a part of so many iterations."""
    inner = list(itertools.product(*(range(axis.extent) for axis in stage.rows.inner)))
    places = [(iteration, *place) for iteration in range(iterations) for place in inner]
    axes = (stage.rows.cut, *stage.rows.inner)
    tags = [{axis.tag: n for axis, n in zip(axes, place, strict=True)} for place in places]
    return Tile(tuple(_row(axes, place) for place in places), tuple(tags), vectors, False)


def _is_first(b: Builder, stage: Contraction, item: Index) -> IrValue:
    """Whether an item is the first to see its stretch of b: a's row of ones is summed with it, once."""
    moving = 1
    for axis in stage.rows.outer:
        if axis.b == 0:
            moving *= axis.extent
    _, place = b.divmod(b.index(item), moving * stage.rows.parts)
    return b.less(place, 1)


@contextmanager
def _all(b: Builder, conditions: Sequence[IrValue | None]) -> Iterator[None]:
    joined = None
    for condition in conditions:
        if condition is not None:
            joined = condition if joined is None else b.ir.and_(joined, condition)
    if joined is None:
        yield
        return
    with b.when(joined):
        yield


def _row(axes: Sequence[Axis], place: Sequence[int]) -> Axis:
    steps = list(zip(axes, place, strict=True))
    return Axis(
        1,
        sum(axis.out * n for axis, n in steps),
        sum(axis.a * n for axis, n in steps),
        0,
        sum(axis.beside * n for axis, n in steps),
    )


EMITTERS: Emitters = {Contraction: emit_contraction}
