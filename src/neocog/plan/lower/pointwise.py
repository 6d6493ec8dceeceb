"""Layers that work value by value: they become formulas, which whoever reads the result evaluates."""

from __future__ import annotations

from collections.abc import Iterable

from neocog.nn.layer import Layer
from neocog.nn.layers import (
    LAYERS,
    Activation,
    Add,
    Dropout,
    Dropout2d,
    DropPath,
    LayerScale,
    Multiply,
    PReLU,
)
from neocog.nn.rewrite import ScaleShift
from neocog.plan.layout import Halo, Operand, Space
from neocog.plan.lower.lowering import NO_HALO, Lowering
from neocog.plan.lower.rule import LoweringRule, Rules
from neocog.plan.lower.values import Segment, Value, is_bare
from neocog.plan.ops.map import PixelSum, Sums
from neocog.plan.ops.op import Op
from neocog.plan.ops.pointwise import (
    Activate,
    ActivationGradient,
    Affine,
    Drop,
    Expression,
    Negative,
    Plus,
    Slope,
    SlopeGradient,
    Times,
)
from neocog.plan.ops.update import ReducePartials, side_by_side
from neocog.plan.passes.steps import PlanStep

UNITS: dict[type[Layer], str] = {Dropout: "value", Dropout2d: "map", DropPath: "image"}
"""What each layer drops together."""


def activation_forward(low: Lowering, step: PlanStep) -> None:
    """f(x)."""
    low.formulas[step.index] = low.expression(step.inputs[0]).then(Activate(step.node.layer))


def activation_backward(low: Lowering, step: PlanStep) -> None:
    """Multiply by f', taken from what is in memory already: the output, if its derivative can be told from it."""
    layer, output = step.node.layer, low.outputs.get(step.index)
    if output is None and len([*low.expression(step.inputs[0]).tensors()]) > 1:
        output = low.narrow.get(step.index)
    if output is not None and output.stored and layer.from_output:  # type: ignore[attr-defined]
        other, of_output = Expression(output.tensor), True
    else:
        other, of_output = low.expression(step.inputs[0]), False
    low.contribute(step.inputs[0], low.gradient(step).then(ActivationGradient(layer, other, of_output)))


def prelu_forward(low: Lowering, step: PlanStep) -> None:
    """x, or its product with the channel's slope below zero."""
    slope = low.vectors(step, "weight")
    assert slope is not None
    low.formulas[step.index] = low.expression(step.inputs[0]).then(Slope(slope))


def prelu_backward(low: Lowering, step: PlanStep) -> None:
    """The gradient of x, and for each channel that of its slope: the sum of the gradient times x below zero."""
    slope, x = low.vectors(step, "weight"), low.expression(step.inputs[0])
    assert slope is not None
    where = low.vectors_gradient(step, "weight")
    gradient = gradient_and_its_sums(low, step, x.then(Negative()), where)
    low.contribute(step.inputs[0], gradient.then(SlopeGradient(slope, x)))


def gradient_and_its_sums(
    low: Lowering, step: PlanStep, factor: Expression | None, place: Operand | None, halo: Halo = NO_HALO
) -> Expression:
    """Return the gradient of what a step gives; add it up, times a factor, for each channel.

    Arguments:
        step: whose output.
        factor: of the products that are added up; None: the gradient itself is.
        place: where the sums go; None: they are not wanted.
        halo: the zeros that the gradient needs around it.
    """
    if place is None:
        return low.gradient(step)
    name = f"{step.title} partial sums"
    size = low.target.round_up(low.output_shape(step.index).channels)

    def sums(_: Value) -> list[Sums]:
        return [Sums(Operand(Space.ARENA, name, 0, slice=size), factor, size, plain=factor is None)]

    gradient = low.summed_gradient(step, sums, halo)

    def reduce(segment: Segment) -> Iterable[Op]:
        low.flat[Space.ARENA, name] = segment.slices * size
        title = f"{step.title} reduce partials"
        yield ReducePartials(title, Operand(Space.ARENA, name, 0), segment.slices, side_by_side((place, size)))

    low.add(step.title, (), (), reduce, level=low.makers[name].level, where="behind")
    return gradient


def layer_scale_forward(low: Lowering, step: PlanStep) -> None:
    """x · γ."""
    weight = low.vectors(step, "weight")
    assert weight is not None
    low.formulas[step.index] = low.expression(step.inputs[0]).then(Affine(weight))


def layer_scale_backward(low: Lowering, step: PlanStep) -> None:
    """The gradient times γ, and for each channel the sum of the gradient times x."""
    weight, x = low.vectors(step, "weight"), low.expression(step.inputs[0])
    assert weight is not None
    gradient = gradient_and_its_sums(low, step, x, low.vectors_gradient(step, "weight"))
    low.contribute(step.inputs[0], gradient.then(Affine(weight)))


def drop_forward(low: Lowering, step: PlanStep) -> None:
    """Zero some values at random and scale the others."""
    kind = UNITS[type(step.node.layer)]
    low.formulas[step.index] = low.expression(step.inputs[0]).then(low.drop(step, kind))


def drop_backward(low: Lowering, step: PlanStep) -> None:
    """Do the same to the gradient."""
    drop: Drop = low.drop(step, UNITS[type(step.node.layer)])
    low.contribute(step.inputs[0], low.gradient(step).then(drop))


def add_forward(low: Lowering, step: PlanStep) -> None:
    """x + y + …"""
    first, *others = _joined(low, step)
    low.formulas[step.index] = first.then(*map(Plus, others))


def add_backward(low: Lowering, step: PlanStep) -> None:
    """Send each summand the whole gradient."""
    gradient = _shared_gradient(low, step)
    for place in range(len(step.inputs)):
        _contribute(low, step, place, gradient)


def multiply_forward(low: Lowering, step: PlanStep) -> None:
    """x · y · …"""
    first, *others = _joined(low, step)
    low.formulas[step.index] = first.then(*map(Times, others))


def multiply_backward(low: Lowering, step: PlanStep) -> None:
    """Send each factor the gradient times the other factors."""
    gradient = _shared_gradient(low, step)
    factors = [_operand(low, step, place) for place in range(len(step.inputs))]
    for place in range(len(step.inputs)):
        others = [factor for n, factor in enumerate(factors) if n != place]
        _contribute(low, step, place, gradient.then(*map(Times, others)))


def _operand(low: Lowering, step: PlanStep, place: int) -> Expression:
    """Return how to read an input of a join. What is a pixel for all pixels is in memory, to be computed once."""
    value = step.inputs[place]
    return Expression(low.output(value).tensor) if step.node.is_pixel(place) else low.expression(value)


def _joined(low: Lowering, step: PlanStep) -> list[Expression]:
    """Return how to read all inputs of a join, those first that have all pixels."""
    places = sorted(range(len(step.inputs)), key=step.node.is_pixel)
    return [_operand(low, step, place) for place in places]


def _contribute(low: Lowering, step: PlanStep, place: int, gradient: Expression) -> None:
    """Send an input of a join the gradient of each pixel, or their sum to what is a pixel for all."""
    value = step.inputs[place]
    if not step.node.is_pixel(place) or value not in low.learning:
        low.contribute(value, gradient)
        return
    sum_, shape = low.part_of_gradient(value, step.title), low.output_shape(step.index)

    def build(segment: Segment) -> Iterable[Op]:
        seen, settle = gradient.settled(segment.settle), segment.settle
        yield PixelSum(f"{step.title} sum of the gradient", seen, settle(sum_.tensor), shape.height, shape.width)

    low.add(step.title, low.names(gradient), [sum_.tensor.name], build, on_images=True)
    low.contribute(value, Expression(sum_.tensor))


def _shared_gradient(low: Lowering, step: PlanStep) -> Expression:
    """Return the gradient of what a step gives, for several readers: evaluated once where that is work."""
    gradient = low.gradient(step)
    readers = sum(value in low.learning for value in step.inputs)
    if is_bare(gradient) or readers < 2:
        return gradient
    made = low.half_gradient(step) if low.wants_half_gradient(step.index) else low.gradient_value(step)
    return Expression(made.tensor)


def scale_forward(low: Lowering, step: PlanStep) -> None:
    """x · weight + bias, with one of each for every channel: what a normalization is to a network that predicts."""
    scale, shift = low.vectors(step, "weight"), low.vectors(step, "bias")
    assert scale is not None
    low.formulas[step.index] = low.expression(step.inputs[0]).then(Affine(scale, shift, twice=low.precision == "int8"))


def scale_backward(low: Lowering, step: PlanStep) -> None:
    """The gradient times the weight. Nothing is learnt: a network with such a layer was rewritten for prediction."""
    scale = low.vectors(step, "weight")
    assert scale is not None
    low.contribute(step.inputs[0], low.gradient(step).then(Affine(scale)))


_ACTIVATION = LoweringRule(activation_forward, activation_backward)
_DROPPING = LoweringRule(drop_forward, drop_backward)

RULES: Rules = {
    **{layer: _ACTIVATION for layer in LAYERS if issubclass(layer, Activation)},
    PReLU: LoweringRule(prelu_forward, prelu_backward),
    LayerScale: LoweringRule(layer_scale_forward, layer_scale_backward),
    ScaleShift: LoweringRule(scale_forward, scale_backward),
    **dict.fromkeys(UNITS, _DROPPING),
    Add: LoweringRule(add_forward, add_backward),
    Multiply: LoweringRule(multiply_forward, multiply_backward),
}
"""Value-by-value activations need no entry of their own."""
