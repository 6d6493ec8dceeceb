"""Which way a convolution is computed, by rule; and the stages of Winograd's."""

from __future__ import annotations

from typing import Literal

from neocog.model.window import Axis as WindowAxis
from neocog.model.window import Window
from neocog.plan.contraction import Axis, Contraction, Operand, Split, choose_rows, merge
from neocog.plan.layout import Halo, Panels, Space, Tensor
from neocog.plan.stages import Tiling, Winograd, WinogradFold, WinogradGradient
from neocog.plan.target import Target
from neocog.plan.winograd import POINTS, TAPS, minimal

Algorithm = Literal["auto", "direct", "winograd"]

PATCHES, PRODUCTS = "patches", "products"  # names of scratch memory, shared by all layers
MOST_TILES = 28  # of a block: two register tiles
LINE_VALUES = 16  # one cache line more from position to position: powers of two would fall onto the same few lines
MOST_GRADIENT_TILES = 56  # of a block; longer sums than a forward block's, so that fewer are added to memory
LEAST_GRADIENT_TILES = 64  # in all; below, transforming the filters' gradient back costs more than tiles save
MOST_COPIES_BYTES = 16 << 20
LEAST_GAIN = 1.6  # how many times fewer multiplications must be left; transforms take the rest


def fits_winograd(window: Window) -> bool:
    """Whether a window is 3 × 3, moves by one pixel and has no gaps."""
    return all(
        axis.kernel == TAPS and axis.stride == axis.dilation == 1 for axis in (window.vertical, window.horizontal)
    )


def choose_tile(window: Window, channels: int, filters: int, algorithm: Algorithm, target: Target) -> int | None:
    """Choose the side of Winograd's tiles for a convolution, or None for the direct sum.

    Fewer products win, those of tiles that reach past the image included. The direct sum wins for few channels, where
    transforms cost more than they save, for maps so small that most of a tile is lost, and for so many that the
    transformed filters, read once for each block of tiles, come from far away.

    Arguments:
        window: the convolution's.
        channels, filters: of input and output.
        algorithm: "auto" for the rule; "direct" or "winograd" to force one where it is possible.
        target: the processor.
    """
    if algorithm == "direct" or not fits_winograd(window):
        return None
    height, width = window.vertical.output, window.horizontal.output

    def products(tile: int) -> int:
        return -(-height // tile) * -(-width // tile) * minimal(tile).positions

    best = min(POINTS, key=products)
    if algorithm == "winograd":
        return best
    gain = height * width * TAPS * TAPS / products(best)
    weights = 4 * minimal(best).positions * channels * filters
    if gain < LEAST_GAIN or min(channels, filters) < max(16, target.lanes) or weights > 2 * target.level2:
        return None
    return best


def turned_window(window: Window) -> Window:
    """Give the window of the gradient of the input: the turned filter's walk over the gradient of the output."""
    axes = []
    for axis in (window.vertical, window.horizontal):
        before = axis.kernel - 1 - axis.before
        after = axis.input + axis.kernel - 1 - axis.output - before
        axes.append(WindowAxis(axis.output, axis.kernel, 1, 1, before, after))
    return Window(*axes)


def tile_halo(tile: int, window: Window) -> Halo:
    """Give the zeros behind the output that whole tiles of it reach."""
    sides = [-(-axis.output // tile) * tile - axis.output for axis in (window.vertical, window.horizontal)]
    return Halo(bottom=sides[0], right=sides[1])


def patch_halo(tile: int, window: Window) -> Halo:
    """Give the zeros around the input that patches of whole tiles reach."""
    sides = []
    for axis in (window.vertical, window.horizontal):
        reach = -(-axis.output // tile) * tile + TAPS - 1 - axis.before
        sides.append((max(0, axis.before), max(0, reach - axis.input)))
    (top, bottom), (left, right) = sides
    return Halo(top, left, bottom, right)


def transformed_panels(name: str, weights: Panels, inputs: int) -> Panels:
    """Lay out one position's matrix of transformed filters."""
    return Panels(name, inputs, weights.columns, weights.width)


def winograd(
    name: str,
    tile: int,
    x: Tensor,
    y: Tensor,
    before: tuple[int, int],
    transformed: Panels,
    target: Target,
    *,
    bias: tuple[Operand, Panels] | None = None,
    relu: bool = False,
    gate: Tensor | None = None,
) -> Winograd:
    """Plan y = x correlated with filters that were transformed before, then bias, ReLU and gate."""
    tiling = _tiling(tile, x, y, before, MOST_TILES, target)
    rows = merge(
        [
            Axis(minimal(tile).positions, tiling.product_step, tiling.patch_step, transformed.size),
            Axis(tiling.block, y.pitch, x.pitch),
        ]
    )
    vectors = transformed.width // target.lanes
    split, _ = choose_rows(rows, vectors, transformed.rows, target)
    total = -(-transformed.columns // target.lanes)
    contraction = Contraction(
        f"{name} products",
        tiling.products,
        tiling.patches,
        Operand(transformed.space, transformed.name, transformed.offset),
        split,
        Split(merge([Axis(transformed.rows, 0, 1, transformed.width)]), 0, 1),
        transformed.columns,
        transformed.count,
        vectors,
        total - (transformed.count - 1) * vectors,
        Axis(transformed.count, transformed.width, 0, transformed.panel_step),
    )
    return Winograd(
        name,
        tiling,
        contraction,
        bias[0] if bias else None,
        bias[1].width if bias else 1,
        bias[1].panel_step if bias else 0,
        relu,
        gate,
    )


def _tiling(tile: int, x: Tensor, y: Tensor, before: tuple[int, int], most: int, target: Target) -> Tiling:
    """Cut a convolution into tiles, and as many of them into a block as fill half the second-level cache."""
    positions = minimal(tile).positions
    tiles = y.images * -(-y.height // tile) * -(-y.width // tile)
    room = target.level2 // 2 // (4 * positions * (x.pitch + y.pitch))
    block = max(1, min(most, room, tiles))
    return Tiling(
        tile,
        x,
        y,
        x.halo.top - before[0],
        x.halo.left - before[1],
        block,
        Operand(Space.SCRATCH, PATCHES, 0),
        block * x.pitch + LINE_VALUES,
        Operand(Space.SCRATCH, PRODUCTS, 0),
        block * y.pitch + LINE_VALUES,
    )


def scratch_sizes(tiling: Tiling) -> dict[tuple[Space, str], int]:
    """Give the scratch memory that a block of tiles needs, elements."""
    positions = minimal(tiling.side).positions
    return {
        (Space.SCRATCH, PATCHES): positions * tiling.patch_step,
        (Space.SCRATCH, PRODUCTS): positions * tiling.product_step,
    }


def winograd_gradient(
    name: str,
    tile: int,
    x: Tensor,
    dy: Tensor,
    before: tuple[int, int],
    gradient: Panels,
    copies: str,
    bias: bool,
    target: Target,
) -> tuple[WinogradGradient, WinogradFold] | None:
    """Plan the gradient of filters by tiles, or give None where the direct sum is better.

    The tiles are cut into slices of whole blocks, as many as shapes say and no more than eight, so that the result does
    not depend on the number of threads.
    """
    positions = minimal(tile).positions
    tiles = dy.images * -(-dy.height // tile) * -(-dy.width // tile)
    transformed = Panels(copies, x.channels, gradient.columns, gradient.width, 0, Space.WORK)
    whole = transformed.size * positions
    slice_step = whole + transformed.count * transformed.width
    slices = 8 if whole * 4 <= target.level2 // 4 else 4
    if tiles < LEAST_GRADIENT_TILES or slices * slice_step * 4 > MOST_COPIES_BYTES:
        return None
    tiling = _tiling(tile, x, dy, before, min(MOST_GRADIENT_TILES, -(-tiles // slices)), target)
    slices = min(slices, tiling.blocks)
    rows = merge(
        [
            Axis(positions, transformed.size, tiling.patch_step, tiling.product_step),
            Axis(x.channels, transformed.width, 1),
        ]
    )
    vectors = transformed.width // target.lanes
    split, _ = choose_rows(rows, vectors, tiling.block, target)
    contraction = Contraction(
        f"{name} sums",
        Operand(Space.WORK, copies, 0),
        tiling.patches,
        tiling.products,
        split,
        Split((Axis(tiling.block, 0, x.pitch, dy.pitch),), 0, 1),
        transformed.columns,
        transformed.count,
        vectors,
        -(-transformed.columns // target.lanes) - (transformed.count - 1) * vectors,
        Axis(transformed.count, transformed.panel_step, 0, transformed.width),
    )
    sums = Operand(Space.WORK, copies, whole) if bias else None
    partial = WinogradGradient(name, tiling, contraction, slices, slice_step, sums)
    fold = WinogradFold(
        f"{name} fold",
        tile,
        contraction.out,
        slices,
        slice_step,
        transformed,
        sums,
        gradient,
        x.channels,
    )
    return partial, fold
