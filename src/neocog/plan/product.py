"""How a convolution or a fully connected layer is cut into tiles of bfloat16."""

from __future__ import annotations

from dataclasses import replace

from neocog.nn.shapes import ImageShape
from neocog.nn.window import Window, WindowAxis
from neocog.plan.blocked import BLOCK_ROWS, PLANE, TILE_ROWS, Blocked
from neocog.plan.layout import Operand, Space, Tensor, Vectors
from neocog.plan.ops.epilogue import Epilogue
from neocog.plan.ops.product import TileProduct, Walk
from neocog.plan.rounded import Rounded

SHARES = 8  # items of an image and panel, where threads share one image


def walk_of(window: Window, images: int) -> Walk:
    """Choose what rows of tiles are: images where each gives one pixel, else positions that follow each other."""
    v, h = window.vertical, window.horizontal
    if v.output == h.output == 1 and images > 1:
        return "images"
    return "plane" if v.stride == h.stride == 1 else "rows"


def product(
    title: str,
    x: Blocked | Rounded,
    y: Tensor,
    weights: Operand,
    *,
    walk: Walk,
    first: int,
    taps: tuple[int, int],
    tap_steps: tuple[int, int],
    steps: tuple[int, int],
    bias: Vectors | None = None,
    epilogue: Epilogue = (),
    chained: bool = False,
    begin: tuple[int, int] = (0, 0),
    apart: tuple[int, int] = (1, 1),
    groups: int = 1,
) -> TileProduct:
    """Cut products into items.

    Arguments:
        title: what plans call it.
        x, y, weights, walk, first, taps, tap_steps, steps, bias, epilogue, begin, apart, groups: as of the op.
        chained: whether it runs in a chain, where threads share images out and not what an image consists of.
    """
    sums = Operand(Space.SCRATCH, f"{title} sums", 0)
    bias_at = bias.begin if bias else None
    made = TileProduct(
        title, x, y, weights, sums, walk, first, taps, tap_steps, steps, 1, False, bias_at, epilogue, begin, apart
    )
    made = replace(made, groups=groups)
    far = x.bytes_each * made.panels * made.panel_size > made.x.bytes_each * x.images * x.image_step
    chunk = 1 if walk == "images" else made.blocks if chained else -(-made.blocks // SHARES)
    return replace(made, chunk=chunk, panels_first=far)


def forward(
    title: str,
    window: Window,
    x: Blocked | Rounded,
    y: Tensor,
    weights: Operand,
    *,
    walk: Walk,
    bias: Vectors | None = None,
    epilogue: Epilogue = (),
    chained: bool = False,
    groups: int = 1,
) -> TileProduct:
    """Plan a convolution.

    Arguments:
        window: its walk over x.
        walk: as of `walk_of`.
        title, x, y, weights, bias, epilogue, chained, groups: as of `product`.
    """
    v, h = window.vertical, window.horizontal
    return product(
        title,
        x,
        y,
        weights,
        walk=walk,
        first=-v.before * x.row_step - h.before * x.pitch,
        taps=(v.kernel, h.kernel),
        tap_steps=(v.dilation * x.row_step, h.dilation * x.pitch),
        steps=(v.stride * x.row_step, h.stride * x.pitch),
        bias=bias,
        epilogue=epilogue,
        chained=chained,
        groups=groups,
    )


def stacked(window: Window) -> Window:
    """Return the window over images whose rows are stacked: it takes the columns of each position at once."""
    columns = window.horizontal.output
    return Window(window.vertical, WindowAxis(columns, 1, 1, 1, 0, 0))


def whole(image: ImageShape | Tensor) -> Window:
    """Return the window that sees an image from one place: what a fully connected layer behind a Flatten is."""
    height, width = image.height, image.width
    return Window(WindowAxis(height, height, 1, 1, 0, 0), WindowAxis(width, width, 1, 1, 0, 0))


def spare_behind(window: Window, x: Blocked | Rounded, walk: Walk) -> int:
    """Return the elements behind the last image of x that tiles reach."""
    y = Tensor("", x.images, window.vertical.output, window.horizontal.output, 1, PLANE)
    made = forward("", window, x, y, Operand(Space.ARENA, "", 0), walk=walk)
    return max(0, x.origin + made.end - x.images * x.image_step)


def images_for(window: Window) -> int:
    """Choose how many images fill some blocks."""
    pixels = window.vertical.output * window.horizontal.output
    return -(-2 * BLOCK_ROWS // max(pixels, TILE_ROWS))
