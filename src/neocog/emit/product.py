"""Convolutions and fully connected layers in bfloat16 as machine code: blocks of tiles, and what is stored of them."""

from __future__ import annotations

from llvmlite import ir

from neocog.emit.addresses import Addresses
from neocog.emit.builder import I16, I32, Builder, Index, IrValue
from neocog.emit.emitter import Emitters
from neocog.emit.epilogue import finished
from neocog.emit.grouped import filters_of_group
from neocog.emit.half import clear_gap, element, rounded, store_half, store_to
from neocog.emit.pointwise import Spot, position
from neocog.emit.tiles import Between, Tiles, nothing, tiles_of
from neocog.plan.blocked import BLOCK_ROWS, PANEL, PLANE, TILE_ROWS, Blocked
from neocog.plan.ops.product import PANEL_TAP, SUMS, PackTiles, Stack, TileProduct

UNROLLED_TAPS = 9  # taps that are written out


def emit_product(b: Builder, addresses: Addresses, stage: TileProduct, low: Index, high: Index) -> None:
    """Write some items: block by block, all products, then what is stored."""
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
        behind = b.minimum(b.add(start, stage.chunk), stage.blocks)
        if stage.interleaves:
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


def _first_plane(b: Builder, panel: Index, groups: int, inputs: int, outputs: int, planes: int) -> Index:
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
    first = _first_plane(b, panel, stage.groups, inputs, outputs, stage.planes)
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
    base = addresses.tensor(stage.y)
    whole = stage.y.channels % PANEL == 0
    spot, counts = _spot(b, stage, line, number, image, pixel)
    with b.when(counts):
        sums = b.at(sums, b.mul(row, PANEL))
        for lane in range(0, PANEL, b.lanes):
            channel = b.add(b.mul(panel, PANEL), lane)
            there = Spot(spot.image, spot.row, spot.column, channel)
            if whole:
                _store_vector(b, addresses, stage, sums, lane, there)
                continue
            # The last panel has vectors of no filters: bfloat16 has zeros there, and float32 nothing.
            if isinstance(stage.y, Blocked):
                store_half(b, b.splat(0.0), base, position(b, stage.y, there))
            with b.when(b.less(channel, stage.y.channels)):
                _store_vector(b, addresses, stage, sums, lane, there)


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


def _store_vector(b: Builder, addresses: Addresses, stage: TileProduct, sums: IrValue, lane: int, spot: Spot) -> None:
    if stage.factors != "bfloat16":
        whole = b.load(sums, lane, kind=b.vector_i32)
        if stage.bias is not None:
            whole = b.ir.add(whole, b.load(addresses.operand(stage.bias), spot.channel, kind=b.vector_i32))
        value = b.ir.sitofp(whole, b.vector)
    else:
        value = b.load(sums, lane)
    if stage.bias is not None and stage.factors == "bfloat16":
        value = b.ir.fadd(value, b.load(addresses.operand(stage.bias), spot.channel))
    value = finished(b, addresses, stage.epilogue, value, spot, stage.y.channels)
    store_to(b, value, stage.y, addresses.tensor(stage.y), position(b, stage.y, spot))


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


def emit_pack(b: Builder, addresses: Addresses, stage: PackTiles, low: Index, high: Index) -> None:
    """Write some taps of panels."""
    weights, out = addresses.panels(stage.weights), addresses.operand(stage.out)
    filters = -(-stage.weights.columns // b.lanes) * b.lanes
    outputs = stage.weights.columns // stage.groups
    with b.loop(low, high) as (item, _):
        rest, number = b.divmod(item, stage.taps)
        panel, plane = b.divmod(rest, stage.planes)
        tap = _source(b, stage, number)
        to = b.at(out, b.mul(item, PANEL_TAP), I16)
        first = b.mul(b.add(_first_plane(b, panel, stage.groups, stage.channels, outputs, stage.planes), plane), PLANE)
        with b.loop(0, PLANE // 2) as (pair, _):
            for lane in range(0, PANEL, b.lanes):
                column = b.add(b.mul(panel, PANEL), lane)
                known = b.less(column, filters)
                inside = b.minimum(column, filters - b.lanes)
                matrix, within = b.divmod(inside, stage.weights.width)
                words = []
                for odd in range(2):
                    channel = b.add(first, b.add(b.mul(pair, 2), odd))
                    group, within_group = b.divmod(
                        b.minimum(channel, stage.groups * stage.channels - 1), stage.channels
                    )
                    row = b.add(b.mul(tap, stage.channels), within_group)
                    place = b.add(b.mul(matrix, stage.weights.panel_step), b.mul(row, stage.weights.width))
                    value = b.load(weights, b.add(place, within))
                    known_too = b.ir.and_(known, b.less(channel, stage.groups * stage.channels))
                    value = b.ir.select(known_too, value, b.splat(0.0))
                    if stage.groups > 1:
                        value = b.ir.select(filters_of_group(b, column, group, outputs), value, b.splat(0.0))
                    words.append(b.ir.zext(rounded(b, value), b.vector_i32))
                both = b.ir.or_(words[0], b.ir.shl(words[1], b.splat_i32(16)))
                tile, filter_ = divmod(lane, TILE_ROWS)
                place = b.add(b.mul(pair, TILE_ROWS), tile * (PANEL_TAP // 4) + filter_)
                b.ir.store(both, b.at(to, place, I32), align=b.target.vector_bytes)


def _source(b: Builder, stage: PackTiles, number: Index) -> Index:
    """Return which tap of the weights is the one of a number."""
    down, across = b.divmod(number, stage.across.count)
    row = b.add(b.mul(down, stage.down.step), stage.down.first)
    return b.add(b.mul(row, stage.row), b.add(b.mul(across, stage.across.step), stage.across.first))


def emit_stack(b: Builder, addresses: Addresses, stage: Stack, low: Index, high: Index) -> None:
    """Write some rows: of each window as many neighbouring values as it sees, and zeros behind them."""
    x, y = addresses.tensor(stage.x), addresses.tensor(stage.y)
    with b.loop(low, high) as (item, _):
        image, row = b.divmod(item, stage.y.height)
        source = b.add(b.mul(image, stage.x.image_step), b.mul(row, stage.x.row_step))
        source = b.add(source, -stage.before * stage.x.pitch)
        with b.loop(0, stage.y.width) as (column, _):
            window = b.add(source, b.mul(column, stage.stride * stage.x.pitch))
            to = position(b, stage.y, Spot(image, row, column, 0))
            for lane in range(0, PLANE, b.lanes):
                value = b.splat(0.0)
                if lane < stage.y.channels:
                    value = _first_lanes(b, b.load(x, b.add(window, lane), aligned=False), stage.y.channels - lane)
                store_half(b, value, y, b.add(to, lane))
        with b.loop(0, 1) as (plane, _):
            clear_gap(b, y, stage.y, image, plane, row)


def _first_lanes(b: Builder, value: IrValue, count: int) -> IrValue:
    """Return a vector with zeros behind its first lanes."""
    if count >= b.lanes:
        return value
    inside = ir.Constant(ir.VectorType(ir.IntType(1), b.lanes), [int(lane < count) for lane in range(b.lanes)])
    return b.ir.select(inside, value, b.splat(0.0))


EMITTERS: Emitters = {TileProduct: emit_product, PackTiles: emit_pack, Stack: emit_stack}
