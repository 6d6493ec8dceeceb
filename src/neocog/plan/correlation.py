"""A convolution, its two gradients and a fully connected layer, each written as contractions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from neocog.nn.graph import Node
from neocog.nn.shapes import ImageShape
from neocog.nn.window import Window, WindowAxis
from neocog.plan.clip import choose_clips, saving_clips, untagged
from neocog.plan.layout import Halo, Operand, Panels, Tensor, Vectors, operand
from neocog.plan.loops import Axis, Clip, Split, choose_rows, merge, split_cost
from neocog.plan.ops.contraction import Contraction
from neocog.plan.ops.epilogue import Epilogue, beside, steps_beside
from neocog.plan.rounded import TOGETHER, Factors, Rounded, words_of
from neocog.target.processor import Target

ROW, COLUMN, TAP_ROW, TAP_COLUMN = "row", "column", "tap row", "tap column"  # tags of axes that clips speak of
NOMINAL_BATCH = 64  # panels must suit every batch size; this one is typical
MOST_VECTORS = 4  # of a panel
MOST_ALONE = 8  # likewise, where each weight is used once: so many sums hide what an addition takes
LEAST_POOLED_MAP = 16  # on smaller ones, leaving out taps in the halo saves more than fusing a pooling


def column_panels(columns: int, rows: tuple[Axis, ...], length: int, target: Target) -> int:
    """Choose the width of a matrix's panels, in vectors, at the least estimated cost for a nest of rows."""
    vectors = -(-columns // target.lanes)
    most = MOST_VECTORS if rows else max(MOST_VECTORS, min(MOST_ALONE, (target.registers + 1) // 2))
    best, least = 1, math.inf
    for width in range(1, min(vectors, most) + 1):
        full, rest = divmod(vectors, width)
        split, each = choose_rows(rows, width, length, target)
        cost = full * each
        if rest:  # the last panel has the rows of the others, though it could hold more
            cost += split_cost(split, rest, length, target)
        if cost < least:
            best, least = width, cost
    return best


def output_rows(node: Node, batch: int = NOMINAL_BATCH) -> tuple[Axis, ...]:
    """Return loops over the outputs of a layer, for a batch, or a typical one."""
    if isinstance(node.output, ImageShape):
        # Steps that do not divide keep the axes apart, as they are where the input has a halo.
        return (Axis(batch, 7), Axis(node.output.height, 5), Axis(node.output.width, 3))
    return (Axis(batch, 1),) if batch > 1 else ()


@dataclass(frozen=True, slots=True)
class Correlation:
    """A layer with weights, its window resolved and its operands laid out.

    Arguments:
        first_in, first_out: of a group, its first channel in x and in y; x and y then have the channels of the group
            alone, as do weights and biases.
        across: of 8-bit integers, whether words are read across the pixels of a row.
        shifted: whether zeros of x count as more or less than that, and the bias takes it back.
    """

    title: str
    window: Window
    x: Tensor
    y: Tensor
    weights: Panels  # rows are (tap row, tap column, input channel)
    bias: Vectors | None
    first_in: int = 0
    first_out: int = 0
    across: bool = False
    shifted: bool = False

    @property
    def taps(self) -> int:
        """Number of taps of a filter."""
        return self.window.cells

    def weight_rows(self) -> tuple[Axis, ...]:
        """Loops over the rows of the weight matrix: how its `out` and the input move."""
        v, h, width = self.window.vertical, self.window.horizontal, self.weights.width
        channels = self.x.channels
        return merge(
            [
                Axis(v.kernel, h.kernel * channels * width, v.dilation * self.x.row_step),
                Axis(h.kernel, channels * width, h.dilation * self.x.pitch),
                Axis(channels, width, 1),
            ]
        )


def pixel_rows(window: Window, x: Tensor, y: Tensor, seen: Tensor | None = None) -> list[Axis]:
    """Loops over output pixels: how output, input, and what an epilogue sees beside the output move."""
    v, h = window.vertical, window.horizontal
    image, row, column = steps_beside(seen)
    return [
        Axis(y.images, y.image_step, x.image_step, 0, image),
        Axis(y.height, y.row_step, v.stride * x.row_step, 0, row, ROW),
        Axis(y.width, y.pitch, h.stride * x.pitch, 0, column, COLUMN),
    ]


def input_halo(window: Window) -> Halo:
    """Return the zeros that a forward pass needs around its input."""
    sides = []
    for axis in (window.vertical, window.horizontal):
        last = (axis.output - 1) * axis.stride - axis.before + (axis.kernel - 1) * axis.dilation
        sides.append((axis.before, max(0, last - (axis.input - 1))))
    (top, bottom), (left, right) = sides
    return Halo(top, left, bottom, right)


def start_of(tensor: Tensor, row: int, column: int) -> int:
    return tensor.origin + row * tensor.row_step + column * tensor.pitch


@dataclass(frozen=True, slots=True)
class Pooled:
    """A pooling fused into the layer before it: the largest of each window, and in training who that was.

    Arguments:
        window: of the pooling; windows lie side by side and touch no padding.
        y: the pooled output.
        mask: laid out like y, without a halo.
    """

    window: Window
    y: Tensor
    mask: Tensor | None


def pools_aside(window: Window) -> bool:
    """Whether a pooling's windows cover the image side by side, so that each can be found where it is made."""
    return all(
        axis.kernel == axis.stride and axis.before == 0 and axis.output * axis.stride <= axis.input
        for axis in (window.vertical, window.horizontal)
    )


def can_pool(layer: Correlation, window: Window, target: Target) -> bool:
    """Whether `forward` can take a pooling along: a register tile must hold a whole window."""
    small = min(layer.y.height, layer.y.width) < LEAST_POOLED_MAP and layer.x.channels >= target.lanes
    return pools_aside(window) and not small and window.cells <= target.tile_rows(layer.weights.width // target.lanes)


def _pooled_rows(layer: Correlation, pooled: Pooled) -> list[Axis]:
    """Loops over the pixels of pooled windows, the cells of one window innermost."""
    v, h, x, y = layer.window.vertical, layer.window.horizontal, layer.x, pooled.y
    rows, columns = pooled.window.vertical.kernel, pooled.window.horizontal.kernel
    down, across = v.stride * x.row_step, h.stride * x.pitch
    image, row, column = steps_beside(pooled.mask or replace(y, halo=Halo()))
    return [
        Axis(y.images, y.image_step, x.image_step, 0, image),
        Axis(y.height, y.row_step, rows * down, 0, row),
        Axis(y.width, y.pitch, columns * across, 0, column),
        Axis(rows, 0, down),
        Axis(columns, 0, across),
    ]


def forward(
    layer: Correlation, target: Target, *, epilogue: Epilogue = (), pooled: Pooled | None = None
) -> Contraction:
    """y = x correlated with the weights + bias, then the epilogue, then a pooling."""
    v, h, weights = layer.window.vertical, layer.window.horizontal, layer.weights
    y = pooled.y if pooled else layer.y
    reduction = _taps(layer)
    terms = math.prod(axis.extent for axis in reduction) * (TOGETHER if isinstance(layer.x, Rounded) else 1)
    return tiled(
        f"{layer.title} forward",
        out=operand(y, y.origin + layer.first_out),
        a=operand(layer.x, start_of(layer.x, -v.before, -h.before) + layer.first_in),
        b=Operand(weights.space, weights.name, weights.offset),
        rows=_pooled_rows(layer, pooled) if pooled else pixel_rows(layer.window, layer.x, y, beside(epilogue)),
        reduction=reduction,
        columns=weights,
        out_step=weights.width,
        b_step=weights.panel_step,
        target=target,
        bias=layer.bias.begin if layer.bias else None,
        epilogue=epilogue,
        beside=layer.first_out,
        factors=layer.x.factors if isinstance(layer.x, Rounded) else "float32",
        cells=pooled.window.cells if pooled else 1,
        mask=operand(pooled.mask, pooled.mask.origin) if pooled and pooled.mask else None,
        padding=terms - layer.taps * layer.x.channels,
        clips=()
        if pooled or layer.shifted
        else (
            Clip(ROW, TAP_ROW, -v.before, v.stride, v.dilation, v.input),
            Clip(COLUMN, TAP_COLUMN, -h.before, h.stride, h.dilation, h.input),
        ),
    )


def _taps(layer: Correlation) -> list[Axis]:
    """Loops over what a window sees: how input and weights move."""
    v, h, x, width = layer.window.vertical, layer.window.horizontal, layer.x, layer.weights.width
    down, along = v.dilation * x.row_step, h.dilation * x.pitch
    if layer.across:
        words = words_of(h.kernel * x.channels)
        return [Axis(v.kernel, 0, down, words * width, tag=TAP_ROW), Axis(words, 0, TOGETHER, width)]
    each, step = (x.words, TOGETHER) if isinstance(x, Rounded) else (x.channels, 1)
    return [
        Axis(v.kernel, 0, down, h.kernel * each * width, tag=TAP_ROW),
        Axis(h.kernel, 0, along, each * width, tag=TAP_COLUMN),
        Axis(each, 0, step, width),
    ]


def tiled(
    name: str,
    *,
    out: Operand,
    a: Operand,
    b: Operand,
    rows: Sequence[Axis],
    reduction: Sequence[Axis],
    columns: Panels,
    out_step: int,
    b_step: int,
    target: Target,
    bias: Operand | None = None,
    epilogue: Epilogue = (),
    beside: int = 0,
    cells: int = 1,
    mask: Operand | None = None,
    clips: Sequence[Clip] = (),
    factors: Factors = "float32",
    padding: int = 0,
) -> Contraction:
    """Plan a contraction over nests of rows and reductions: cut both, and leave out what clips save.

    Arguments:
        name, out, a, b, bias, epilogue, beside, cells, mask, factors, padding: as of the contraction.
        rows, reduction: loops, outermost first.
        columns: the matrix of weights, whose panels the columns are cut into.
        out_step, b_step: elements from panel to panel.
        clips: pairs of rows and taps that may need no work.
    """
    vectors = columns.width // target.lanes
    length = math.prod(axis.extent for axis in reduction)
    useful = saving_clips(clips, rows, reduction)
    nest_of_rows = merge(untagged(rows, {clip.rows for clip in useful}))
    split, _ = choose_rows(nest_of_rows, vectors, length, target, cells=cells)
    kept = choose_clips(useful, split, reduction)
    nest = merge(untagged(reduction, {clip.taps for clip in kept}))
    total = -(-columns.columns // target.lanes)
    return Contraction(
        name,
        out,
        a,
        b,
        split,
        _chunks(nest, columns, cells, target) if factors == "float32" else Split(nest, 0, 1),
        columns.columns,
        columns.count,
        vectors,
        total - (columns.count - 1) * vectors,
        Axis(columns.count, out_step, 0, b_step, out_step),
        bias,
        epilogue,
        beside,
        cells=cells,
        mask=mask,
        # Weights that overflow the second-level cache are read once per panel rather than once per row of tiles.
        panels_first=columns.size * 4 > target.level2 // 2,
        clips=kept,
        factors=factors,
        padding=padding,
    )


def _chunks(nest: tuple[Axis, ...], columns: Panels, cells: int, target: Target) -> Split:
    """Cut a single loop over k, of a fully connected layer, so that a stretch of a panel stays in the first-level
    cache for all rows. Loops over taps read what neighbouring rows have just read, and need no cut.

    One image gains nothing by it, and is cut all the same: where a sum is cut decides how it is rounded, and an image's
    answer must not hang on how many others are asked about with it, nor on whether the program stands alone.
    """
    if len(nest) != 1 or cells > 1:
        return Split(nest, 0, 1)
    stretch = target.level1 // 2 // (4 * (columns.usual or columns.width))
    return Split(nest, 0, max(1, -(-nest[0].extent // stretch)))


def transposed_panels(layer: Correlation, name: str, dx: Tensor, target: Target) -> Panels:
    """Lay out the weights for the gradient of the input: rows are (tap, output channel), columns input channels."""
    rows = merge([Axis(dx.images, dx.image_step, 1), Axis(dx.height, dx.row_step, 1), Axis(dx.width, dx.pitch, 1)])
    width = column_panels(layer.x.channels, rows, layer.taps * layer.y.channels, target)
    return Panels(name, layer.taps * layer.y.channels, layer.x.channels, width * target.lanes)


@dataclass(frozen=True, slots=True)
class Phase:
    """The input pixels of one axis that a stride treats alike: first, first + stride, …; and the taps that reach them.

    Output `first_output + i - j * output_step` meets pixel i through tap `first_tap + j * tap_step`.
    """

    first: int
    pixels: int
    first_tap: int
    tap_step: int
    taps: int
    first_output: int
    output_step: int


def phases(axis: WindowAxis) -> list[Phase]:
    """Write the backward pass of a strided window as stride-1 passes, one for each remainder of the pixel's place."""
    found = []
    common = math.gcd(axis.stride, axis.dilation)
    for first in range(min(axis.stride, axis.input)):
        pixels = -(-(axis.input - first) // axis.stride)
        reaching = [t for t in range(axis.kernel) if (first + axis.before - t * axis.dilation) % axis.stride == 0]
        if reaching:
            tap_step = axis.stride // common
            output = (first + axis.before - reaching[0] * axis.dilation) // axis.stride
            step = tap_step * axis.dilation // axis.stride
            found.append(Phase(first, pixels, reaching[0], tap_step, len(reaching), output, step))
        else:
            found.append(Phase(first, pixels, 0, 1, 0, 0, 0))
    return found


def gradient_halo(window: Window) -> Halo:
    """Return the zeros that the gradient of the input needs around the gradient of the output."""
    sides = []
    for axis in (window.vertical, window.horizontal):
        live = [phase for phase in phases(axis) if phase.taps]
        low = min((p.first_output - (p.taps - 1) * p.output_step for p in live), default=0)
        high = max((p.first_output + p.pixels - 1 for p in live), default=0)
        sides.append((max(0, -low), max(0, high - (axis.output - 1))))
    (top, bottom), (left, right) = sides
    return Halo(top, left, bottom, right)


def input_gradient(
    layer: Correlation,
    dy: Tensor,
    dx: Tensor,
    transposed: Panels,
    target: Target,
    epilogue: Epilogue = (),
    *,
    bias: Operand | None = None,
    title: str = "",
) -> list[Contraction]:
    """dx = dy correlated with the transposed weights, one contraction for each phase of the stride."""
    v, h = layer.window.vertical, layer.window.horizontal
    filters, width, seen = layer.y.channels, transposed.width, beside(epilogue)
    image, row, column = steps_beside(seen)
    passes = []
    for rows in phases(v):
        for columns in phases(h):
            first_tap = rows.first_tap * h.kernel + columns.first_tap
            reduction = [
                Axis(
                    rows.taps,
                    0,
                    -rows.output_step * dy.row_step,
                    rows.tap_step * h.kernel * filters * width,
                    tag=TAP_ROW,
                ),
                Axis(
                    columns.taps, 0, -columns.output_step * dy.pitch, columns.tap_step * filters * width, tag=TAP_COLUMN
                ),
                Axis(filters, 0, 1, width),
            ]
            if rows.taps == 0 or columns.taps == 0:
                reduction = [Axis(0)]
            nest = [
                Axis(dx.images, dx.image_step, dy.image_step, 0, image),
                Axis(rows.pixels, v.stride * dx.row_step, dy.row_step, 0, v.stride * row, ROW),
                Axis(columns.pixels, h.stride * dx.pitch, dy.pitch, 0, h.stride * column, COLUMN),
            ]
            passes.append(
                tiled(
                    title or f"{layer.title} input gradient",
                    out=operand(dx, start_of(dx, rows.first, columns.first) + layer.first_in),
                    a=operand(dy, start_of(dy, rows.first_output, columns.first_output) + layer.first_out),
                    b=Operand(transposed.space, transposed.name, transposed.offset + first_tap * filters * width),
                    rows=nest,
                    reduction=reduction,
                    columns=transposed,
                    out_step=width,
                    b_step=transposed.panel_step,
                    target=target,
                    bias=bias,
                    epilogue=epilogue,
                    beside=rows.first * row + columns.first * column + layer.first_in,
                    clips=(
                        Clip(ROW, TAP_ROW, rows.first_output, 1, -rows.output_step, v.output),
                        Clip(COLUMN, TAP_COLUMN, columns.first_output, 1, -columns.output_step, h.output),
                    ),
                )
            )
    return passes
