"""Winograd convolutions as machine code: transforms as straight-line code over one vector of channels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from neocog.emit.addresses import Addresses, pixel
from neocog.emit.argmax import largest, load_argmax, mask_type, stopped, store_argmax
from neocog.emit.builder import I8, Builder, Index, IrValue
from neocog.emit.contraction import emit_block, emit_panels
from neocog.emit.emitter import Emitters
from neocog.emit.epilogue import finished
from neocog.emit.pointwise import Spot
from neocog.emit.transform import transform_both
from neocog.plan.layout import Panels, Tensor
from neocog.plan.ops.tiles import Tiling, position_step
from neocog.plan.ops.winograd import Winograd, WinogradBackward, WinogradReducePartials, WinogradWeights
from neocog.plan.winograd import TAPS, minimal, transposed, transposed_steps

AHEAD = 2  # tiles from one whose pooled gradient is read to the one whose is asked for: it was written long ago


def emit_winograd_weights(
    b: Builder, addresses: Addresses, stage: WinogradWeights, low: IrValue, high: IrValue
) -> None:
    """Write G g Gᵀ for the filters of some input channels."""
    algorithm = minimal(stage.tile)
    weights, out = addresses.panels(stage.weights), addresses.panels(stage.out)
    lanes = b.lanes

    def place(panels: Panels, vector: Index, channel: Index) -> Index:
        panel, column = b.divmod(b.mul(vector, lanes), panels.width)
        return b.add(b.mul(panel, panels.panel_step), b.add(b.mul(channel, panels.width), column))

    with b.loop(low, high) as (channel, _), b.loop(0, -(-stage.out.columns // lanes)) as (vector, _):
        source = place(stage.weights, vector, channel)
        step = stage.inputs * stage.weights.width
        taps = [b.load(weights, b.add(source, tap * step)) for tap in range(TAPS * TAPS)]
        square = [taps[TAPS * r : TAPS * (r + 1)] for r in range(TAPS)]
        to = place(stage.out, vector, channel)
        rows = transform_both(b, (algorithm.weights,), square)
        for position, value in enumerate(value for row in rows for value in row):
            b.store(value, out, b.add(to, position * position_step(stage.out)))


def emit_winograd(b: Builder, addresses: Addresses, stage: Winograd, low: IrValue, high: IrValue) -> None:
    """Write blocks of tiles, each panel by panel. In a chain one thread does them all; else each panel is an item, and
    a thread transforms the patches of a block before the first of its panels.
    """
    tiling, panels = stage.tiling, stage.contraction.panels
    if addresses.block is not None:
        with b.loop(0, tiling.blocks) as (block, _):
            tiles = _block(b, tiling, block)
            _emit_patches(b, addresses, tiling, *tiles)
            _emit_products(b, addresses, stage, *tiles)
        return
    with b.loop(low, high) as (item, _):
        block, panel = (0, item) if tiling.blocks == 1 else b.divmod(item, panels)
        tiles = _block(b, tiling, block)
        with b.when(b.ir.or_(b.less(panel, 1), b.less(item, b.add(low, 1)))):
            _emit_patches(b, addresses, tiling, *tiles)
        _emit_products(b, addresses, stage, *tiles, panel)


def _emit_patches(b: Builder, addresses: Addresses, tiling: Tiling, first: Index, count: Index) -> None:
    with b.loop(0, count) as (number, _):
        _emit_patch(b, addresses, tiling, b.add(first, number), number)


def _emit_products(
    b: Builder, addresses: Addresses, stage: Winograd, first: Index, count: Index, only: Index | None = None
) -> None:
    """Write products and outputs of a block of tiles, of all panels or of one."""

    def outputs(panel: Index, vectors: int) -> None:
        with b.loop(0, count) as (number, _):
            _emit_outputs(b, addresses, stage, b.add(first, number), number, panel, vectors)

    emit_panels(b, addresses, stage.contraction, outputs, only)


def emit_winograd_backward(
    b: Builder, addresses: Addresses, stage: WinogradBackward, low: IrValue, high: IrValue
) -> None:
    """Write both gradients for the images of a block of a chain."""
    assert addresses.block is not None
    tiling = stage.tiling
    sums = addresses.operand(stage.sums) if stage.sums else None
    if sums is not None:
        with b.when(b.less(addresses.block.number, 1)), b.loop(0, -(-tiling.y.channels // b.lanes)) as (vector, _):
            b.store(b.splat(0.0), sums, b.mul(vector, b.lanes))
    if stage.dx is not None:
        with b.loop(0, stage.dx.size // b.lanes) as (vector, _):
            b.store(b.splat(0.0), addresses.whole(stage.dx), b.mul(vector, b.lanes))
    before = b.mul(addresses.block.number, tiling.blocks)
    with b.loop(0, tiling.blocks) as (block, _):
        first, count = _block(b, tiling, block)
        with b.loop(0, count) as (number, _):
            if stage.filters is not None:
                _emit_patch(b, addresses, tiling, b.add(first, number), number)
            _emit_gradient_tile(b, addresses, stage, b.add(first, number), number, sums)
        if stage.filters is not None:
            emit_block(b, addresses, stage.filters, b.add(before, block), count)
        if stage.patches is not None and stage.dx is not None:

            def overlap(panel: Index, vectors: int, first: Index = first, count: Index = count) -> None:
                with b.loop(0, count) as (number, _):
                    _emit_overlap(b, addresses, stage, b.add(first, number), number, panel, vectors)

            emit_panels(b, addresses, stage.patches, overlap)


def _emit_overlap(
    b: Builder, addresses: Addresses, stage: WinogradBackward, tile: Index, number: Index, panel: Index, vectors: int
) -> None:
    """Add B p Bᵀ of one tile and panel of channels to the patch of dx that it comes from."""
    tiling, dx, slab = stage.tiling, stage.dx, stage.returned
    assert dx is not None
    algorithm = minimal(tiling.tile)
    image, down, across = _place(b, tiling, tile)
    corner = _corner(b, tiling, dx, image, down, across)
    base = addresses.whole(dx)
    patches = b.at(addresses.operand(slab.place), b.mul(number, slab.pitch))
    to_panel = b.at(base, b.add(corner, b.mul(panel, slab.pitch)))
    with b.loop(0, vectors) as (vector, _):
        channel = b.mul(vector, b.lanes)
        source, to = b.opaque(b.at(patches, channel)), b.opaque(b.at(to_panel, channel))
        side = range(tiling.tile.patch)
        square = [[b.load(source, (r * tiling.tile.patch + s) * slab.step) for s in side] for r in side]
        rows = transform_both(b, transposed_steps(algorithm.input_steps), square)
        for r, row in enumerate(rows):
            for s, value in enumerate(row):
                at = r * dx.row_step + s * dx.pitch
                b.store(b.ir.fadd(b.load(to, at), value), to, at)


def _emit_gradient_tile(
    b: Builder, addresses: Addresses, stage: WinogradBackward, tile: Index, number: Index, sums: IrValue | None
) -> None:
    """Write A dy Aᵀ of one tile, and add its values up."""
    tiling, dy = stage.tiling, stage.tiling.y
    algorithm = minimal(tiling.tile)
    load = _gradient_of(b, addresses, stage, tile)
    products = b.at(addresses.operand(tiling.products.place), b.mul(number, tiling.products.pitch))
    with b.loop(0, -(-dy.channels // b.lanes)) as (vector, _):
        channel = b.mul(vector, b.lanes)
        square, values = load(channel)
        rows = transform_both(b, transposed_steps(algorithm.output_steps), square)
        to = b.opaque(b.at(products, channel))
        for position, value in enumerate(value for row in rows for value in row):
            b.store(value, to, position * tiling.products.step)
        if sums is not None:
            while len(values) > 1:  # pairs of pairs: shorter chains, smaller errors
                values = [b.ir.fadd(*pair) if len(pair) == 2 else pair[0] for pair in _pairs(values)]
            b.store(b.ir.fadd(b.load(sums, channel), values[0]), sums, channel)


def _gradient_of(
    b: Builder, addresses: Addresses, stage: WinogradBackward, tile: Index
) -> Callable[[Index], tuple[list[list[IrValue]], list[IrValue]]]:
    """Return what loads a vector of channels of one tile of dy: all pixels, and those values that they add up to.

    With a pooling, each value goes to the cell of its window that was the largest.
    """
    tiling, outputs = stage.tiling, stage.tiling.tile.outputs
    if stage.pooling is None or stage.pooled is None or stage.mask is None:
        image, down, across = _place(b, tiling, tile)
        corner = pixel(b, tiling.y, image, b.mul(down, outputs), b.mul(across, outputs))

        def load(channel: Index) -> tuple[list[list[IrValue]], list[IrValue]]:
            source, side = b.opaque(b.at(addresses.tensor(tiling.y), b.add(corner, channel))), range(outputs)
            square = [[b.load(source, r * tiling.y.row_step + s * tiling.y.pitch) for s in side] for r in side]
            return square, [value for row in square for value in row]

        return load
    pooled, mask, kind = stage.pooled, stage.mask, mask_type(stage.mask)
    high, wide = stage.pooling.vertical.kernel, stage.pooling.horizontal.kernel

    def corner_of(tensor: Tensor, tile: Index) -> Index:
        image, down, across = _place(b, tiling, tile)
        return pixel(b, tensor, image, b.mul(down, outputs // high), b.mul(across, outputs // wide))

    corners = [(corner_of(pooled, place), corner_of(mask, place)) for place in (tile, b.add(tile, AHEAD))]

    def spread(channel: Index) -> tuple[list[list[IrValue]], list[IrValue]]:
        (source, marks), (source_later, marks_later) = (
            (
                b.opaque(b.at(addresses.tensor(pooled), b.add(of_values, channel))),
                b.opaque(b.at(addresses.tensor(mask), b.add(of_marks, channel), kind)),
            )
            for of_values, of_marks in corners
        )
        square, values = [[b.splat(0.0)] * outputs for _ in range(outputs)], []
        for r in range(outputs // high):
            for s in range(outputs // wide):
                at, mark = (r * tensor.row_step + s * tensor.pitch for tensor in (pooled, mask))
                b.prefetch(source_later, at)
                b.prefetch(marks_later, mark, kind)
                value, argmax = b.load(source, at), load_argmax(b, b.at(marks, mark, kind), kind)
                for cell in range(high * wide):
                    here = b.ir.icmp_signed("==", argmax, b.splat_i32(cell))
                    square[r * high + cell // wide][s * wide + cell % wide] = b.ir.select(here, value, b.splat(0.0))
                # One that a ReLU stopped belongs nowhere.
                counts = b.ir.icmp_signed("<", argmax, b.splat_i32(high * wide))
                values.append(b.ir.select(counts, value, b.splat(0.0)))
        return square, values

    return spread


def _pairs(values: Sequence[IrValue]) -> list[Sequence[IrValue]]:
    return [values[n : n + 2] for n in range(0, len(values), 2)]


def emit_winograd_reduce_partials(
    b: Builder, addresses: Addresses, stage: WinogradReducePartials, low: IrValue, high: IrValue
) -> None:
    """Write the gradients of the filters of some input channels, and with the first channel those of the biases."""
    algorithm = minimal(stage.tile)
    back = transposed(algorithm.weights)
    copies, gradient = addresses.operand(stage.copies), addresses.panels(stage.gradient)
    width, lanes = stage.gradient.width, b.lanes

    def total(base: IrValue, at: Index) -> IrValue:
        value = b.load(base, at)
        for n in range(1, stage.slices):
            value = b.ir.fadd(value, b.load(base, b.add(at, n * stage.slice_step)))
        return value

    if stage.sums is not None and stage.bias is not None:
        with b.when(b.less(low, 1)), b.loop(0, stage.bias.size // lanes) as (vector, _):
            at = b.mul(vector, lanes)
            b.store(total(addresses.operand(stage.sums), at), addresses.vectors(stage.bias), at)
    with b.loop(low, high) as (channel, _), b.loop(0, stage.gradient.count * width // lanes) as (vector, _):
        panel, column = b.divmod(b.mul(vector, lanes), width)
        source = b.add(b.mul(panel, stage.transformed.panel_step), b.add(b.mul(channel, width), column))
        side = range(stage.tile.patch)
        square = [
            [total(copies, b.add(source, (r * stage.tile.patch + s) * position_step(stage.transformed))) for s in side]
            for r in side
        ]
        rows = transform_both(b, (back,), square)
        to = b.add(b.mul(panel, stage.gradient.panel_step), b.add(b.mul(channel, width), column))
        for tap, value in enumerate(value for row in rows for value in row):
            b.store(value, gradient, b.add(to, tap * stage.inputs * width))


def _block(b: Builder, tiling: Tiling, block: Index) -> tuple[Index, Index]:
    """Return a block's first tile, and how many it has."""
    first = b.mul(block, tiling.block)
    return first, b.minimum(tiling.block, b.sub(tiling.tiles, first))


def _place(b: Builder, tiling: Tiling, tile: Index) -> tuple[Index, Index, Index]:
    """Return a tile's image, and its row and column of tiles there."""
    rest, across = b.divmod(tile, tiling.across)
    image, down = b.divmod(rest, tiling.down)
    return image, down, across


def _corner(b: Builder, tiling: Tiling, x: Tensor, image: Index, down: Index, across: Index) -> Index:
    """Return the place of a patch's first pixel in a tensor laid out around the same image as x, halo included."""
    top = x.halo.top - tiling.x.halo.top + tiling.first_row
    left = x.halo.left - tiling.x.halo.left + tiling.first_column
    corner = b.add(b.mul(image, x.image_step), b.mul(down, tiling.tile.step * x.row_step))
    corner = b.add(corner, b.mul(across, tiling.tile.step * x.pitch))
    return b.add(corner, top * x.row_step + left * x.pitch)


def _emit_patch(b: Builder, addresses: Addresses, tiling: Tiling, tile: Index, number: Index) -> None:
    algorithm, x = minimal(tiling.tile), tiling.x
    corner = _corner(b, tiling, x, *_place(b, tiling, tile))
    base = addresses.whole(x)
    patches = b.at(addresses.operand(tiling.patches.place), b.mul(number, tiling.patches.pitch))
    with b.loop(0, -(-x.channels // b.lanes)) as (vector, _):
        channel = b.mul(vector, b.lanes)
        source = b.opaque(b.at(base, b.add(corner, channel)))
        to = b.opaque(b.at(patches, channel))
        side = range(tiling.tile.patch)
        square = [[b.load(source, r * x.row_step + s * x.pitch) for s in side] for r in side]
        rows = transform_both(b, algorithm.input_steps, square)
        for position, value in enumerate(value for row in rows for value in row):
            b.store(value, to, position * tiling.patches.step)


def _emit_outputs(
    b: Builder, addresses: Addresses, stage: Winograd, tile: Index, number: Index, panel: Index, vectors: int
) -> None:
    """Write Aᵀ p A of one tile and panel of channels, and what follows it."""
    tiling = stage.tiling
    algorithm, y = minimal(tiling.tile), stage.y
    image, down, across = _place(b, tiling, tile)
    slab = tiling.products
    products = b.at(addresses.operand(slab.place), b.mul(number, slab.pitch))
    high, wide = _window(stage)
    row, column = b.mul(down, tiling.tile.outputs // high), b.mul(across, tiling.tile.outputs // wide)
    side = range(tiling.tile.patch)
    with b.loop(0, vectors) as (vector, _):
        source = b.opaque(b.at(products, b.mul(vector, b.lanes)))
        channel = b.add(b.mul(panel, slab.pitch), b.mul(vector, b.lanes))
        square = [[b.load(source, (r * tiling.tile.patch + s) * slab.step) for s in side] for r in side]
        outputs = transform_both(b, algorithm.output_steps, square)
        bias = None
        if stage.bias is not None:
            bias = b.load(addresses.operand(stage.bias), channel)

        def store(r: int, s: int) -> None:
            here = image, b.add(row, r), b.add(column, s)
            argmax = None
            if stage.pooling is None:
                value = outputs[r][s]
            else:
                cells = [outputs[r * high + i][s * wide + j] for i in range(high) for j in range(wide)]
                value, argmax = largest(b, cells, ask=stage.mask is not None)
            if bias is not None:  # the same for all cells of a window
                value = b.ir.fadd(value, bias)
            if stage.epilogue:
                value = finished(b, addresses, stage.epilogue, value, Spot(*here, channel), y.channels)
                argmax = stopped(b, value, argmax) if argmax is not None else None
            b.store(value, addresses.tensor(y), b.add(pixel(b, y, *here), channel))
            if stage.mask is not None and argmax is not None:
                at = b.add(pixel(b, stage.mask, *here), channel)
                store_argmax(b, argmax, b.at(addresses.tensor(stage.mask), at, I8), I8)

        _store_inside(b, (tiling.tile.outputs // high, tiling.tile.outputs // wide), y, row, column, store)


def _window(stage: Winograd) -> tuple[int, int]:
    """Return height and width of the windows that a stage keeps one value of."""
    if stage.pooling is None:
        return 1, 1
    return stage.pooling.vertical.kernel, stage.pooling.horizontal.kernel


def _store_inside(
    b: Builder, size: tuple[int, int], y: Tensor, row: Index, column: Index, store: Callable[[int, int], None]
) -> None:
    """Store the outputs of a tile that lie inside the image."""
    high, wide = size
    every = [(r, s) for r in range(high) for s in range(wide)]
    if y.height % high == 0 and y.width % wide == 0:
        for r, s in every:
            store(r, s)
        return
    whole = b.ir.and_(b.less(b.add(row, high - 1), y.height), b.less(b.add(column, wide - 1), y.width))
    with b.ir.if_else(whole) as (inside, edge):
        with inside:
            for r, s in every:
                store(r, s)
        with edge:
            for r in range(high):
                with b.when(b.less(b.add(row, r), y.height)):
                    for s in range(wide):
                        with b.when(b.less(b.add(column, s), y.width)):
                            store(r, s)


EMITTERS: Emitters = {
    Winograd: emit_winograd,
    WinogradWeights: emit_winograd_weights,
    WinogradBackward: emit_winograd_backward,
    WinogradReducePartials: emit_winograd_reduce_partials,
}
