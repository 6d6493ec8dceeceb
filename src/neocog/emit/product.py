"""Convolutions and fully connected layers in bfloat16 as machine code: blocks of tiles, and what is stored of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from llvmlite import ir

from neocog.emit.addresses import Addresses
from neocog.emit.argmax import largest, mask_type, stopped, store_argmax
from neocog.emit.builder import Builder, Index, IrValue
from neocog.emit.emitter import Emitters
from neocog.emit.epilogue import finished
from neocog.emit.half import as_half, clear_gap, element, store_half, store_to
from neocog.emit.pointwise import Spot, position
from neocog.emit.tiles import Between, Tiles, nothing, tiles_of
from neocog.plan.blocked import BLOCK_ROWS, PANEL, PLANE, TILE_ROWS, Blocked
from neocog.plan.ops.epilogue import CLAMPED
from neocog.plan.ops.product import SUMS, TileProduct
from neocog.plan.ops.windows import SIDE

UNROLLED_TAPS = 9  # taps that are written out
CELLS = tuple(product(range(SIDE), repeat=2))  # rows and columns of a window's cells, in their order


def emit_product(b: Builder, addresses: Addresses, stage: TileProduct, low: Index, high: Index) -> None:
    """Write some items: block by block, or band of windows by band, all products and what is stored of their sums."""
    tiles = tiles_of(b, addresses.operand(stage.sums), stage.factors)
    with b.loop(low, high) as (item, _):
        if stage.panels_first:
            column, place = b.divmod(item, stage.images * stage.chunks)
        else:
            place, column = b.divmod(item, stage.panels * stage.pixels)
        panel, pixel = b.divmod(column, stage.pixels)
        image, chunk = b.divmod(place, stage.chunks)
        if isinstance(stage.y, Blocked) and stage.clears:
            _clear_gaps(b, addresses, stage, stage.y, image, chunk, panel, pixel)
        start = b.mul(chunk, stage.chunk)
        behind = b.minimum(b.add(start, stage.chunk), stage.stores)
        if stage.band:
            with b.loop(start, behind) as (band, _):
                _pooled(b, addresses, stage, tiles, image, panel, band)
        elif stage.interleaves:
            _interleaved(b, addresses, stage, tiles, image, panel, start, behind)
        else:
            with b.loop(start, behind) as (block, _):
                stretches = _stretches(b, stage, block)
                _sum(b, addresses, stage, tiles, image, panel, pixel, stretches)
                for tile, stretch in enumerate(stretches):
                    _store(b, addresses, stage, tiles.sums, tile, stretch, image, panel, pixel)


def _interleaved(
    b: Builder,
    addresses: Addresses,
    stage: TileProduct,
    tiles: Tiles,
    image: Index,
    panel: Index,
    start: Index,
    behind: Index,
) -> None:
    """Write blocks, the sums of each of which are stored between the products of the next, evenly, row by row; those of
    the last one behind them.
    """
    both, products = tiles.sums, 4 * stage.taps[0] * stage.taps[1]

    def sums_of(block: Index) -> IrValue:
        return b.at(both, b.mul(b.divmod(block, 2)[1], SUMS))

    with b.loop(start, behind) as (block, _):
        before = b.sub(block, 1)
        left, stretches, there = sums_of(b.add(block, 1)), _stretches(b, stage, before), b.less(start, block)
        number = iter(range(products))

        def between(
            left: IrValue = left, stretches: list[tuple[Index, Index]] = stretches, there: IrValue = there
        ) -> None:
            product = next(number)
            for row in range(BLOCK_ROWS * product // products, BLOCK_ROWS * (product + 1) // products):
                tile, within = divmod(row, TILE_ROWS)
                line, first = stretches[tile]
                inside = b.ir.and_(there, b.less(within, b.sub(stage.length, first)))
                with b.when(inside):
                    _store_row(b, addresses, stage, left, row, line, b.add(first, within), image, panel, 0)

        tiles.sums = sums_of(block)
        _sum(b, addresses, stage, tiles, image, panel, 0, _stretches(b, stage, block), between)
    last = b.sub(behind, 1)
    for tile, stretch in enumerate(_stretches(b, stage, last)):
        _store(b, addresses, stage, sums_of(last), tile, stretch, image, panel, 0)
    tiles.sums = both


def _stretches(b: Builder, stage: TileProduct, block: Index) -> list[tuple[Index, Index]]:
    """Return the lines of a block's two tiles, and their first rows there; an odd last one is paired with itself."""
    numbers = b.mul(block, 2), b.minimum(b.add(b.mul(block, 2), 1), stage.tiles - 1)
    return [_stretch(b, stage, number) for number in numbers]


def _stretch(b: Builder, stage: TileProduct, tile: Index) -> tuple[Index, Index]:
    """Return the line of a tile, and its first row there."""
    line, part = b.divmod(tile, stage.tiles_a_line)
    return (0 if stage.lines == 1 else line), b.mul(part, TILE_ROWS)


def first_plane(b: Builder, panel: Index, groups: int, inputs: int, outputs: int, planes: int) -> Index:
    """Return the first plane of channels that a panel of filters sees: that of its first group, or as far before it as
    there are planes to see; `planes` are seen.
    """
    if groups == 1:
        return 0
    group, _ = b.divmod(b.mul(panel, PANEL), outputs)
    plane, _ = b.divmod(b.mul(group, inputs), PLANE)
    return b.minimum(plane, -(-groups * inputs // PLANE) - planes)


def _sum(
    b: Builder,
    addresses: Addresses,
    stage: TileProduct,
    tiles: Tiles,
    image: Index,
    panel: Index,
    pixel: Index,
    stretches: list[tuple[Index, Index]],
    between: Between = nothing,
) -> None:
    """Write all products of a block."""
    x, weights = addresses.tensor(stage.x), addresses.operand(stage.weights)
    kind, size = element(stage.x), stage.x.bytes_each
    weights = b.at(weights, b.mul(panel, stage.panel_size), kind)
    begin = b.add(b.mul(image, stage.x.image_step), stage.first)
    inputs, outputs = stage.x.channels // stage.groups, stage.y.channels // stage.groups
    first = first_plane(b, panel, stage.groups, inputs, outputs, stage.planes)
    begin = b.add(begin, b.mul(first, stage.x.plane_step))
    rows = []
    for line, row in stretches:
        place = b.add(b.mul(line, stage.steps[0]), b.mul(row, stage.row_step))
        rows.append(b.at(x, b.add(begin, place), kind))
    down, across = stage.taps
    tiles.zero()

    def at(plane: Index, tap_row: Index, tap_column: Index) -> None:
        tap = b.add(b.mul(tap_row, across), tap_column)
        moved = b.add(b.mul(tap_row, stage.tap_steps[0]), b.mul(tap_column, stage.tap_steps[1]))
        offset = b.add(b.mul(plane, stage.x.plane_step), moved)
        upper, lower = (b.at(row, offset, kind) for row in rows)
        # Where pixels have weights of their own, those of a plane are as many taps.
        number = b.add(b.mul(plane, stage.plane_taps), b.add(tap, pixel))
        panel_tap = b.at(weights, b.mul(number, stage.panel_tap), kind)
        tiles.multiply(upper, lower, size * stage.row_step, panel_tap, between)

    def over_taps(plane: Index) -> None:
        if down * across <= UNROLLED_TAPS:
            for tap in range(down * across):
                at(plane, *divmod(tap, across))
            return
        with b.loop(0, down) as (tap_row, _), b.loop(0, across) as (tap_column, _):
            at(plane, tap_row, tap_column)

    if stage.planes == 1:
        over_taps(0)
    else:
        with b.loop(0, stage.planes) as (plane, _):
            over_taps(plane)
    tiles.store()


def _store(
    b: Builder,
    addresses: Addresses,
    stage: TileProduct,
    sums: IrValue,
    tile: int,
    stretch: tuple[Index, Index],
    image: Index,
    panel: Index,
    pixel: Index,
) -> None:
    """Write the rows of a tile that count, with bias and epilogue."""
    line, first = stretch
    count = b.minimum(b.sub(stage.length, first), TILE_ROWS)
    with b.loop(0, count) as (row, _):
        in_block = b.add(row, tile * TILE_ROWS)
        _store_row(b, addresses, stage, sums, in_block, line, b.add(first, row), image, panel, pixel)


def _store_row(
    b: Builder,
    addresses: Addresses,
    stage: TileProduct,
    sums: IrValue,
    row: Index,
    line: Index,
    number: Index,
    image: Index,
    panel: Index,
    pixel: Index,
) -> None:
    """Write one row of a block, the one of that number in its line, if it stands for a pixel."""
    spot, counts = _spot(b, stage, line, number, image, pixel)
    with b.when(counts):
        sums = b.at(sums, b.mul(row, PANEL))
        for lane, there in _vectors(b, addresses, stage, panel, spot):
            value = _value(b, addresses, stage, _load(b, stage, sums, lane), there)
            store_to(b, value, stage.y, addresses.tensor(stage.y), position(b, stage.y, there))


def _vectors(
    b: Builder, addresses: Addresses, stage: TileProduct, panel: Index, spot: Spot
) -> Iterator[tuple[int, Spot]]:
    """Loop over the vectors of a panel as far as there are filters; yield the first lane of each, and its spot."""
    for lane in range(0, PANEL, b.lanes):
        channel = b.add(b.mul(panel, PANEL), lane)
        there = Spot(spot.image, spot.row, spot.column, channel)
        if stage.y.channels % PANEL == 0:
            yield lane, there
            continue
        # The last panel has vectors of no filters: bfloat16 has zeros there, and float32 nothing.
        if isinstance(stage.y, Blocked):
            store_half(b, b.splat(0.0), addresses.tensor(stage.y), position(b, stage.y, there))
        with b.when(b.less(channel, stage.y.channels)):
            yield lane, there


def _spot(
    b: Builder, stage: TileProduct, line: Index, number: Index, image: Index, pixel: Index
) -> tuple[Spot, IrValue]:
    """Return which pixel a row stands for, and whether it stands for any."""
    counts = ir.Constant(ir.IntType(1), 1)
    if stage.walk == "images":
        return Spot(number, *b.divmod(pixel, stage.width), 0), counts
    row, column = line, number
    if stage.walk == "plane":
        row, column = b.divmod(number, stage.x.line)
        if stage.x.line != stage.width:
            counts = b.less(column, stage.width)
    down = b.add(b.mul(row, stage.apart[0]), stage.begin[0])
    across = b.add(b.mul(column, stage.apart[1]), stage.begin[1])
    return Spot(image, down, across, 0), counts


def _load(b: Builder, stage: TileProduct, sums: IrValue, place: Index) -> IrValue:
    """Load a vector of sums."""
    return b.load(sums, place, kind=b.vector if stage.factors == "bfloat16" else b.vector_i32)


def _value(b: Builder, addresses: Addresses, stage: TileProduct, total: IrValue, spot: Spot) -> IrValue:
    """Return what bias and epilogue make of a vector of sums."""
    bias = None if stage.bias is None else b.load(addresses.operand(stage.bias), spot.channel, kind=total.type)
    if stage.factors == "bfloat16":
        value = total if bias is None else b.ir.fadd(total, bias)
    else:
        value = b.ir.sitofp(total if bias is None else b.ir.add(total, bias), b.vector)
    return finished(b, addresses, stage.epilogue, value, spot, stage.y.channels)


# --- with a pooling behind --------------------------------------------------------------------------------------------


def _pooled(
    b: Builder, addresses: Addresses, stage: TileProduct, tiles: Tiles, image: Index, panel: Index, band: IrValue
) -> None:
    """Write all sums of a band, then the largest of each of its windows."""
    sums = tiles.sums
    if stage.walk == "rows":
        row, part = b.divmod(band, stage.tiles_a_line)
        first, line = b.mul(part, TILE_ROWS), b.mul(row, SIDE)
        _sum(b, addresses, stage, tiles, image, panel, 0, [(line, first), (b.add(line, 1), first)])
        left = b.mul(part, TILE_ROWS // SIDE)
        rows, columns, pitch = 1, b.minimum(TILE_ROWS // SIDE, b.sub(stage.y.width, left)), TILE_ROWS
    else:
        row, left, columns, pitch = b.mul(band, stage.band), 0, stage.y.width, stage.x.line
        rows = b.minimum(stage.band, b.sub(stage.y.height, row))
        first = b.mul(row, SIDE * pitch)
        length = b.sub(b.mul(rows, SIDE * pitch), pitch - stage.width)
        last = b.mul(b.divmod(b.sub(length, 1), TILE_ROWS)[0], TILE_ROWS)
        with b.loop(0, b.divmod(b.add(length, BLOCK_ROWS - 1), BLOCK_ROWS)[0]) as (block, _):
            tiles.sums = b.at(sums, b.mul(block, SUMS))
            places = b.mul(block, BLOCK_ROWS), b.minimum(b.add(b.mul(block, BLOCK_ROWS), TILE_ROWS), last)
            _sum(b, addresses, stage, tiles, image, panel, 0, [(0, b.add(first, place)) for place in places])
        tiles.sums = sums
    with b.loop(0, rows) as (down, _), b.loop(0, columns) as (across, _):
        corner = b.at(sums, b.mul(b.add(b.mul(down, SIDE * pitch), b.mul(across, SIDE)), PANEL))
        window = Spot(image, b.add(row, down), b.add(left, across), 0)
        for lane, there in _vectors(b, addresses, stage, panel, window):
            cells = [_load(b, stage, corner, (r * pitch + s) * PANEL + lane) for r, s in CELLS]
            _store_largest(b, addresses, stage, cells, there)


def _store_largest(b: Builder, addresses: Addresses, stage: TileProduct, cells: list[IrValue], spot: Spot) -> None:
    """Write the largest of a window's values, and which one it was; `spot` is the window's."""
    argmax = None
    if stage.picks_sums:
        total, _ = largest(b, cells, ask=False)
        value = _value(b, addresses, stage, total, spot)
    else:
        row, column = b.mul(spot.row, SIDE), b.mul(spot.column, SIDE)
        spots = [Spot(spot.image, b.add(row, r), b.add(column, s), spot.channel) for r, s in CELLS]
        values = [_value(b, addresses, stage, *each) for each in zip(cells, spots, strict=True)]
        if stage.mask is not None and isinstance(stage.y, Blocked):
            values = [as_half(b, value) for value in values]  # what was rounded is compared
        value, argmax = largest(b, values, ask=stage.mask is not None)
    store_to(b, value, stage.y, addresses.tensor(stage.y), position(b, stage.y, spot))
    if stage.mask is not None and argmax is not None:
        argmax = stopped(b, value, argmax) if stage.epilogue == CLAMPED else argmax
        kind = mask_type(stage.mask)
        store_argmax(b, argmax, b.at(addresses.tensor(stage.mask), position(b, stage.mask, spot), kind), kind)


# --- zeros around images ----------------------------------------------------------------------------------------------


def _clear_gaps(
    b: Builder,
    addresses: Addresses,
    stage: TileProduct,
    y: Blocked,
    image: Index,
    chunk: Index,
    panel: Index,
    pixel: Index,
) -> None:
    """Write the zeros around the rows of a plane, with its first chunk; of images that are rows, with each row."""
    if y.lead == 0 and y.line == y.width and y.behind == y.height * y.width:
        return
    base = addresses.tensor(y)
    if stage.walk == "images":
        row, column = b.divmod(pixel, stage.width)
        images = b.mul(chunk, stage.chunk * 2 * TILE_ROWS)
        behind = b.minimum(b.add(images, stage.chunk * 2 * TILE_ROWS), y.images)
        with b.when(b.less(column, 1)), b.loop(images, behind) as (number, _):
            clear_gap(b, base, y, number, panel, row)
        return
    with b.when(b.less(chunk, 1)), b.loop(0, y.height) as (row, _):
        clear_gap(b, base, y, image, panel, row)


EMITTERS: Emitters = {TileProduct: emit_product}
