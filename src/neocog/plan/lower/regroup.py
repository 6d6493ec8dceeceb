"""Layers that bring channels into another order, where what they take and give is bfloat16."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from neocog.plan.blocked import Blocked
from neocog.plan.lower.lowering import Lowering
from neocog.plan.lower.values import Segment, Value
from neocog.plan.ops.op import Op
from neocog.plan.ops.pointwise import Expression
from neocog.plan.ops.regroup import Regroup
from neocog.plan.passes.steps import PlanStep


def regroup_forward(low: Lowering, step: PlanStep, *, first: int = 0, groups: int = 1) -> None:
    """Plan what a step gives of the channels of all its inputs; arguments as of `Regroup`."""
    inputs = [low.narrowed(value) for value in step.inputs]
    y = low.narrow[step.index] = low.narrow_value(step.index)
    _add(low, step, f"{step.title} forward", inputs, y, first=first, groups=groups)


def regroup_gradient(
    low: Lowering,
    step: PlanStep,
    value: int,
    gradients: Sequence[Value],
    *,
    first: int = 0,
    groups: int = 1,
    skip: int = 0,
) -> None:
    """Plan a part of the gradient of what a step takes, of the gradients of what it and its like give."""
    dx = low.half_part_of_gradient(value, step.title, always=True)
    _add(low, step, f"{step.title} input gradient", gradients, dx, first=first, groups=groups, skip=skip)
    low.contribute(value, Expression(dx.tensor))


def _add(
    low: Lowering,
    step: PlanStep,
    title: str,
    inputs: Sequence[Value],
    y: Value,
    *,
    first: int,
    groups: int,
    skip: int = 0,
) -> None:
    def build(segment: Segment) -> Iterable[Op]:
        seen = [segment.settle(value.tensor) for value in inputs]
        made = segment.settle(y.tensor)
        assert isinstance(made, Blocked)
        yield Regroup(title, tuple(x for x in seen if isinstance(x, Blocked)), made, first, groups, skip)

    names = [value.tensor.name for value in inputs]
    low.add(step.title, names, [y.tensor.name], build, chains=step.takes_images, on_images=step.on_images)
