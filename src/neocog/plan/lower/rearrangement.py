"""Layers that bring values into another order: a copy each, forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from neocog.nn.layer import channels_of
from neocog.nn.layers import ChannelShuffle, PixelShuffle, Slice
from neocog.plan.layout import Tensor
from neocog.plan.lower.lowering import NO_HALO, Lowering
from neocog.plan.lower.regroup import regroup_forward, regroup_gradient
from neocog.plan.lower.rule import LoweringRule, Rules
from neocog.plan.lower.values import Segment, Value
from neocog.plan.ops.concatenation import Concatenation
from neocog.plan.ops.copy import cut, gathered, placed, shuffled, spread
from neocog.plan.ops.op import Op
from neocog.plan.ops.pointwise import Expression
from neocog.plan.passes.steps import PlanStep

Make = Callable[[str, Tensor, Tensor, PlanStep], Op]
"""Makes the op of a step, from a title and the tensors on both sides."""


def one_op(forward: Make, backward: Make) -> LoweringRule:
    """Return the rule of a layer that one op computes, and another one its gradient, from that of the output alone."""

    def forth(low: Lowering, step: PlanStep) -> None:
        x = low.output(step.inputs[0])
        y = low.value(step.title, low.output_shape(step.index), low.halo_of(step.index), kept=step.index in low.kept)
        _add(low, step, f"{step.title} forward", x, y, forward)
        low.outputs[step.index] = y

    def back(low: Lowering, step: PlanStep) -> None:
        dy = low.gradient_value(step)
        dx = low.part_of_gradient(step.inputs[0], step.title)
        _add(low, step, f"{step.title} input gradient", dy, dx, backward)
        low.contribute(step.inputs[0], Expression(dx.tensor))

    return LoweringRule(forth, back)


def _add(low: Lowering, step: PlanStep, title: str, x: Value, y: Value, make: Make) -> None:
    def build(segment: Segment) -> Iterable[Op]:
        yield make(title, segment.settle(x.tensor), segment.settle(y.tensor), step)

    chains = step.takes_images
    low.add(step.title, [x.tensor.name], [y.tensor.name], build, chains=chains, on_images=step.on_images)


def _first(step: PlanStep) -> int:
    """Return the first channel that a Slice takes."""
    assert isinstance(step.node.layer, Slice)
    return step.node.layer.span(step.node.input)[0]


def _groups(step: PlanStep) -> int:
    assert isinstance(step.node.layer, ChannelShuffle)
    return step.node.layer.groups


def _factor(step: PlanStep) -> int:
    assert isinstance(step.node.layer, PixelShuffle)
    return step.node.layer.factor


_SLICE = one_op(
    lambda title, x, y, step: cut(title, x, y, _first(step)),
    lambda title, dy, dx, step: placed(title, dy, dx, _first(step)),
)


_SHUFFLE = one_op(
    lambda title, x, y, step: shuffled(title, x, y, _groups(step)),
    lambda title, dy, dx, step: shuffled(title, dy, dx, dy.channels // _groups(step)),
)


def slice_forward(low: Lowering, step: PlanStep) -> None:
    """Take some channels."""
    if low.wants_half(step.index):
        regroup_forward(low, step, first=_first(step))
    else:
        _SLICE.forward(low, step)


def shuffle_forward(low: Lowering, step: PlanStep) -> None:
    """Deal the channels of each group out in turn."""
    if low.wants_half(step.index):
        regroup_forward(low, step, groups=_groups(step))
    else:
        _SHUFFLE.forward(low, step)


def shuffle_backward(low: Lowering, step: PlanStep) -> None:
    """Put the gradients of channels back in their places."""
    if low.wants_half_gradient(step.index):
        dy = low.half_gradient(step)
        regroup_gradient(low, step, step.inputs[0], (dy,), groups=dy.tensor.channels // _groups(step))
    else:
        _SHUFFLE.backward(low, step)


def slice_backward(low: Lowering, step: PlanStep) -> None:
    """Put the gradient back among zeros; those of slices that make up the whole, side by side, once all are known."""
    source = step.inputs[0]
    slices = [user for user in low.steps.users(source) if isinstance(user.node.layer, Slice)]
    parts = sorted(slices, key=_first)
    ends = [0, *(_first(part) + channels_of(part.node.output) for part in parts)]
    if ends[:-1] != [_first(part) for part in parts] or ends[-1] != channels_of(step.node.input):
        if low.wants_half_gradient(step.index):
            regroup_gradient(low, step, source, (low.half_gradient(step),), skip=_first(step))
        else:
            _SLICE.backward(low, step)
        return
    half = low.wants_half_gradient(source)
    low.notes[step.index] = low.half_gradient(step) if half else low.gradient_value(step)
    if step.index != min(part.index for part in parts):  # backward, the first one comes last
        return
    gradients: list[Value] = [low.notes[part.index] for part in parts]  # type: ignore[misc]
    if half:
        regroup_gradient(low, step, source, gradients)
        return
    alone = len(slices) == len(low.steps.users(source))
    halo = low.gradient_halo(low.steps.steps[source]) if alone else NO_HALO
    dx = low.part_of_gradient(source, step.title, halo)

    def build(segment: Segment) -> Iterable[Op]:
        seen = tuple(segment.settle(value.tensor) for value in gradients)
        yield Concatenation(f"{step.title} input gradient", seen, segment.settle(dx.tensor))

    names = [value.tensor.name for value in gradients]
    low.add(step.title, names, [dx.tensor.name], build, chains=step.takes_images, on_images=step.on_images)
    low.contribute(source, Expression(dx.tensor))


RULES: Rules = {
    Slice: LoweringRule(slice_forward, slice_backward),
    ChannelShuffle: LoweringRule(shuffle_forward, shuffle_backward),
    PixelShuffle: one_op(
        lambda title, x, y, step: spread(title, x, y, _factor(step)),
        lambda title, dy, dx, step: gathered(title, dy, dx, _factor(step)),
    ),
}
