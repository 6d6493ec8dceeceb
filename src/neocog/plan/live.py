"""Which pixels of each layer's output are read at all: a pooling of 2 × 2 drops the last row of an odd image.

What nobody reads is neither computed nor given a gradient, which for it would be zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from neocog.nn.layers import AvgPool2d, Conv2d, MaxPool2d
from neocog.nn.shapes import ImageShape, Shape
from neocog.nn.window import Axis, Window
from neocog.plan.fuse import Step

POINT = Axis(1, 1, 1, 1, 0, 0)


@dataclass(frozen=True, slots=True)
class LiveStep:
    """What a step takes and gives once nothing superfluous is left, and its window between the two.

    A vector counts as one pixel; a fully connected layer has a window of one pixel, and an element-wise one has none.
    """

    input: ImageShape
    output: ImageShape
    window: Window | None


def as_image(shape: Shape) -> ImageShape:
    """Return a vector as an image of one pixel."""
    return shape if isinstance(shape, ImageShape) else ImageShape(1, 1, shape.features)


def window_of(step: Step) -> Window | None:
    """Return the window of a convolution or pooling as declared."""
    layer, shape = step.node.layer, step.node.input
    if isinstance(layer, Conv2d) and isinstance(shape, ImageShape):
        return layer.window_over(shape)
    if isinstance(layer, MaxPool2d | AvgPool2d) and isinstance(shape, ImageShape):
        return layer.window_over(shape)
    return None


def trim_axis(axis: Axis, outputs: int) -> Axis:
    """Shorten a window's walk to its first `outputs` positions, and the image to what they look at."""
    last = (outputs - 1) * axis.stride - axis.before + axis.reach - 1
    pixels = min(axis.input, max(1, last + 1))
    return replace(axis, input=pixels, after=(outputs - 1) * axis.stride + axis.reach - axis.before - pixels)


def whole_steps(steps: Sequence[Step]) -> tuple[LiveStep, ...]:
    """Return what each step takes and gives where everything is wanted, read by the next step or not."""
    return tuple(LiveStep(as_image(step.node.input), as_image(step.node.output), window_of(step)) for step in steps)


def live_steps(steps: Sequence[Step]) -> tuple[LiveStep, ...]:
    """Find, from the last step to the first, what each gives that is read."""
    found: list[LiveStep] = []
    wanted: ImageShape | None = None
    for step in reversed(steps):
        output = as_image(step.node.output)
        if wanted is not None and isinstance(step.node.output, ImageShape):
            output = wanted
        window = window_of(step)
        taken = as_image(step.node.input)
        if window is not None:
            window = Window(trim_axis(window.vertical, output.height), trim_axis(window.horizontal, output.width))
            taken = ImageShape(window.vertical.input, window.horizontal.input, taken.channels)
        elif isinstance(step.node.input, ImageShape) and isinstance(step.node.output, ImageShape):
            taken = ImageShape(output.height, output.width, taken.channels)
        found.append(LiveStep(taken, output, window))
        wanted = taken
    return tuple(reversed(found))
