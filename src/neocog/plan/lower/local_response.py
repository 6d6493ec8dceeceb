"""Local response normalization: one op forward, and one backward, which needs the input alone."""

from __future__ import annotations

from collections.abc import Iterable

from neocog.nn.layers import LocalResponseNorm
from neocog.plan.layout import Operand, Space
from neocog.plan.lower.lowering import Lowering
from neocog.plan.lower.rule import LoweringRule, Rules
from neocog.plan.lower.values import Segment, Value
from neocog.plan.ops.local_response import LocalResponse, LocalResponseGradient, Spaced
from neocog.plan.ops.op import Op
from neocog.plan.ops.pointwise import Expression
from neocog.plan.passes.steps import PlanStep


def forward(low: Lowering, step: PlanStep) -> None:
    """Plan the division of each value."""
    layer, x = step.node.layer, low.output(step.inputs[0])
    assert isinstance(layer, LocalResponseNorm)
    y = low.value(step.title, low.output_shape(step.index), low.halo_of(step.index), kept=step.index in low.kept)
    squares = _row(low, step, layer, "squares")

    def build(segment: Segment) -> Iterable[Op]:
        yield LocalResponse(f"{step.title} forward", segment.settle(x.tensor), segment.settle(y.tensor), layer, squares)

    low.add(step.title, [x.tensor.name], [y.tensor.name], build, on_images=step.on_images)
    low.outputs[step.index], low.notes[step.index] = y, x


def backward(low: Lowering, step: PlanStep) -> None:
    """Plan the gradient of the input."""
    layer, x, dy = step.node.layer, low.notes[step.index], low.gradient_value(step)
    assert isinstance(layer, LocalResponseNorm)
    assert isinstance(x, Value)
    dx = low.part_of_gradient(step.inputs[0], step.title)
    squares, shares = (_row(low, step, layer, what) for what in ("gradient squares", "gradient shares"))

    def build(segment: Segment) -> Iterable[Op]:
        x_seen, dy_seen, dx_seen = (segment.settle(value.tensor) for value in (x, dy, dx))
        title = f"{step.title} input gradient"
        yield LocalResponseGradient(title, x_seen, dy_seen, dx_seen, layer, squares, shares)

    reads = [x.tensor.name, dy.tensor.name]
    low.add(step.title, reads, [dx.tensor.name], build, on_images=step.on_images)
    low.contribute(step.inputs[0], Expression(dx.tensor))


def _row(low: Lowering, step: PlanStep, layer: LocalResponseNorm, what: str) -> Spaced:
    """Return a row of the step's pixels in scratch memory, with as many zeros between them as windows reach across."""
    shape, round_up = low.output_shape(step.index), low.target.round_up
    place = Operand(Space.SCRATCH, f"{step.title} {what}", 0)
    margin = round_up(max(layer.beside(shape.channels)))
    return Spaced(place, shape.width, round_up(shape.channels), margin)


RULES: Rules = {LocalResponseNorm: LoweringRule(forward, backward)}
