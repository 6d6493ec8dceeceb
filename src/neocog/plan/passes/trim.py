"""Dead-output elimination: which pixels of each output are read at all. A pooling of 2 × 2 drops the last row of an
odd image.

What nobody reads is neither computed nor given a gradient, which for it would be zero.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from neocog.nn.graph import IMAGE
from neocog.nn.layers import ConvTranspose2d
from neocog.nn.shapes import ImageShape, Shape
from neocog.nn.window import Window, WindowAxis
from neocog.plan.passes.steps import PlanStep, PlanSteps

POINT = WindowAxis(1, 1, 1, 1, 0, 0)


@dataclass(frozen=True, slots=True)
class Extent:
    """What a step takes and gives once nothing superfluous is left, and its window between the two.

    A vector counts as one pixel; a fully connected layer has a window of one pixel, and a pointwise one has none. Steps
    with several inputs take the same pixels of each, but of one that is a pixel for all.
    """

    input: ImageShape
    output: ImageShape
    window: Window | None


def as_image(shape: Shape) -> ImageShape:
    """Return a vector as an image of one pixel."""
    return shape if isinstance(shape, ImageShape) else ImageShape(1, 1, shape.features)


def window_of(step: PlanStep) -> Window | None:
    """Return the window of a convolution or pooling as declared; a transposed one walks over what it gives."""
    shape, layer = step.node.input, step.node.layer
    if not isinstance(shape, ImageShape):
        return None
    return layer.walk(shape) if isinstance(layer, ConvTranspose2d) else layer.window_over(shape)


def taken_of(step: PlanStep, place: int, extent: Extent) -> ImageShape:
    """Return what a step takes of one of its inputs."""
    return as_image(step.node.shapes[place]) if step.node.is_pixel(place) else extent.input


def trim_axis(axis: WindowAxis, outputs: int) -> WindowAxis:
    """Shorten a window's walk to its first `outputs` positions, and the image to what they look at."""
    pixels = 1
    for tap in range(axis.kernel):  # the last position where it meets the image: behind that, it looks at padding
        offset = tap * axis.dilation - axis.before
        position = min(outputs - 1, (axis.input - 1 - offset) // axis.stride)
        if position >= 0:
            pixels = max(pixels, position * axis.stride + offset + 1)
    return replace(axis, input=pixels, after=(outputs - 1) * axis.stride + axis.reach - axis.before - pixels)


def extents_of(steps: PlanSteps, whole: Collection[int], *, training: bool) -> tuple[Extent, ...]:
    """Find, from the last step to the first, what each gives that is read. What several steps take stays whole.

    A step takes all that the one before it gives: what must be computed has a gradient too, read or not. So where a
    value is whole, the steps behind it are, up to one that reads the last pixel of it.

    Arguments:
        steps: all of them.
        whole: the steps of whose output everything is wanted, read or not.
        training: whether layers that compute with the whole batch need all of it.
    """
    declared = {
        step.index
        for step in steps.steps
        if step.index in whole
        or (IMAGE in whole and IMAGE in step.inputs)
        or step.node.layer.whole_image
        or step.node.layer.enlarges
        or (training and step.node.layer.whole_batch)
        or any(len(steps.users(value)) > 1 for value in (step.index, *step.inputs, *step.added))
    }
    while True:
        found = _trimmed(steps, declared)
        short = {
            step.index
            for step in steps.steps
            if any(
                value != IMAGE and found[value].output != taken_of(step, place, found[step.index])
                for place, value in enumerate(step.inputs)
            )
            or any(value != IMAGE and found[value].output != found[step.index].output for value in step.added)
        }
        if short <= declared:
            return tuple(found[index] for index in range(len(steps.steps)))
        declared |= short


def _trimmed(steps: PlanSteps, declared: Collection[int]) -> dict[int, Extent]:
    """Trim every step but those that stay as declared."""
    found: dict[int, Extent] = {}
    wanted: dict[int, ImageShape] = {}
    for step in reversed(steps.steps):
        output = full = as_image(step.node.output)
        whole = next(shape for place, shape in enumerate(step.node.shapes) if not step.node.is_pixel(place))
        taken, window = as_image(whole), window_of(step)
        if step.index not in declared:
            if isinstance(step.node.output, ImageShape):
                wants = wanted.get(step.index, full)
                output = ImageShape(wants.height, wants.width, full.channels)
            if window is not None:
                window = Window(trim_axis(window.vertical, output.height), trim_axis(window.horizontal, output.width))
                taken = ImageShape(window.vertical.input, window.horizontal.input, taken.channels)
            elif step.on_images:
                taken = ImageShape(output.height, output.width, taken.channels)
        extent = found[step.index] = Extent(taken, output, window)
        wanted |= {value: taken_of(step, place, extent) for place, value in enumerate(step.inputs)}
        wanted |= dict.fromkeys(step.added, output)
    return found


def image_extent(steps: PlanSteps, extents: tuple[Extent, ...], image: ImageShape) -> ImageShape:
    """Return what is read of the image that the network starts from."""
    users = steps.users(IMAGE)
    return extents[users[0].index].input if users else image
