"""Normalization: statistics, and a formula for whoever reads the result.

That of a batch has sums in the chain that makes its input, and statistics between chains; it is planned for training
only. That of the groups of an image, or of each pixel, stays in the chain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from neocog.nn.layers import BatchNorm2d, GroupNorm, LayerNorm2d
from neocog.nn.shapes import ImageShape
from neocog.plan.layout import Operand, Space
from neocog.plan.lower.draft import CHAIN_VECTORS
from neocog.plan.lower.lowering import NO_HALO, Lowering
from neocog.plan.lower.rule import LoweringRule, Rules
from neocog.plan.lower.sync_norm import gradient_of_all, is_synchronised, statistics_of_all
from neocog.plan.lower.values import Segment, Value
from neocog.plan.ops.map import Sums
from neocog.plan.ops.norm import (
    MEAN,
    OFFSET,
    SCALE,
    SHIFT,
    SLOPE,
    BatchStatistics,
    FrozenStatistics,
    GroupGradient,
    GroupStatistics,
    Moments,
    NormGradient,
    Slices,
    vector,
)
from neocog.plan.ops.op import Op
from neocog.plan.ops.pixel_norm import PixelGradient, PixelStatistics
from neocog.plan.ops.pointwise import Affine, Centre, Counted, Expression, Normalise, Plus, Times
from neocog.plan.ops.update import ReducePartials, side_by_side
from neocog.plan.passes.steps import PlanStep


@dataclass(frozen=True, slots=True)
class _Note:
    """What the backward pass needs: the input, and where the statistics lie."""

    x: Value
    statistics: Operand


def forward(low: Lowering, step: PlanStep) -> None:
    """Plan the statistics of the batch, unless the layer's own are frozen; the result is a formula."""
    layer = step.node.layer
    assert isinstance(layer, BatchNorm2d)
    if layer.frozen:
        _frozen_forward(low, step, layer)
        return
    x, shape = low.at_rest(step.inputs[0]), low.output_shape(step.index)
    size = low.target.round_up(shape.channels)
    name = f"{step.title} moments"
    slices: list[Slices] = []

    def moments(segment: Segment) -> Iterable[Op]:
        assert segment.block is not None
        slices.append(Slices(segment.slices, segment.blocks, segment.block))
        low.flat[Space.ARENA, name] = segment.slices * 3 * size
        yield Moments(name, segment.settle(x.tensor), Operand(Space.ARENA, name, 0, slice=3 * size), size)

    images = 1 if step.takes_images else CHAIN_VECTORS
    low.add(step.title, [x.tensor.name], [name], moments, sums=True, images=images, on_images=step.on_images)
    out = low.record(f"{step.title} statistics", 4 * size)
    mean, variance = low.vectors(step, "running_mean"), low.vectors(step, "running_var")
    assert mean is not None
    assert variance is not None

    def statistics(segment: Segment) -> Iterable[Op]:
        alone = BatchStatistics(
            f"{step.title} statistics",
            shape.channels,
            size,
            Operand(Space.ARENA, name, 0),
            slices[0],
            shape.height * shape.width,
            low.vectors(step, "weight"),
            low.vectors(step, "bias"),
            mean,
            variance,
            layer.momentum,
            layer.epsilon,
            out,
        )
        yield from statistics_of_all(low, alone) if is_synchronised(low) else (alone,)

    low.add(step.title, [name], [out.name], statistics, chains=False, on_images=False)
    _normalise(low, step, layer, x, out, size)


def _frozen_forward(low: Lowering, step: PlanStep, layer: BatchNorm2d) -> None:
    """Plan what follows from running averages, before any image is looked at; the result is a formula."""
    x, shape = low.at_rest(step.inputs[0]), low.output_shape(step.index)
    size = low.target.round_up(shape.channels)
    name = f"{step.title} statistics"
    out = low.record(name, 4 * size)
    mean, variance = (low.vectors_of(step.node, variable) for variable in ("running_mean", "running_var"))
    weight, bias = (low.vectors(step, variable) for variable in ("weight", "bias"))
    op = FrozenStatistics(name, shape.channels, size, weight, bias, mean, variance, layer.epsilon, out)
    low.add(step.title, (), [out.name], lambda segment: (op,), level=0, where="before", on_images=False)
    _normalise(low, step, layer, x, out, size)


def _normalise(low: Lowering, step: PlanStep, layer: BatchNorm2d, x: Value, out: Operand, size: int) -> None:
    """Note the formula of what a BatchNorm2d gives, whose statistics will be in `out`."""
    shift = vector(out, SHIFT, size) if layer.affine else None
    normalise = Normalise(vector(out, MEAN, size), vector(out, SCALE, size), shift)
    low.formulas[step.index] = Expression(x.tensor, (normalise,))
    low.notes[step.index] = _Note(x, out)


def backward(low: Lowering, step: PlanStep) -> None:
    """Plan the sums of the gradient; that of the input is a formula of what follows from them."""
    note, shape = low.notes[step.index], low.output_shape(step.index)
    assert isinstance(note, _Note)
    assert isinstance(step.node.layer, BatchNorm2d)
    size = low.target.round_up(shape.channels)
    name, statistics, frozen = f"{step.title} gradient sums", note.statistics, step.node.layer.frozen
    mean, scaled = vector(statistics, MEAN, size), Affine(vector(statistics, SCALE, size))
    if frozen and not any(low.vectors_gradient(step, variable) for variable in ("weight", "bias")):
        low.contribute(step.inputs[0], low.gradient(step).then(scaled))
        return
    centred = Expression(note.x.tensor, (Centre(mean),))

    def sums(_: Value) -> list[Sums]:
        return [Sums(Operand(Space.ARENA, name, 0, slice=2 * size), centred, size)]

    g = low.summed_gradient(step, sums)
    out = None if frozen else low.record(f"{step.title} gradient statistics", 2 * size)
    slices: list[int] = []

    def note_slices(segment: Segment) -> Iterable[Op]:
        slices.append(segment.slices)
        low.flat[Space.ARENA, name] = segment.slices * 2 * size
        return ()

    low.add(step.title, (), (), note_slices, level=low.makers[name].level)

    def gradient(segment: Segment) -> Iterable[Op]:
        alone = NormGradient(
            f"{step.title} gradient statistics",
            shape.channels,
            size,
            Operand(Space.ARENA, name, 0),
            slices[0],
            shape.height * shape.width,
            statistics,
            out,
            low.vectors_gradient(step, "weight"),
            low.vectors_gradient(step, "bias"),
        )
        yield from gradient_of_all(low, alone) if is_synchronised(low) and out is not None else (alone,)

    written = [] if out is None else [out.name]
    low.add(step.title, [name, statistics.name], written, gradient, chains=False, on_images=False)
    if out is None:
        low.contribute(step.inputs[0], g.then(scaled))
        return
    through = Expression(note.x.tensor, (Normalise(mean, vector(out, SLOPE, size), vector(out, OFFSET, size)),))
    low.contribute(step.inputs[0], g.then(scaled, Plus(through), Counted()))


@dataclass(frozen=True, slots=True)
class _Parts:
    """What the backward pass of a normalization of an image's parts needs: the input, and the statistics of each."""

    x: Value
    mean: Value
    inverse: Value

    @property
    def normalised(self) -> Expression:
        """(x - mean) / √(variance + ε)."""
        mean, inverse = (Expression(value.tensor) for value in (self.mean, self.inverse))
        return Expression(self.x.tensor, (Plus(mean), Times(inverse)))


def _one_of(low: Lowering, step: PlanStep, what: str) -> Value:
    """Make memory for a number for each channel of each image, or for each pixel where that is normalised by itself."""
    shape = low.output_shape(step.index)
    of_group = isinstance(step.node.layer, GroupNorm)
    one = ImageShape(1, 1, shape.channels) if of_group else ImageShape(shape.height, shape.width, 1)
    return low.value(f"{step.title} {what}", one)


def parts_forward(low: Lowering, step: PlanStep) -> None:
    """Plan the statistics of each group, or pixel; the result is a formula."""
    layer, x, title = step.node.layer, low.at_rest(step.inputs[0]), f"{step.title} statistics"
    mean, inverse = (_one_of(low, step, what) for what in ("mean", "inverse"))

    def build(segment: Segment) -> Iterable[Op]:
        seen, of_mean, of_inverse = (segment.settle(value.tensor) for value in (x, mean, inverse))
        if isinstance(layer, GroupNorm):
            yield GroupStatistics(title, seen, of_mean, of_inverse, layer.groups, layer.epsilon)
        elif isinstance(layer, LayerNorm2d):
            yield PixelStatistics(title, seen, of_mean, of_inverse, layer.epsilon)

    writes = [mean.tensor.name, inverse.tensor.name]
    low.add(step.title, [x.tensor.name], writes, build, chains=step.takes_images, on_images=step.on_images)
    note = low.notes[step.index] = _Parts(x, mean, inverse)
    weight = low.vectors(step, "weight")
    learned = (Affine(weight, low.vectors(step, "bias")),) if weight is not None else ()
    low.formulas[step.index] = note.normalised.then(*learned)


def parts_backward(low: Lowering, step: PlanStep) -> None:
    """Plan the gradients of γ and β, and what that of the input, a formula, takes away for the statistics."""
    layer, note, title = step.node.layer, low.notes[step.index], f"{step.title} gradient statistics"
    assert isinstance(note, _Parts)
    g = _with_learned_sums(low, step, note)
    if step.inputs[0] not in low.learning:
        return
    slope, offset = (_one_of(low, step, what) for what in ("slope", "offset"))
    weight = low.vectors(step, "weight")

    def build(segment: Segment) -> Iterable[Op]:
        g_seen, x, mean, inverse, slope_seen, offset_seen = (
            segment.settle(value.tensor) for value in (g, note.x, note.mean, note.inverse, slope, offset)
        )
        if isinstance(layer, GroupNorm):
            yield GroupGradient(title, g_seen, x, mean, inverse, weight, slope_seen, offset_seen, layer.groups)
        else:
            yield PixelGradient(title, g_seen, x, mean, inverse, weight, slope_seen, offset_seen)

    reads = [value.tensor.name for value in (g, note.x, note.mean, note.inverse)]
    writes = [slope.tensor.name, offset.tensor.name]
    low.add(step.title, reads, writes, build, chains=step.takes_images, on_images=step.on_images)
    scale = (Affine(weight),) if weight is not None else ()
    through = (Plus(Expression(note.mean.tensor)), Times(Expression(slope.tensor)), Plus(Expression(offset.tensor)))
    scaled = Expression(g.tensor, (*scale, Times(Expression(note.inverse.tensor))))
    low.contribute(step.inputs[0], scaled.then(Plus(Expression(note.x.tensor, through))))


def _with_learned_sums(low: Lowering, step: PlanStep, note: _Parts) -> Value:
    """Return the gradient of what a step gives, in memory; plan the gradients of β and γ, sums of it and with it."""
    places = [low.vectors_gradient(step, variable) for variable in ("bias", "weight")]
    if not any(places):
        return _gradient_in_memory(low, step)
    name, size = f"{step.title} partial gradients", low.target.round_up(low.output_shape(step.index).channels)
    # Both are added up even where one is frozen.
    wanted = [place or low.record(f"{step.title} unused gradient", size) for place in places]
    parts = side_by_side(*((place, size) for place in wanted))

    def sums(_: Value) -> list[Sums]:
        return [Sums(Operand(Space.ARENA, name, 0, slice=2 * size), note.normalised, size)]

    g = _gradient_in_memory(low, step, sums)

    def reduce(segment: Segment) -> Iterable[Op]:
        low.flat[Space.ARENA, name] = segment.slices * 2 * size
        yield ReducePartials(f"{step.title} reduce partials", Operand(Space.ARENA, name, 0), segment.slices, parts)

    low.add(step.title, (), (), reduce, level=low.makers[name].level, where="behind")
    return g


def _gradient_in_memory(low: Lowering, step: PlanStep, sums: Callable[[Value], Sequence[Sums]] | None = None) -> Value:
    """Return the gradient of what a step gives, which is read several times: as bfloat16 where it becomes such."""
    if low.wants_half_gradient(step.index):
        return low.half_gradient(step, sums)
    return low.gradient_value(step, NO_HALO, sums)


RULES: Rules = {
    BatchNorm2d: LoweringRule(forward, backward),
    **dict.fromkeys((GroupNorm, LayerNorm2d), LoweringRule(parts_forward, parts_backward)),
}
