"""Inverted residuals of one image, band by band: what the expansion makes is taken before it leaves the cache.

The output of the first convolution is several times as large as the images before and behind. Where the second-level
cache does not hold it, it would go to memory further off, and come back. So a few rows of it are made, the depthwise
convolution takes them, and the last convolution takes what comes of that.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from neocog.nn.layers import Conv2d
from neocog.nn.window import Window
from neocog.plan import correlation, depthwise
from neocog.plan.layout import Halo, Space, Tensor
from neocog.plan.lower.convolution import correlation_of, epilogue_of, pooling_behind
from neocog.plan.lower.lowering import Lowering
from neocog.plan.lower.values import Segment
from neocog.plan.ops.chain import Chain
from neocog.plan.ops.contraction import Contraction
from neocog.plan.ops.op import Op
from neocog.plan.ops.pointwise import settled, tensors_of
from neocog.plan.ops.rolling import Rolling, row_by_row
from neocog.plan.passes.steps import PlanStep

SHARE_OF_CACHE = 2  # of the second-level cache, one in so many parts is for the rows that are worked on
MOVING = 0.2  # of the time that making a row takes


@dataclass(frozen=True, slots=True)
class Bands:
    """Three convolutions that run band by band.

    Arguments:
        low: the program.
        first, middle, last: their steps.
        rows: rows of the last one's output in a band.
    """

    low: Lowering
    first: PlanStep
    middle: PlanStep
    last: PlanStep
    rows: int

    @property
    def window(self) -> Tensor:
        """What the first one makes for a band, where the depthwise one finds zeros left and right."""
        axis, halo = self.low.window_of(self.middle).vertical, self.low.halo_of(self.first.index)
        whole = self.low.shape(
            self.first.title, self.low.output_shape(self.first.index), Halo(left=halo.left, right=halo.right)
        )
        return replace(whole, height=(self.rows - 1) * axis.stride + axis.reach, space=Space.SCRATCH)

    @property
    def made(self) -> Tensor:
        """What the depthwise one makes of it."""
        whole = self.low.shape(self.middle.title, self.low.output_shape(self.middle.index))
        return replace(whole, height=self.rows, space=Space.SCRATCH)

    @property
    def size(self) -> int:
        """Elements of both."""
        return self.window.size + self.made.size

    def contraction(self, x: Tensor) -> Contraction:
        """Return the first convolution for the first rows of an image. No band moves what it reads by itself."""
        layer = correlation_of(self.low, self.first, x, self.window)
        planned = correlation.forward(layer, self.low.target, epilogue=epilogue_of(self.low, self.first))
        return replace(planned, a=replace(planned.a, image=0))

    @property
    def step(self) -> int:
        """Rows of the window that a band makes."""
        return self.rows * self.low.window_of(self.middle).vertical.stride

    @property
    def kept(self) -> int:
        """Rows of the window that a band takes over from the one before."""
        return self.window.height - self.step

    @property
    def rolls(self) -> bool:
        """Whether the first one's rows can be made one by one, and no more are moved than made."""
        x = self.low.shape("", self.low.extents[self.first.index].input, self.low.halo_of(self.first.inputs[0]))
        return 0 <= self.kept <= self.step and row_by_row(self.contraction(x), self.window.height)

    def cost(self, height: int) -> float:
        """Estimate what one of two threads does for so many rows in all: in rows that it makes."""
        number = height // self.rows
        return -(-number // 2) * (self.step + self.kept * MOVING)


def bands_of(low: Lowering) -> dict[int, Bands | None]:
    """Find the steps of one image that run in bands: by the index of a step, the bands that end with it; None for those
    before it, which are planned with it.
    """
    found: dict[int, Bands | None] = {}
    if low.training is not None or low.batch > 1 or low.precision != "float32":
        return found
    for step in low.steps.steps:
        bands = _bands(low, step)
        if bands is not None:
            found |= {bands.first.index: None, bands.middle.index: None, bands.last.index: bands}
    return found


def _bands(low: Lowering, first: PlanStep) -> Bands | None:
    """Return the bands that begin with a step, if any do."""
    middle = _only_user(low, first)
    last = _only_user(low, middle) if middle is not None and middle.is_depthwise else None
    if middle is None or last is None or first.added or middle.added or not _are_plain(low, first, last):
        return None
    near = low.target.level2 // SHARE_OF_CACHE
    if 4 * low.shape("", low.output_shape(first.index)).size <= near:
        return None
    height = low.output_shape(middle.index).height
    every = (Bands(low, first, middle, last, rows) for rows in range(1, height + 1) if height % rows == 0)
    found = [bands for bands in every if 4 * bands.size <= near and bands.rolls]
    return min(found, key=lambda bands: bands.cost(height), default=None)


def _only_user(low: Lowering, step: PlanStep) -> PlanStep | None:
    """Return the step that takes what another one gives, if it is the only one, and nobody asks for what it takes."""
    users = low.steps.users(step.index)
    if len(users) != 1 or step.index in low.kept or step.index in low.peaks or users[0].inputs != (step.index,):
        return None
    return users[0]


def _are_plain(low: Lowering, first: PlanStep, last: PlanStep) -> bool:
    """Whether a direct convolution is the first and one of single pixels the last, whose bands lie side by side."""
    if not all(isinstance(step.node.layer, Conv2d) and step.groups == 1 for step in (first, last)):
        return False
    window = low.window_of(last)
    pixels = all(
        axis.kernel == axis.stride == 1 and axis.padded == axis.output for axis in (window.vertical, window.horizontal)
    )
    halos = [low.halo_of(value) for value in (last.index, *last.added)]
    together = all(halo.top == halo.bottom == 0 for halo in halos) and pooling_behind(low, last) is None
    return pixels and together and low.tile_of(first) is None


def forward(low: Lowering, bands: Bands) -> None:
    """Plan the three convolutions as one chain."""
    first, middle, last = bands.first, bands.middle, bands.last
    x, epilogue = low.output(first.inputs[0]), epilogue_of(low, last)
    shape, kept = low.output_shape(last.index), last.index in low.kept
    y = low.value(last.title, shape, low.halo_of(last.index), kept=kept, activation=last.activation)
    low.outputs[last.index] = y
    window, made = bands.window, bands.made
    low.flat |= {tensor.memory: tensor.size for tensor in (window, made)}

    def band(tensor: Tensor) -> Tensor:
        return replace(tensor, height=bands.rows)

    def build(segment: Segment) -> Iterable[Op]:
        vertical = low.window_of(middle).vertical
        rolling = Rolling(
            f"{first.title} rows",
            bands.contraction(x.tensor),
            window,
            bands.step,
            vertical.before,
            vertical.input,
        )
        inside = replace(vertical, input=window.height, before=0, after=0)
        taken = replace(
            correlation_of(low, middle, window, made), window=Window(inside, low.window_of(middle).horizontal)
        )
        stages = (
            rolling,
            depthwise.forward(taken, low.target, epilogue=epilogue_of(low, middle)),
            correlation.forward(
                correlation_of(low, last, made, band(y.tensor)), low.target, epilogue=settled(epilogue, band)
            ),
        )
        number = shape.height // bands.rows
        yield Chain(f"{first.title} to {last.title} forward", stages, 1, number, number, rolls=True)

    reads = [x.tensor.name, *(tensor.name for tensor in tensors_of(epilogue))]
    low.add(last.title, reads, [y.tensor.name], build, chains=False, on_images=last.on_images)
