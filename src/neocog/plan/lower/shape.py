"""Layers that move values: flattening, and laying channels side by side."""

from __future__ import annotations

from collections.abc import Iterable

from neocog.nn.layers import Concatenate, Flatten
from neocog.plan.lower.lowering import NO_HALO, Lowering
from neocog.plan.lower.regroup import regroup_forward, regroup_gradient
from neocog.plan.lower.rule import LoweringRule, Rules
from neocog.plan.lower.values import Segment, Value
from neocog.plan.ops.concatenation import Concatenation
from neocog.plan.ops.copy import cut
from neocog.plan.ops.images import Repack
from neocog.plan.ops.op import Op
from neocog.plan.ops.pointwise import Expression
from neocog.plan.passes.steps import PlanStep


def flatten_forward(low: Lowering, step: PlanStep) -> None:
    """Read an image as a vector where its values lie side by side already, else copy them.

    What multiplies in bfloat16 takes the image itself, with a weight for each pixel and channel.
    """
    if low.wants_narrow(step.index):
        low.narrow[step.index] = low.narrowed(step.inputs[0])
        if step.index not in low.kept and all(
            low.is_half(user) or low.is_int8(user) for user in low.steps.users(step.index)
        ):
            return
    x = low.output(step.inputs[0])
    scalars = low.reads_scalars(step.index)
    if x.tensor.compact and (x.tensor.channels % low.target.lanes == 0 or scalars):
        alone = len(low.steps.users(step.inputs[0])) == 1
        view = Value(x.tensor.as_vectors(), activation=x.activation if alone else None, base=x)
        x.kept = x.kept or step.index in low.kept
        low.outputs[step.index] = view
        return
    y = low.value(step.title, low.output_shape(step.index), kept=step.index in low.kept)

    def build(segment: Segment) -> Iterable[Op]:
        yield Repack(f"{step.title} forward", x.tensor, y.tensor)

    low.add(step.title, [x.tensor.name], [y.tensor.name], build, chains=False, on_images=False)
    low.outputs[step.index] = y


def flatten_backward(low: Lowering, step: PlanStep) -> None:
    """Read the gradient of the vector as that of the image, or copy it there."""
    before = step.inputs[0]
    dy = low.gradient_value(step)
    # Who read the vector as a view of the image may have taken the gradient through the image's activation already.
    through = all(part.past_activation for part in low.contributions[step.index])
    whole = low.images_of.get(dy.tensor.name)
    if whole is not None:
        low.contribute(before, Expression(whole.tensor), past_activation=through)
        return
    dx = low.part_of_gradient(before, step.title)

    def build(segment: Segment) -> Iterable[Op]:
        yield Repack(f"{step.title} input gradient", dy.tensor, dx.tensor)

    low.add(step.title, [dy.tensor.name], [dx.tensor.name], build, chains=False, on_images=False)
    low.contribute(before, Expression(dx.tensor), past_activation=through)


def concatenate_forward(low: Lowering, step: PlanStep) -> None:
    """Copy the channels of all inputs side by side."""
    if low.wants_half(step.index):
        regroup_forward(low, step)
        return
    inputs = [low.output(value) for value in step.inputs]
    y = low.value(step.title, low.output_shape(step.index), low.halo_of(step.index), kept=step.index in low.kept)

    def build(segment: Segment) -> Iterable[Op]:
        settle = segment.settle
        parts = tuple(settle(x.tensor) for x in inputs)
        yield Concatenation(f"{step.title} forward", parts, settle(y.tensor))

    names = [x.tensor.name for x in inputs]
    low.add(step.title, names, [y.tensor.name], build, chains=step.takes_images, on_images=step.on_images)
    low.outputs[step.index] = y


def concatenate_backward(low: Lowering, step: PlanStep) -> None:
    """Cut the gradient into those of the inputs."""
    half = low.wants_half_gradient(step.index)
    dy = low.half_gradient(step) if half else low.gradient_value(step, NO_HALO)
    first = 0
    for value in step.inputs:
        channels = low.output_shape(value).channels if value >= 0 else low.graph.input.channels
        if value in low.learning:
            if half:
                regroup_gradient(low, step, value, (dy,), first=first)
            else:
                _plan_slice(low, step, value, dy, first)
        first += channels


def _plan_slice(low: Lowering, step: PlanStep, value: int, dy: Value, first: int) -> None:
    dx = low.part_of_gradient(value, step.title)

    def build(segment: Segment) -> Iterable[Op]:
        yield cut(f"{step.title} input gradient", segment.settle(dy.tensor), segment.settle(dx.tensor), first)

    low.add(
        step.title,
        [dy.tensor.name],
        [dx.tensor.name],
        build,
        chains=step.takes_images,
        on_images=step.on_images,
    )
    low.contribute(value, Expression(dx.tensor))


RULES: Rules = {
    Flatten: LoweringRule(flatten_forward, flatten_backward),
    Concatenate: LoweringRule(concatenate_forward, concatenate_backward),
}
