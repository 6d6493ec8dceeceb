"""Layers that look at several channels of a pixel: Softmax and Maxout."""

from __future__ import annotations

from collections.abc import Iterable

from neocog.nn.layers import Maxout, Softmax
from neocog.plan.lower.lowering import Lowering
from neocog.plan.lower.rule import LoweringRule, Rules
from neocog.plan.lower.values import Segment
from neocog.plan.ops.maxout import MaxoutBackward, MaxoutForward
from neocog.plan.ops.op import Op
from neocog.plan.ops.pointwise import Expression
from neocog.plan.ops.softmax import SoftmaxBackward, SoftmaxForward
from neocog.plan.passes.steps import PlanStep


def softmax_forward(low: Lowering, step: PlanStep) -> None:
    """Plan the shares of each pixel's channels."""
    x = low.output(step.inputs[0])
    y = low.value(step.title, low.output_shape(step.index), low.halo_of(step.index), kept=step.index in low.kept)

    def build(segment: Segment) -> Iterable[Op]:
        yield SoftmaxForward(f"{step.title} forward", segment.settle(x.tensor), segment.settle(y.tensor))

    low.add(step.title, [x.tensor.name], [y.tensor.name], build, chains=step.takes_images, on_images=step.on_images)
    low.outputs[step.index] = y


def softmax_backward(low: Lowering, step: PlanStep) -> None:
    """Plan y · (dy - Σ dy · y)."""
    dy, y = low.gradient_value(step), low.outputs[step.index]
    dx = low.part_of_gradient(step.inputs[0], step.title)

    def build(segment: Segment) -> Iterable[Op]:
        settle = segment.settle
        yield SoftmaxBackward(f"{step.title} input gradient", settle(y.tensor), settle(dy.tensor), settle(dx.tensor))

    reads = [dy.tensor.name, y.tensor.name]
    low.add(step.title, reads, [dx.tensor.name], build, chains=step.takes_images, on_images=step.on_images)
    low.contribute(step.inputs[0], Expression(dx.tensor))


def maxout_forward(low: Lowering, step: PlanStep) -> None:
    """Plan the largest of each group of channels, and which it was, if training asks for it."""
    x = low.output(step.inputs[0])
    y = low.value(step.title, low.output_shape(step.index), low.halo_of(step.index), kept=step.index in low.kept)
    mask = None
    if step.inputs[0] in low.learning:
        mask = low.masks[step.index] = low.value(f"{step.title} mask", low.output_shape(step.index), bytes_each=1)

    def build(segment: Segment) -> Iterable[Op]:
        settle = segment.settle
        seen = settle(mask.tensor) if mask else None
        yield MaxoutForward(f"{step.title} forward", settle(x.tensor), settle(y.tensor), seen)

    writes = [y.tensor.name, *([mask.tensor.name] if mask else [])]
    low.add(step.title, [x.tensor.name], writes, build, chains=step.takes_images, on_images=step.on_images)
    low.outputs[step.index] = y


def maxout_backward(low: Lowering, step: PlanStep) -> None:
    """Send each gradient to the channel that was the largest."""
    dy, mask = low.gradient_value(step), low.masks[step.index]
    dx = low.part_of_gradient(step.inputs[0], step.title)

    def build(segment: Segment) -> Iterable[Op]:
        settle = segment.settle
        yield MaxoutBackward(f"{step.title} input gradient", settle(dy.tensor), settle(mask.tensor), settle(dx.tensor))

    reads = [dy.tensor.name, mask.tensor.name]
    low.add(step.title, reads, [dx.tensor.name], build, chains=step.takes_images, on_images=step.on_images)
    low.contribute(step.inputs[0], Expression(dx.tensor))


RULES: Rules = {
    Softmax: LoweringRule(softmax_forward, softmax_backward),
    Maxout: LoweringRule(maxout_forward, maxout_backward),
}
