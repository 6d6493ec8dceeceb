"""Pooling, forward and backward, and the largest values of whole maps."""

from __future__ import annotations

from collections.abc import Iterable

from neocog.nn.layers import AdaptiveAvgPool2d, AvgPool2d, GlobalAvgPool2d, MaxPool2d
from neocog.nn.shapes import ImageShape
from neocog.nn.window import EvenWindow, Window, WindowAxis
from neocog.plan.layout import Tensor
from neocog.plan.lower import half as tiles
from neocog.plan.lower.lowering import Lowering
from neocog.plan.lower.rule import LoweringRule, Rules
from neocog.plan.lower.values import Segment
from neocog.plan.ops.op import Op
from neocog.plan.ops.pointwise import Expression, Scaled, settled, tensors_of
from neocog.plan.ops.pool import Pool, PoolBackward
from neocog.plan.passes.steps import PlanStep
from neocog.plan.passes.trim import trim_axis


def forward(low: Lowering, step: PlanStep) -> None:
    """Plan a pooling that does not run in a convolution's last lines."""
    if step.index in low.fused:
        return
    if low.pools_narrow(step):
        x, y = low.narrowed(step.inputs[0]), tiles.output(low, step)
    else:
        x = low.output(step.inputs[0])
        y = low.value(step.title, low.output_shape(step.index), low.halo_of(step.index), kept=step.index in low.kept)
        low.outputs[step.index] = y
    largest = isinstance(step.node.layer, MaxPool2d)
    mask = low.make_mask(step) if largest else None
    window, counted = _windows_of(low, step)

    def build(segment: Segment) -> Iterable[Op]:
        settle = segment.settle
        mask_seen = settle(mask.tensor) if mask else None
        yield Pool(
            f"{step.title} forward",
            settle(x.tensor),
            settle(y.tensor),
            window,
            largest,
            mask_seen,
            largest and x.clamped,
            counted,
        )

    writes = [y.tensor.name, *([mask.tensor.name] if mask else [])]
    low.add(step.title, [x.tensor.name], writes, build, on_images=step.on_images)


def _windows_of(low: Lowering, step: PlanStep) -> tuple[Window | EvenWindow, Window | None]:
    """Return a pooling's walk over what is left of its input, and over what counts in a mean, if not all does."""
    layer, image = step.node.layer, step.node.input
    assert isinstance(image, ImageShape)
    if isinstance(layer, AdaptiveAvgPool2d):
        return layer.counted_over(image), None
    window = low.window_of(step)
    if not isinstance(layer, AvgPool2d):
        return window, None
    counted = layer.counted_over(image)
    outputs = window.vertical.output, window.horizontal.output
    left = Window(trim_axis(counted.vertical, outputs[0]), trim_axis(counted.horizontal, outputs[1]))
    all_count = all(axis.taps_inside() == axis.output * axis.kernel for axis in (left.vertical, left.horizontal))
    return window, None if all_count else left


def backward(low: Lowering, step: PlanStep) -> None:
    """Leave the gradient to the convolution in whose last lines the pooling ran, or send it back, as tiles take it."""
    fused = step.index in low.fused and step.index in low.masks
    if fused and not low.is_half(low.steps.steps[step.inputs[0]]):
        low.pooled[step.inputs[0]] = step
    else:
        send_back(low, step)


def send_back(low: Lowering, step: PlanStep) -> None:
    """Send each window's gradient to its largest value, or share it equally."""
    before = step.inputs[0]
    half = low.pools_narrow(step)
    dy = low.half_gradient(step) if half and low.wants_half_gradient(step.index) else low.gradient_value(step)
    mask = low.masks.get(step.index)
    # Where the ReLU stopped all of a window, the mask says so.
    masked = mask is not None and (low.made(before) if half else low.outputs[before]).clamped
    epilogue = () if masked else low.activation_gradient(before, half=half)
    dx = low.half_part_of_gradient(before, step.title) if half else low.part_of_gradient(before, step.title)
    window, counted = _windows_of(low, step)

    def build(segment: Segment) -> Iterable[Op]:
        settle = segment.settle
        yield PoolBackward(
            f"{step.title} input gradient",
            settle(dy.tensor),
            settle(dx.tensor),
            window,
            settle(mask.tensor) if mask else None,
            settled(epilogue, settle),
            counted,
        )

    reads = [dy.tensor.name, *([mask.tensor.name] if mask else []), *(tensor.name for tensor in tensors_of(epilogue))]
    low.add(step.title, reads, [dx.tensor.name], build, starts=True, on_images=step.on_images)
    low.contribute(before, Expression(dx.tensor), past_activation=masked or bool(epilogue))


def global_forward(low: Lowering, step: PlanStep) -> None:
    """Plan the mean of each feature map."""
    x = low.at_rest(step.inputs[0])
    y = low.value(step.title, low.output_shape(step.index), low.halo_of(step.index), kept=step.index in low.kept)

    def build(segment: Segment) -> Iterable[Op]:
        seen = segment.settle(x.tensor)
        window = whole_window(seen)
        yield Pool(f"{step.title} forward", seen, segment.settle(y.tensor), window, largest=False, mask=None)

    low.add(step.title, [x.tensor.name], [y.tensor.name], build, on_images=step.on_images)
    low.outputs[step.index] = y


def global_backward(low: Lowering, step: PlanStep) -> None:
    """Send every pixel an equal share of its map's gradient; one pixel stands for all."""
    dy = low.gradient_value(step)
    x = low.extents[step.index].input
    low.contribute(step.inputs[0], Expression(dy.tensor, (Scaled(1.0 / (x.height * x.width)),)))


def adaptive_forward(low: Lowering, step: PlanStep) -> None:
    """Plan the mean of each part; that of the whole image as such."""
    if low.output_shape(step.index).height == low.output_shape(step.index).width == 1:
        global_forward(low, step)
    else:
        forward(low, step)


def adaptive_backward(low: Lowering, step: PlanStep) -> None:
    """Share the gradient of each part out to its pixels."""
    if low.output_shape(step.index).height == low.output_shape(step.index).width == 1:
        global_backward(low, step)
    else:
        backward(low, step)


def whole_window(x: Tensor) -> Window:
    """Return the window that covers a whole image."""
    return Window(WindowAxis(x.height, x.height, 1, 1, 0, 0), WindowAxis(x.width, x.width, 1, 1, 0, 0))


def plan_peaks(low: Lowering, step: PlanStep) -> None:
    """Find the largest value of each map that a step gives, for the convolutions that ask for it.

    A pooling in the step's last lines has left out no map's largest value: then it is enough to look at what that gave.
    """
    fused = [user for user in low.steps.users(step.index) if user.index in low.fused]
    x = low.output(fused[0].index if fused else step.index)
    y = low.value(f"{step.title} peaks", ImageShape(1, 1, x.tensor.channels), kept=True)

    def build(segment: Segment) -> Iterable[Op]:
        seen = segment.settle(x.tensor)
        window = whole_window(seen)
        yield Pool(f"{step.title} peaks", seen, segment.settle(y.tensor), window, largest=True, mask=None)

    low.add(step.title, [x.tensor.name], [y.tensor.name], build)
    for convolution in low.peaks[step.index]:
        low.found_peaks[convolution] = y.tensor


POOLING = LoweringRule(forward, backward)

RULES: Rules = {
    MaxPool2d: POOLING,
    AvgPool2d: POOLING,
    AdaptiveAvgPool2d: LoweringRule(adaptive_forward, adaptive_backward),
    GlobalAvgPool2d: LoweringRule(global_forward, global_backward),
}
