"""How a convolution or a fully connected layer is cut into tiles of bfloat16."""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile

from neocog.nn.shapes import ImageShape
from neocog.nn.window import Window, WindowAxis
from neocog.plan.blocked import BLOCK_ROWS, PANEL, PLANE, TILE_ROWS, Blocked
from neocog.plan.layout import Operand, Space, Tensor, Vectors
from neocog.plan.ops.epilogue import Epilogue
from neocog.plan.ops.product import TileProduct, Walk
from neocog.plan.ops.windows import SIDE
from neocog.plan.rounded import Rounded

SHARES = 8  # items of an image and panel, where threads share one image
PRODUCTS = 4  # of tiles, for each tap and plane of a block
VECTOR = 16  # channels of a window that a pass of its own pools in about the time of a product
MOST_HELD = 8  # blocks of a band of windows: 32 KiB of sums, which the nearest cache holds beside some of their factors


def walk_of(window: Window, images: int) -> Walk:
    """Choose what rows of tiles are: images where each gives one pixel, else positions that follow each other."""
    v, h = window.vertical, window.horizontal
    if v.output == h.output == 1 and images > 1:
        return "images"
    return "plane" if v.stride == h.stride == 1 else "rows"


def can_pool(pooling: Window) -> bool:
    """Whether products could take a max pooling along: windows of 2 × 2 side by side, none of which sees padding."""
    return all(
        axis.kernel == axis.stride == SIDE and axis.before == 0 and SIDE * axis.output <= axis.input
        for axis in (pooling.vertical, pooling.horizontal)
    )


def pooling_of(window: Window, x: Blocked | Rounded, filters: int, groups: int = 1) -> tuple[Walk, int] | None:
    """Choose how products take a max pooling of 2 × 2 along: the walk, and the band of windows; None: better not.

    Two tiles on two rows hold whole windows, and nothing is kept; but where a row does not fill its tiles, some of what
    they multiply is wasted. Positions of a plane fill tiles whatever its width, if the sums of some rows are kept until
    their windows are whole. What wastes least is chosen, and of equals what keeps least.

    Still some tiles may be wasted. A pass of its own over what the convolution gave takes, for 16 channels of a window,
    about as long as a product of tile registers (3 to 6 ns; 16 cycles): so many products may be wasted, and no more.

    Arguments:
        window: of the convolution, over x.
        filters, groups: of the convolution.
    """
    best = _pooled(window, x, filters, groups)
    if best is None:
        return None
    plain = _unpooled(window, x, walk_of(window, x.images), filters, groups)
    wasted = (best.blocks - plain.blocks) * PRODUCTS * plain.planes * plain.taps[0] * plain.taps[1]
    worth = best.y.height * best.y.width * (PANEL // VECTOR)
    return (best.walk, best.band) if wasted <= worth else None


def _pooled(window: Window, x: Blocked | Rounded, filters: int, groups: int) -> TileProduct | None:
    """Return the products that waste least with a pooling behind them; None where no window is whole."""
    v, h = window.vertical, window.horizontal
    if v.output < SIDE or h.output < SIDE:
        return None
    plain = _unpooled(window, x, "rows", filters, groups)
    y = replace(plain.y, height=v.output // SIDE, width=h.output // SIDE)
    found = [replace(plain, y=y, band=1)]
    if v.stride == h.stride == 1:
        bands = (replace(plain, y=y, walk="plane", band=band) for band in range(1, y.height + 1))
        found += takewhile(lambda made: made.windows is not None and made.windows.held <= MOST_HELD, bands)
    return min(found, key=lambda made: (made.blocks, made.band))


def _unpooled(window: Window, x: Blocked | Rounded, walk: Walk, filters: int, groups: int) -> TileProduct:
    """Return the products of a convolution, whose operands lie nowhere."""
    v, h = window.vertical, window.horizontal
    y = Tensor("", x.images, v.output, h.output, filters, -(-filters // PLANE) * PLANE)
    return forward("", window, x, y, Operand(Space.ARENA, "", 0), walk=walk, groups=groups)


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
    band: int = 0,
    mask: Tensor | None = None,
) -> TileProduct:
    """Cut products into items.

    Arguments:
        title: what plans call it.
        x, y, weights, walk, first, taps, tap_steps, steps, bias, epilogue, begin, apart, groups, band, mask: as of the
            op.
        chained: whether it runs in a chain, where threads share images out and not what an image consists of.
    """
    sums = Operand(Space.SCRATCH, f"{title} sums", 0)
    bias_at = bias.begin if bias else None
    made = TileProduct(
        title, x, y, weights, sums, walk, first, taps, tap_steps, steps, 1, False, bias_at, epilogue, begin, apart
    )
    made = replace(made, groups=groups, band=band, mask=mask)
    far = x.bytes_each * made.panels * made.panel_size > made.x.bytes_each * x.images * x.image_step
    chunk = 1 if walk == "images" else made.stores if chained else -(-made.stores // SHARES)
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
    band: int = 0,
    mask: Tensor | None = None,
) -> TileProduct:
    """Plan a convolution.

    Arguments:
        window: its walk over x.
        walk, band: as of `walk_of`, or with a pooling behind it of `pooling_of`; y and mask are what that gives.
        title, x, weights, bias, epilogue, chained, groups: as of `product`.
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
        band=band,
        mask=mask,
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
    """Return the elements behind the last image of x that tiles reach, with a pooling behind them or without."""
    pooled = _pooled(window, x, 1, 1)
    end = max(made.end for made in (_unpooled(window, x, walk, 1, 1), pooled) if made is not None)
    return max(0, x.origin + end - x.images * x.image_step)


def images_for(window: Window) -> int:
    """Choose how many images fill some blocks."""
    pixels = window.vertical.output * window.horizontal.output
    return -(-2 * BLOCK_ROWS // max(pixels, TILE_ROWS))
