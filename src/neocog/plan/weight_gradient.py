"""The gradient of a layer's weights as contractions, for the whole batch, for slices of it, or in a chain."""

from __future__ import annotations

from dataclasses import replace

from neocog.nn.window import Window
from neocog.plan.correlation import Correlation, Pooled, start_of
from neocog.plan.layout import Operand, Panels, Space, Tensor, Vectors, operand
from neocog.plan.loops import Axis, Split, choose_rows, merge
from neocog.plan.ops.contraction import Contraction
from neocog.plan.ops.pooled_gradient import PICKED, SIDE, PooledGradient, span_of
from neocog.target.processor import Target

MAX_SLICES = 8  # most partial copies of a gradient
SLICE_BELOW = 8  # slice the batch where a gradient has fewer independent tiles than this
LEAST_BLOCK = 64  # fewest pixels to sum before adding to memory, where there are as many
LINE = 64  # bytes of a cache line


def whole_gradient(
    layer: Correlation,
    dy: Tensor,
    gradient: Panels,
    sums: Vectors | None,
    target: Target,
    *,
    slices: int = 1,
    copies: str = "",
) -> Contraction:
    """dW = x correlated with dy, and the bias's gradient as that of an input that is always one.

    Sums run over blocks of rows that stay in the first-level cache, each from zero, which also keeps rounding errors
    small.

    Arguments:
        dy: gradient of the layer's output.
        gradient: where dW goes.
        sums: where the bias's gradient goes; None without a bias.
        slices: of the batch, each with a partial gradient of its own; with more than one, `copies` names their memory,
            and the contraction covers all of them.
    """
    if slices == 1:
        return sums_into(layer, dy, gradient, gradient.begin, sums.begin if sums else None, target)
    images = dy.images // slices
    out, one = Operand(Space.ARENA, copies, 0), replace(layer, x=replace(layer.x, images=images))
    ones = replace(out, start=gradient.size) if sums else None
    part = sums_into(one, replace(dy, images=images), gradient, out, ones, target)
    outer = Axis(slices, copy_size(gradient, sums), images * layer.x.image_step, images * dy.image_step)
    rows = part.rows
    return replace(part, rows=Split((outer, *rows.axes), rows.axis + 1, rows.parts))


def copy_size(gradient: Panels, sums: Vectors | None) -> int:
    """Count the elements of a partial gradient: the matrix and, behind it, the bias's."""
    return gradient.size + (sums.size if sums else 0)


def partial_gradient(
    layer: Correlation, dy: Tensor, gradient: Panels, sums: Vectors | None, copies: str, target: Target
) -> Contraction:
    """Plan dW of a few images in a chain, added to that of the slice's images before."""
    out = Operand(Space.ARENA, copies, 0, slice=copy_size(gradient, sums))
    ones = replace(out, start=gradient.size) if sums else None
    return replace(sums_into(layer, dy, gradient, out, ones, target), accumulates=True)


def takes_pooled(layer: Correlation, pooling: Window, target: Target) -> bool:
    """Whether a layer's weights can learn from the gradient of what a pooling behind it gave."""
    sides = {axis.kernel for axis in (pooling.vertical, pooling.horizontal)}
    return target.picks and sides == {SIDE} and span_of(layer.window, layer.x, 1) <= PICKED


def pooled_gradient(
    layer: Correlation, pooled: Pooled, gradient: Panels, sums: Vectors | None, copies: str
) -> PooledGradient:
    """Plan the same as `partial_gradient` from the gradient of what a pooling behind the layer gave."""
    out, dy = Operand(Space.ARENA, copies, 0, slice=copy_size(gradient, sums)), pooled.y
    assert pooled.mask is not None
    bands = [
        n for n in range(1, dy.height + 1) if dy.height % n == 0 and (n * dy.width >= LEAST_BLOCK or n == dy.height)
    ]
    return PooledGradient(
        f"{layer.title} weight gradient",
        layer.x,
        dy,
        pooled.mask,
        layer.window,
        gradient,
        out,
        replace(out, start=gradient.size) if sums else None,
        bands[0],
    )


def wanted_slices(layer: Correlation, dy: Tensor, gradient: Panels, target: Target) -> int:
    """Choose into how many slices the batch is cut where the gradient alone has too few tiles to share out.

    It depends on shapes only, never on the number of threads.
    """
    vectors = gradient.width // target.lanes
    pixels = dy.images * dy.height * dy.width
    split, _ = choose_rows(layer.weight_rows(), vectors, pixels, target)
    if split.total * gradient.count >= SLICE_BELOW:
        return 1
    return max(s for s in range(1, MAX_SLICES + 1) if dy.images % s == 0)


def sums_into(
    layer: Correlation, dy: Tensor, gradient: Panels, out: Operand, ones: Operand | None, target: Target
) -> Contraction:
    """Plan dW of all images of dy, and the sums of dy, into memory laid out as `gradient` that begins at `out`."""
    v, h = layer.window.vertical, layer.window.horizontal
    vectors = gradient.width // target.lanes
    block_rows = merge(
        [
            Axis(dy.images, 0, layer.x.image_step, dy.image_step),
            Axis(dy.height, 0, v.stride * layer.x.row_step, dy.row_step),
            Axis(dy.width, 0, h.stride * layer.x.pitch, dy.pitch),
        ]
    )
    pixels = dy.images * dy.height * dy.width
    split, _ = choose_rows(layer.weight_rows(), vectors, pixels, target)
    return Contraction(
        f"{layer.title} weight gradient",
        out,
        operand(layer.x, start_of(layer.x, -v.before, -h.before) + layer.first_in),
        operand(dy, dy.origin + layer.first_out),
        split,
        _blocks(block_rows, gradient.width, target),
        gradient.columns,
        gradient.count,
        vectors,
        -(-gradient.columns // target.lanes) - (gradient.count - 1) * vectors,
        Axis(gradient.count, gradient.panel_step, 0, gradient.width),
        ones=ones,
        panels_first=True,  # neighbouring items then read the same columns of dy, which are the wider operand
    )


def _blocks(axes: tuple[Axis, ...], width: int, target: Target) -> Split:
    """Cut a reduction over pixels into blocks.

    Of each pixel, a panel of dy and a cache line of x are read again by the next register tiles: both stay in half the
    first-level cache.
    """
    if not axes:
        return Split((), 0, 1)
    pixels = max(LEAST_BLOCK, target.level1 // 2 // (LINE + 4 * width))
    inner = 1
    for position in reversed(range(len(axes))):
        iterations = max(1, pixels // inner)
        if iterations < axes[position].extent or position == 0:
            return Split(axes, position, -(-axes[position].extent // iterations))
        inner *= axes[position].extent
    return Split(axes, 0, 1)
