"""The gradients of a convolution or a fully connected layer, cut into tiles of bfloat16."""

from __future__ import annotations

from dataclasses import dataclass, replace

from neocog.nn.window import Window
from neocog.plan import correlation
from neocog.plan.blocked import PLANE, TILE_ROWS, Blocked
from neocog.plan.correlation import Phase
from neocog.plan.layout import Halo, Operand, Tensor
from neocog.plan.ops.epilogue import Epilogue
from neocog.plan.ops.pack import TapRange
from neocog.plan.ops.product import TileProduct
from neocog.plan.ops.tile_gradient import Places
from neocog.plan.product import product


def gradient_halo(window: Window, x: Blocked, *, needed: bool) -> Halo:
    """Return the zeros around the gradient of what a convolution gave.

    So many lie between its rows as those of x have, and with strides as many as taps of a phase reach: then positions
    of both are counted alike.

    Arguments:
        window: the convolution's.
        x: what it takes.
        needed: whether the gradient of that is wanted.
    """
    halo = correlation.gradient_halo(window) if needed else Halo()
    v, h = window.vertical, window.horizontal
    between = x.line - h.output if v.stride == h.stride == 1 else (h.kernel - 1) * h.dilation // h.stride
    return halo.union(Halo(right=max(0, between)))


def places_of(window: Window, dy: Blocked) -> Places:
    """Return how the outputs of a convolution are counted, for the gradient of its weights."""
    axes = window.vertical, window.horizontal
    v, h = axes
    # Of a window narrower than its stride, some phases meet no tap.
    phases = tuple(min(axis.stride, axis.reach) for axis in axes)
    return Places(
        images=dy.images,
        count=(dy.height - 1) * dy.line + dy.width,
        line=dy.line,
        taps=(v.kernel, h.kernel),
        dilation=(v.dilation, h.dilation),
        stride=(v.stride, h.stride),
        before=(v.before, h.before),
        phases=(phases[0], phases[1]),
    )


def places_of_images(x: Blocked) -> Places:
    """Return how images are counted, for the gradient of a fully connected layer's weights: each is a position."""
    return Places(images=1, count=x.images, line=1, taps=(x.height, x.width), whole=True)


@dataclass(frozen=True, slots=True)
class GradientPass:
    """One of the passes that give the gradient of a layer's input: of the pixels that a stride treats alike.

    Arguments:
        down, across: the taps of a filter that meet them, in the order in which dy is read.
        rows, columns: where the pixels lie, and which outputs they met.
        strides: from one of these pixels to the next.
    """

    down: TapRange
    across: TapRange
    rows: Phase
    columns: Phase
    strides: tuple[int, int]

    @property
    def taps(self) -> int:
        """Number of taps."""
        return self.down.count * self.across.count


def passes_of(window: Window) -> list[GradientPass]:
    """Return the passes of a convolution, all pixels of its input in one of them each."""
    strides = window.vertical.stride, window.horizontal.stride
    return [
        GradientPass(_backwards(rows), _backwards(columns), rows, columns, strides)
        for rows in correlation.phases(window.vertical)
        for columns in correlation.phases(window.horizontal)
    ]


def _backwards(phase: Phase) -> TapRange:
    """Return the taps of a phase, the last one first: it meets the first output."""
    return TapRange(phase.taps, phase.first_tap + max(0, phase.taps - 1) * phase.tap_step, -phase.tap_step)


def pass_product(
    title: str,
    part: GradientPass,
    dy: Blocked,
    dx: Tensor,
    weights: Operand,
    *,
    epilogue: Epilogue = (),
    chained: bool = False,
    clears: bool = True,
    groups: int = 1,
) -> TileProduct:
    """Plan one pass: dy correlated with transposed weights."""
    rows, columns = part.rows, part.columns
    top, left = (phase.first_output - max(0, phase.taps - 1) * phase.output_step for phase in (rows, columns))
    made = product(
        title,
        dy,
        dx,
        weights,
        walk="plane",
        first=top * dy.row_step + left * PLANE,
        taps=(part.down.count, part.across.count),
        tap_steps=(rows.output_step * dy.row_step, columns.output_step * PLANE),
        steps=(dy.row_step, PLANE),
        epilogue=epilogue,
        chained=chained,
        begin=(rows.first, columns.first),
        apart=part.strides,
        groups=groups,
    )
    return replace(made, clears=clears)


def spare_behind_gradient(window: Window, dy: Blocked, channels: int) -> int:
    """Return the elements behind the last image of dy that tiles reach."""
    v, h = window.vertical, window.horizontal
    dx = Tensor("", dy.images, v.input, h.input, channels, channels)
    nowhere = Operand(dy.space, "", 0)
    ends = [pass_product("", part, dy, dx, nowhere).end for part in passes_of(window) if part.taps]
    return max(0, dy.origin + max(ends) - dy.images * dy.image_step)


def image_product(title: str, dy: Blocked, dx: Tensor, weights: Operand, *, epilogue: Epilogue = ()) -> TileProduct:
    """Plan the gradient of what a fully connected layer takes, each pixel of which has weights of its own."""
    return product(
        title, dy, dx, weights, walk="images", first=0, taps=(1, 1), tap_steps=(0, 0), steps=(0, 0), epilogue=epilogue
    )


def spare_behind_images(dy: Blocked) -> int:
    """Return the elements behind the last image that tiles of whole images reach."""
    rows = -(-dy.images // TILE_ROWS) * TILE_ROWS
    return (rows - dy.images) * dy.image_step
