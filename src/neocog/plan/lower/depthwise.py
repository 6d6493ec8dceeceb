"""Depthwise convolutions as tasks, forward and backward: ops of their own, which run in chains like all others.

They take and give bfloat16 where what lies around them does, and compute with float32.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from neocog.plan import depthwise, weight_gradient
from neocog.plan.correlation import Correlation
from neocog.plan.layout import Operand, Space
from neocog.plan.lower import half
from neocog.plan.lower.convolution import correlation_of, epilogue_of
from neocog.plan.lower.convolution_gradient import seen_by
from neocog.plan.lower.lowering import Lowering
from neocog.plan.lower.slices import most_slices
from neocog.plan.lower.values import Segment, Value
from neocog.plan.ops.op import Op
from neocog.plan.ops.pointwise import Expression, settled, tensors_of
from neocog.plan.ops.update import ReducePartials, side_by_side
from neocog.plan.passes.steps import PlanStep


def forward(low: Lowering, step: PlanStep) -> None:
    """Plan the convolution, with what runs where its output is stored."""
    x, epilogue = _taken(low, step), epilogue_of(low, step)
    y = half.output(low, step)
    layer = correlation_of(low, step, x.tensor, y.tensor)

    def build(segment: Segment) -> Iterable[Op]:
        shared, fused = segment.block is None, settled(epilogue, segment.settle)
        yield depthwise.forward(seen_by(layer, segment), low.target, epilogue=fused, shared=shared)

    reads = [x.tensor.name, *(tensor.name for tensor in tensors_of(epilogue))]
    chains = low.chains(step, backward=False)
    task = low.add(step.title, reads, [y.tensor.name], build, chains=chains, on_images=step.on_images)
    task.weights = 4 * layer.weights.size


def _taken(low: Lowering, step: PlanStep) -> Value:
    """Return what a step takes, as bfloat16 where it takes such."""
    return (low.narrowed if low.takes_planes(step) else low.output)(step.inputs[0])


def backward(low: Lowering, step: PlanStep) -> None:
    """Plan the gradients of the filters, as far as they are trained, and of the input, as far as it is needed."""
    planes = low.takes_planes(step)
    dy = low.half_gradient(step) if planes else low.gradient_value(step, low.gradient_halo(step))
    chains = low.chains(step, backward=True)
    level = low.level([dy.tensor.name], chains=chains)
    x = _taken(low, step) if planes else low.output_again(step.inputs[0], level)
    layer = correlation_of(low, step, x.tensor, low.made(step.index).tensor)
    if low.trains(step):
        _plan_weight_gradient(low, step, layer, dy, level)
    if step.inputs[0] in low.learning:
        _plan_input(low, step, layer, dy, level)


def _plan_weight_gradient(low: Lowering, step: PlanStep, layer: Correlation, dy: Value, level: int) -> None:
    """Plan the gradient of the filters: in slices of the batch, which are added up behind."""
    gradient, sums = low.layout.weight_gradient(step.node), low.layout.bias_gradient(step.node)
    copies, size = f"{step.title} partial gradients", weight_gradient.copy_size(gradient, sums)
    most = most_slices(low, step, size)
    parts = side_by_side(*((part.begin, part.size) for part in (gradient, sums) if part is not None))

    def reduce(slices: int) -> Op:
        low.flat[Space.ARENA, copies] = slices * size
        return ReducePartials(f"{step.title} reduce partials", Operand(Space.ARENA, copies, 0), slices, parts)

    def whole(segment: Segment) -> Iterable[Op]:
        slices = max(s for s in range(1, weight_gradient.MAX_SLICES + 1) if low.batch % s == 0)
        out = Operand(Space.ARENA, copies, 0)
        bias = replace(out, start=gradient.size) if sums else None
        yield depthwise.weight_gradient(layer, dy.tensor, out, bias, low.target, slices=slices, step=size)
        yield reduce(slices)

    def part(segment: Segment) -> Iterable[Op]:
        out = Operand(Space.ARENA, copies, 0, slice=size)
        bias = replace(out, start=gradient.size) if sums else None
        seen, dy_seen = seen_by(layer, segment), segment.settle(dy.tensor)
        yield depthwise.weight_gradient(seen, dy_seen, out, bias, low.target, accumulates=True)

    reads = [layer.x.name, dy.tensor.name]
    if not most:
        low.add(step.title, reads, (), whole, level=level, where="behind", on_images=step.on_images)
        return
    low.add(step.title, reads, (), part, level=level, slices=most, correlates=True)
    low.add(step.title, (), (), lambda segment: (reduce(segment.slices),), level=level, where="behind")


def _plan_input(low: Lowering, step: PlanStep, layer: Correlation, dy: Value, level: int) -> None:
    """Plan the gradient of the input."""
    before = step.inputs[0]
    planes = low.takes_planes(step)
    epilogue = low.activation_gradient(before, half=planes)
    dx = (low.half_part_of_gradient if planes else low.part_of_gradient)(before, step.title)
    chains = low.chains(step, backward=True)

    def build(segment: Segment) -> Iterable[Op]:
        settle = segment.settle
        fused, shared = settled(epilogue, settle), segment.block is None
        yield depthwise.input_gradient(
            seen_by(layer, segment), settle(dy.tensor), settle(dx.tensor), low.target, fused, shared=shared
        )

    reads = [dy.tensor.name, *(tensor.name for tensor in tensors_of(epilogue))]
    writes = [dx.tensor.name]
    low.add(step.title, reads, writes, build, level=level, correlates=chains, on_images=step.on_images)
    low.contribute(before, Expression(dx.tensor), past_activation=bool(epilogue))
