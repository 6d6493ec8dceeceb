"""Which way a convolution is computed, by rule; and how Winograd's is cut into tiles."""

from __future__ import annotations

from typing import Literal

from neocog.nn.window import Window
from neocog.plan.correlation import Pooled, column_panels, pools_aside
from neocog.plan.layout import Halo, Operand, Panels, Space, Tensor, Vectors
from neocog.plan.loops import Axis, Split, choose_rows, merge
from neocog.plan.ops.contraction import Contraction
from neocog.plan.ops.epilogue import Epilogue
from neocog.plan.ops.tiles import Slab, Tiling, position_step
from neocog.plan.ops.winograd import Winograd, WinogradBackward, WinogradReducePartials
from neocog.plan.winograd import POINTS, TAPS, WinogradTile
from neocog.target.processor import Target

Algorithm = Literal["auto", "direct", "winograd"]

STRIDES = {tile.stride for tile in POINTS}

BLOCK_TILES = 32  # most tiles that run together: weights come once for each block, scratch must stay near
SUM_TILES = 24  # most tiles that are summed from zero before they are added to memory: longer sums round worse
MOST_COPIES_BYTES = 16 << 20  # of all partial gradients of a layer
LEAST_GRADIENT_TILES = 64  # in all; below, transforming the filters' gradient back costs more than tiles save
WORTH_ROUNDING = 0.85  # larger tiles round worse: they must save at least 15 % of the products
LEAST_GAIN = {1: 1.6, 2: 1.3}  # by stride: how many times fewer products must be left; transforms take the rest


def fits_winograd(window: Window) -> bool:
    """Whether a window is 3 × 3, moves by one pixel or two, the same both ways, and has no gaps."""
    return window.vertical.stride == window.horizontal.stride and all(
        axis.kernel == TAPS and axis.stride in STRIDES and axis.dilation == 1
        for axis in (window.vertical, window.horizontal)
    )


def choose_tile(
    window: Window, channels: int, filters: int, algorithm: Algorithm, target: Target
) -> WinogradTile | None:
    """Choose Winograd's tiles for a convolution, or None for the direct sum.

    Fewer products win, those of tiles that reach past the image included. The direct sum wins for few channels, where
    transforms cost more than they save, and for maps so small that most of a tile is lost.

    Arguments:
        window: the convolution's.
        channels, filters: of input and output.
        algorithm: "auto" for the rule; "direct" or "winograd" to force one where it is possible.
        target: the processor.
    """
    if algorithm == "direct" or not fits_winograd(window):
        return None
    height, width = window.vertical.output, window.horizontal.output

    def products(tile: WinogradTile) -> int:
        return tile.count(height, width) * tile.positions

    stride = window.vertical.stride
    best, *larger = sorted(tile for tile in POINTS if tile.stride == stride)
    for tile in larger:
        best = tile if products(tile) <= WORTH_ROUNDING * products(best) else best
    if algorithm == "winograd":
        return best
    gain = height * width * TAPS * TAPS / products(best)
    if gain < LEAST_GAIN[stride] or min(channels, filters) < max(16, target.lanes):
        return None
    return best


def tile_halo(tile: WinogradTile, window: Window) -> Halo:
    """Return the zeros behind the output that whole tiles of it reach."""
    sides = [-axis.output % tile.outputs for axis in (window.vertical, window.horizontal)]
    return Halo(bottom=sides[0], right=sides[1])


def patch_halo(tile: WinogradTile, window: Window) -> Halo:
    """Return the zeros around the input that patches of whole tiles reach."""
    sides = []
    for axis in (window.vertical, window.horizontal):
        reach = (-(-axis.output // tile.outputs) - 1) * tile.step + tile.patch - axis.before
        sides.append((max(0, axis.before), max(0, reach - axis.input)))
    (top, bottom), (left, right) = sides
    return Halo(top, left, bottom, right)


def transformed_panels(name: str, weights: Panels, inputs: int, width: int) -> Panels:
    """Lay out one position's matrix of transformed filters, in panels of so many columns."""
    return Panels(name, inputs, weights.columns, width)


def transformed_width(tile: WinogradTile, window: Window, images: int, weights: Panels, target: Target) -> int:
    """Choose how many columns panels of transformed filters have, for so many images at a time."""
    block = _block(images * tiles_an_image(tile, window), BLOCK_TILES)
    inputs = weights.rows // (TAPS * TAPS)
    rows = (Axis(tile.positions, b=1), Axis(block))
    return column_panels(weights.columns, rows, inputs, target) * target.lanes


def can_pool(tile: WinogradTile, window: Window) -> bool:
    """Whether a pooling's windows lie side by side inside tiles."""
    return pools_aside(window) and all(tile.outputs % axis.kernel == 0 for axis in (window.vertical, window.horizontal))


def takes_pooled(tile: WinogradTile, window: Window, pooling: Window) -> bool:
    """Whether the backward pass can take the gradient of what a pooling gave: tiles must be whole, and hold windows."""
    whole = all(axis.output % tile.outputs == 0 for axis in (window.vertical, window.horizontal))
    return whole and can_pool(tile, pooling)


def tiles_an_image(tile: WinogradTile, window: Window) -> int:
    """Count the tiles of one image of a convolution's output."""
    return tile.count(window.vertical.output, window.horizontal.output)


def winograd(
    name: str,
    tile: WinogradTile,
    x: Tensor,
    y: Tensor,
    before: tuple[int, int],
    transformed: Panels,
    target: Target,
    *,
    bias: Operand | None = None,
    epilogue: Epilogue = (),
    pooled: Pooled | None = None,
) -> Winograd:
    """Plan y = x correlated with filters that were transformed before, then bias, epilogue and pooling."""
    tiling = _tiling(name, tile, x, y, before, BLOCK_TILES, transformed.width)
    return Winograd(
        name,
        tiling,
        _products(f"{name} products", tiling, tiling.patches, transformed, tiling.products, target),
        bias,
        epilogue,
        pooled.window if pooled else None,
        pooled.y if pooled else y,
        pooled.mask if pooled else None,
    )


def _products(name: str, tiling: Tiling, tiles: Slab, filters: Panels, products: Slab, target: Target) -> Contraction:
    """Plan the products of one block, tiles · filters for each position; all panels go to the same place."""
    rows = merge(
        [
            Axis(tiling.tile.positions, products.step, tiles.step, position_step(filters)),
            Axis(tiling.block, products.pitch, tiles.pitch),
        ]
    )
    vectors = filters.width // target.lanes
    split, _ = choose_rows(rows, vectors, filters.rows, target)
    return Contraction(
        name,
        products.place,
        tiles.place,
        Operand(filters.space, filters.name, filters.offset),
        split,
        Split(merge([Axis(filters.rows, 0, 1, filters.width)]), 0, 1),
        filters.columns,
        filters.count,
        vectors,
        -(-filters.columns // target.lanes) - (filters.count - 1) * vectors,
        Axis(filters.count, 0, 0, filters.panel_step),
        panels_first=True,
    )


def _tiling(
    name: str, tile: WinogradTile, x: Tensor, y: Tensor, before: tuple[int, int], most: int, channels: int
) -> Tiling:
    """Cut a convolution into tiles, and those into blocks of at most so many; `channels` of products lie together."""
    block = _block(y.images * tile.count(y.height, y.width), most)
    return Tiling(
        tile,
        x,
        y,
        x.halo.top - before[0],
        x.halo.left - before[1],
        block,
        _slab(f"{name} patches", tile, block, x.pitch),
        _slab(f"{name} products", tile, block, channels),
    )


def _block(tiles: int, most: int) -> int:
    """Return how many tiles run together, of nearly equal blocks of at most so many."""
    return -(-tiles // -(-tiles // most))


def _slab(name: str, tile: WinogradTile, tiles: int, pitch: int) -> Slab:
    return Slab(Operand(Space.SCRATCH, name, 0), tile.positions, tiles, pitch)


def partial_filters(gradient: Panels, inputs: int, copies: str) -> Panels:
    """Lay out one position's matrix of a partial gradient of transformed filters."""
    return Panels(copies, inputs, gradient.columns, gradient.width, 0, Space.ARENA)


def partial_size(tile: WinogradTile, gradient: Panels, inputs: int) -> int:
    """Count the elements of a partial gradient: every position's matrix, and a row of sums for the bias."""
    matrix = partial_filters(gradient, inputs, "")
    return position_step(matrix) * tile.positions + matrix.count * matrix.width


def winograd_backward(
    name: str,
    tile: WinogradTile,
    x: Tensor,
    dy: Tensor,
    before: tuple[int, int],
    target: Target,
    *,
    gradient: Panels | None,
    copies: str,
    bias: bool,
    transposed: Panels | None,
    dx: Tensor | None,
    pooled: Pooled | None = None,
) -> WinogradBackward:
    """Plan both gradients of a few images.

    Arguments:
        gradient: that of the filters; None to leave it out. Partial sums go to the memory named `copies`.
        transposed: transformed filters with inputs and outputs swapped; None to leave the gradient of the input out.
        dx: where that goes.
        pooled: the pooling behind the convolution, and the gradient of what it gave; then dy has its shape alone.
    """
    tiling = _tiling(name, tile, x, dy, before, SUM_TILES, dy.pitch)
    returned = _slab(f"{name} returned", tile, tiling.block, transposed.width if transposed else 0)
    filters = sums = patches = None
    if gradient is not None:
        step = partial_size(tile, gradient, x.channels)
        filters = _sums_of_tiles(
            f"{name} filters", tiling, gradient, Operand(Space.ARENA, copies, 0, slice=step), target
        )
        matrix = partial_filters(gradient, x.channels, copies)
        sums = Operand(Space.ARENA, copies, position_step(matrix) * tile.positions, slice=step) if bias else None
    if transposed is not None:
        patches = _products(f"{name} patches", tiling, tiling.products, transposed, returned, target)
    behind = (pooled.window, pooled.y, pooled.mask) if pooled else (None, None, None)
    return WinogradBackward(name, tiling, filters, sums, patches, returned, dx, *behind)


def _sums_of_tiles(name: str, tiling: Tiling, gradient: Panels, out: Operand, target: Target) -> Contraction:
    channels = tiling.x.channels
    matrix = partial_filters(gradient, channels, out.name)
    rows = merge(
        [
            Axis(tiling.tile.positions, position_step(matrix), tiling.patches.step, tiling.products.step),
            Axis(channels, matrix.width, 1),
        ]
    )
    vectors = matrix.width // target.lanes
    split, _ = choose_rows(rows, vectors, tiling.block, target)
    return Contraction(
        name,
        out,
        tiling.patches.place,
        tiling.products.place,
        split,
        Split((Axis(tiling.block, 0, tiling.patches.pitch, tiling.products.pitch),), 0, 1),
        matrix.columns,
        matrix.count,
        vectors,
        -(-matrix.columns // target.lanes) - (matrix.count - 1) * vectors,
        Axis(matrix.count, matrix.panel_step, 0, matrix.width),
        accumulates=True,
    )


def winograd_reduce_partials(
    name: str, tile: WinogradTile, gradient: Panels, bias: Vectors | None, inputs: int, copies: str, slices: int
) -> WinogradReducePartials:
    """Plan the gradient of filters from the partial ones of all slices."""
    matrix = partial_filters(gradient, inputs, copies)
    whole = position_step(matrix) * tile.positions
    return WinogradReducePartials(
        name,
        tile,
        Operand(Space.ARENA, copies, 0),
        slices,
        partial_size(tile, gradient, inputs),
        matrix,
        Operand(Space.ARENA, copies, whole) if bias else None,
        gradient,
        bias,
        inputs,
    )
