"""The gradient of weights in bfloat16 as machine code: channels in rows, positions in pairs, and their products."""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from neocog.emit.addresses import Addresses
from neocog.emit.builder import I8, I16, I32, I64, PTR, Builder, Index, IrValue
from neocog.emit.emitter import Emitters
from neocog.emit.grouped import filters_of_group
from neocog.emit.pointwise import Spot, position
from neocog.emit.product import first_plane
from neocog.emit.sums import left_before
from neocog.emit.tiles import ROW_BYTES, TILE_BYTES, Tiles, tiles_of
from neocog.emit.update import transposed_square
from neocog.plan.blocked import PANEL, PLANE, TILE_ROWS
from neocog.plan.ops.product import PANEL_TAP
from neocog.plan.ops.tile_gradient import STEP, PairTiles, TileGradient, TurnTiles

WORDS = PLANE // 2  # of a position: two channels each
ONE = 0x3F80  # as bfloat16


def emit_turn(b: Builder, addresses: Addresses, stage: TurnTiles, low: Index, high: Index) -> None:
    """Write the rows of some planes: zeros, and then the pixels that there are."""
    x, out, places = addresses.tensor(stage.x), addresses.operand(stage.out), stage.places
    row_bytes = b.index(2 * places.length)
    turn = _turning(b)

    def run(source: Index, step: int, count: int, to: Index) -> None:
        b.ir.call(turn, [b.at(x, source, I16), b.index(2 * step), b.index(count), b.at(out, to, I16), row_bytes])

    size = PLANE * places.length * (1 if places.whole else places.apart)
    with b.loop(low, high) as (item, _):
        begin = b.mul(item, size)
        _clear(b, b.at(out, begin, I16), 2 * size)
        if places.whole:
            plane, pixel = b.divmod(item, places.apart)
            source = position(b, stage.x, Spot(0, *b.divmod(pixel, stage.x.width), b.mul(plane, PLANE)))
            run(source, stage.x.image_step, places.count, begin)
        else:
            image, plane = b.divmod(item, stage.x.planes)
            source = position(b, stage.x, Spot(image, 0, 0, b.mul(plane, PLANE)))
            _turn_image(b, stage, source, begin, run)


def _turn_image(
    b: Builder, stage: TurnTiles, source: Index, begin: Index, run: Callable[[Index, int, int, Index], None]
) -> None:
    """Write one plane of an image, all its phases."""
    x, places = stage.x, stage.places
    if stage.flat:
        first = places.before[0] * x.line + places.before[1]
        run(b.add(source, -first * PLANE), PLANE, min(places.length, x.behind + first), begin)
        return
    for number in range(places.apart):
        vertical, horizontal = divmod(number, places.phases[1])
        rows = _inside(vertical, places.stride[0], places.before[0], x.height)
        columns = _inside(horizontal, places.stride[1], places.before[1], x.width)
        rows, columns = (
            range(r.start, min(r.stop, most)) for r, most in zip((rows, columns), places.seen, strict=True)
        )
        if not rows or not columns:
            continue
        top = rows.start * places.stride[0] + vertical - places.before[0]
        left = columns.start * places.stride[1] + horizontal - places.before[1]
        corner = b.add(source, top * x.row_step + left * PLANE)
        to = b.add(begin, number * PLANE * places.length + rows.start * places.line + columns.start)
        with b.loop(0, len(rows)) as (row, _):
            down = b.add(corner, b.mul(row, places.stride[0] * x.row_step))
            run(down, places.stride[1] * PLANE, len(columns), b.add(to, b.mul(row, places.line)))


def _inside(phase: int, stride: int, before: int, pixels: int) -> range:
    """Return which places of a phase are pixels: place n is the pixel n · stride + phase - before."""
    return range(max(0, -((phase - before) // stride)), -(-(pixels + before - phase) // stride))


def _clear(b: Builder, base: IrValue, size: int) -> None:
    with b.loop(0, size // b.target.vector_bytes) as (vector, _):
        b.store(b.splat(0.0), base, b.mul(vector, b.lanes))


def _turning(b: Builder) -> ir.Function:
    """Return the function that lays 32 channels of some positions out in rows.

    void turn(ptr from, i64 step, i64 count, ptr to, i64 row): positions lie `step` bytes apart, and rows `row` bytes.
    """
    module, name = b.function.module, "turn"
    found = module.globals.get(name)
    if found is not None:
        return found
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [PTR, I64, I64, PTR, I64]), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    _emit_turning(Builder(function, b.target))
    return function


def _emit_turning(b: Builder) -> None:
    source, step, count, to, row = b.function.args
    together, _ = b.divmod(count, b.lanes)
    words = ir.VectorType(I16, b.lanes)
    with b.loop(0, together) as (block, _):
        first = b.mul(block, b.lanes)
        with b.loop(0, WORDS // b.lanes) as (group, _):
            corner = b.at(b.at(source, b.mul(first, step), I8), b.mul(group, b.lanes))
            lines = [b.load(b.at(corner, b.mul(step, n), I8)) for n in range(b.lanes)]
            for n, line in enumerate(transposed_square(b, lines)):
                pair = b.ir.bitcast(line, b.vector_i32)
                channel = b.mul(b.add(b.mul(group, b.lanes), n), 2)
                for odd in range(2):
                    half = b.ir.trunc(b.ir.lshr(pair, b.splat_i32(16)) if odd else pair, words)
                    place = b.at(b.at(to, b.mul(b.add(channel, odd), row), I8), first, I16)
                    b.ir.store(half, place, align=2)
    with b.loop(b.mul(together, b.lanes), count) as (number, _), b.loop(0, PLANE) as (channel, _):
        value = b.load_scalar(b.at(source, b.mul(number, step), I8), channel, I16)
        b.store_scalar(value, b.at(to, b.mul(channel, row), I8), number)
    b.ir.ret_void()


def emit_pair(b: Builder, addresses: Addresses, stage: PairTiles, low: Index, high: Index) -> None:
    """Write the pairs of some planes, and zeros behind the last one."""
    dy, out, places = addresses.tensor(stage.dy), addresses.operand(stage.out), stage.places
    step = stage.dy.image_step if places.whole else PLANE
    whole, odd = divmod(places.count, 2)
    with b.loop(low, high) as (item, _):
        image, plane = b.divmod(item, stage.dy.planes)
        source = b.at(dy, b.add(b.mul(image, stage.dy.image_step), b.mul(plane, stage.dy.plane_step)), I16)
        to = b.at(out, b.mul(item, places.steps * PANEL_TAP), I16)
        with b.loop(0, whole) as (pair, _):
            _pair(b, source, to, pair, step, alone=False)
        if odd:
            _pair(b, source, to, whole, step, alone=True)
        with b.loop(whole + odd, places.steps * STEP // 2) as (pair, _):
            _pair(b, None, to, pair, step, alone=True)


def _pair(b: Builder, source: IrValue | None, to: IrValue, pair: Index, step: int, *, alone: bool) -> None:
    """Write one pair of positions; the second one may lack, and so may both."""
    words = ir.VectorType(I16, b.lanes)
    number, row = b.divmod(pair, TILE_ROWS)
    for filter_ in range(0, PANEL, b.lanes):
        both = b.splat_i32(0)
        for odd in range(0 if source is None else 1 if alone else 2):
            place = b.add(b.mul(b.add(b.mul(pair, 2), odd), step), filter_)
            half = b.ir.zext(b.ir.load(b.at(source, place, I16), typ=words, align=2 * b.lanes), b.vector_i32)
            both = b.ir.or_(both, b.ir.shl(half, b.splat_i32(16)) if odd else half)
        tile, column = divmod(filter_, TILE_ROWS)
        place = b.add(b.mul(number, 2 * TILE_BYTES // 4), tile * TILE_BYTES // 4 + column)
        b.ir.store(both, b.at(to, b.add(place, b.mul(row, ROW_BYTES // 4)), I32), align=b.target.vector_bytes)


def emit_tile_gradient(b: Builder, addresses: Addresses, stage: TileGradient, low: Index, high: Index) -> None:
    """Write some parts of the gradient, and the sums of dy behind them."""
    tiles = tiles_of(b, addresses.operand(stage.sums))
    with b.loop(low, b.minimum(high, stage.parts)) as (item, _):
        rest, tap = b.divmod(item, stage.taps)
        if stage.groups == 1:
            panel, plane = b.divmod(rest, stage.planes)
            _block(b, addresses, stage, tiles, tap, plane, panel)
        else:
            first = first_plane(b, rest, stage.groups, stage.inputs, stage.outputs, stage.planes_seen)
            with b.loop(first, b.add(first, stage.planes_seen)) as (plane, _):
                _block(b, addresses, stage, tiles, tap, plane, rest)
    if stage.biases is None or stage.ones is None:
        return
    ones, biases = addresses.operand(stage.ones), addresses.operand(stage.biases)
    with b.loop(0, PLANE) as (number, _):
        b.store_scalar(ir.Constant(I16, ONE), ones, number)
    with b.loop(b.maximum(0, b.sub(low, stage.parts)), b.sub(high, stage.parts)) as (panel, _):
        tiles.zero()
        _sum(b, addresses, stage, tiles, panel, ones, 0, 0, 0)
        tiles.store()
        for lane in range(0, PANEL, b.lanes):
            filter_ = b.add(b.mul(panel, PANEL), lane)
            with b.when(b.less(filter_, stage.filters)):
                total = b.ir.fadd(left_before(b, addresses, biases, filter_), b.load(tiles.sums, lane))
                b.store(total, biases, filter_)


def _block(
    b: Builder, addresses: Addresses, stage: TileGradient, tiles: Tiles, tap: Index, plane: Index, panel: Index
) -> None:
    """Write all products of a block, and add what counts of the sums to the gradient."""
    x, places = addresses.operand(stage.x), stage.places
    rows = b.at(x, b.add(b.mul(plane, places.apart * PLANE * places.length), _moved(b, stage, tap)), I16)
    image_step = stage.planes * places.apart * PLANE * places.length
    tiles.zero()
    with b.when(b.less(panel, stage.known_panels)):
        _sum(b, addresses, stage, tiles, panel, rows, image_step, STEP, 2 * places.length)
    tiles.store()
    first = b.mul(plane, PLANE)
    with b.loop(0, b.minimum(PLANE, b.sub(stage.channels, first))) as (row, _):
        for lane in range(0, PANEL, b.lanes):
            total = b.load(tiles.sums, b.add(b.mul(row, PANEL), lane))
            _add_filters(b, addresses, stage, tap, b.add(first, row), b.add(b.mul(panel, PANEL), lane), total)


def _add_filters(
    b: Builder, addresses: Addresses, stage: TileGradient, tap: Index, channel: Index, filter_: Index, total: IrValue
) -> None:
    """Add what a tap of some filters learnt from a channel; filters of other groups keep what they have, and behind the
    last filter are zeros.
    """
    out, gradient = addresses.operand(stage.out), stage.gradient
    wide = gradient.count * gradient.width
    group, row = (0, channel) if stage.groups == 1 else b.divmod(channel, stage.inputs)
    with b.when(b.less(filter_, wide)):
        matrix, column = b.divmod(filter_, gradient.width)
        line = b.add(b.mul(tap, stage.inputs), row)
        place = b.add(b.add(b.mul(matrix, gradient.panel_step), b.mul(line, gradient.width)), column)
        total = b.ir.fadd(left_before(b, addresses, out, place), total)
        if stage.groups > 1:
            known, own = (filters_of_group(b, filter_, *of) for of in ((0, stage.filters), (group, stage.outputs)))
            kept = b.ir.select(known, b.load(out, place), b.splat(0.0))
            total = b.ir.select(own, total, kept)
        b.store(total, out, place)


def _sum(
    b: Builder,
    addresses: Addresses,
    stage: TileGradient,
    tiles: Tiles,
    panel: Index,
    rows: IrValue,
    image_step: int,
    step: int,
    row_bytes: int,
) -> None:
    """Write all products of a block: rows of x, or of ones, with a panel of dy; steps are those of the rows."""
    dy, steps = addresses.operand(stage.dy), stage.places.steps
    with b.loop(0, stage.places.images) as (image, _), b.loop(0, steps) as (number, _):
        upper = b.at(rows, b.add(b.mul(image, image_step), b.mul(number, step)), I16)
        lower = b.at(upper, TILE_ROWS * row_bytes, I8)
        place = b.add(b.mul(b.add(b.mul(image, stage.known_panels), panel), steps), number)
        tiles.multiply(upper, lower, row_bytes, b.at(dy, b.mul(place, PANEL_TAP), I16))


def _moved(b: Builder, stage: TileGradient, tap: Index) -> Index:
    """Return where, in the rows of a plane, the first position of a tap lies."""
    places = stage.places
    phase_size = PLANE * places.length
    if places.whole:
        return b.mul(tap, phase_size)
    place, phase = 0, 0
    for axis, number in enumerate(b.divmod(tap, places.taps[1])):
        on, remainder = b.divmod(b.mul(number, places.dilation[axis]), places.stride[axis])
        place = b.add(place, b.mul(on, (places.line, 1)[axis]))
        phase = b.add(b.mul(phase, places.phases[axis]), remainder)
    return b.add(place, b.mul(phase, phase_size))


EMITTERS: Emitters = {TurnTiles: emit_turn, PairTiles: emit_pair, TileGradient: emit_tile_gradient}
