"""Batch normalization while training: sums in the chain that makes its input, statistics between chains, and a formula
for whoever reads the result.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from neocog.nn.layers import BatchNorm2d
from neocog.plan.layout import Operand, Space
from neocog.plan.lower.lowering import CHAIN_VECTORS, NO_HALO, Lowering
from neocog.plan.lower.rule import Rule, Rules
from neocog.plan.lower.values import Segment, Value
from neocog.plan.ops.map import Sums
from neocog.plan.ops.norm import MEAN, OFFSET, SCALE, SHIFT, SLOPE, Moments, NormGradient, Slices, Statistics, vector
from neocog.plan.ops.op import Op
from neocog.plan.ops.pointwise import Affine, Centre, Counted, Expression, Normalise, Plus
from neocog.plan.passes.steps import Step


@dataclass(frozen=True, slots=True)
class _Note:
    """What the backward pass needs: the input, and where the statistics lie."""

    x: Value
    statistics: Operand


def forward(low: Lowering, step: Step) -> None:
    """Plan the statistics of the batch; the result is a formula."""
    layer = step.node.layer
    assert isinstance(layer, BatchNorm2d)
    x, shape = low.output(step.inputs[0]), low.output_shape(step.index)
    size = low.target.round_up(shape.channels)
    name = f"{step.title} moments"
    slices: list[Slices] = []

    def moments(segment: Segment) -> Iterable[Op]:
        assert segment.block is not None
        slices.append(Slices(segment.slices, segment.blocks, segment.block))
        low.flat[Space.WORK, name] = segment.slices * 3 * size
        yield Moments(name, segment.settle(x.tensor), Operand(Space.WORK, name, 0, slice=3 * size), size)

    images = 1 if step.takes_images else CHAIN_VECTORS
    low.add(step.title, [x.tensor.name], [name], moments, sums=True, images=images, on_images=step.on_images)
    out = low.record(f"{step.title} statistics", 4 * size)
    mean, variance = low.vectors(step, "running_mean"), low.vectors(step, "running_var")
    assert mean is not None
    assert variance is not None

    def statistics(segment: Segment) -> Iterable[Op]:
        yield Statistics(
            f"{step.title} statistics",
            Operand(Space.WORK, name, 0),
            slices[0],
            shape.height * shape.width,
            low.vectors(step, "weight"),
            low.vectors(step, "bias"),
            mean,
            variance,
            layer.momentum,
            layer.epsilon,
            out,
            shape.channels,
            size,
        )

    low.add(step.title, [name], [out.name], statistics, chains=False, on_images=False)
    shift = vector(out, SHIFT, size) if layer.affine else None
    normalise = Normalise(vector(out, MEAN, size), vector(out, SCALE, size), shift)
    low.formulas[step.index] = Expression(x.tensor, (normalise,))
    low.notes[step.index] = _Note(x, out)


def backward(low: Lowering, step: Step) -> None:
    """Plan the sums of the gradient; that of the input is a formula of what follows from them."""
    note, shape = low.notes[step.index], low.output_shape(step.index)
    assert isinstance(note, _Note)
    size = low.target.round_up(shape.channels)
    name, statistics = f"{step.title} gradient sums", note.statistics
    mean = vector(statistics, MEAN, size)
    centred = Expression(note.x.tensor, (Centre(mean),))

    def sums(_: Value) -> list[Sums]:
        return [Sums(Operand(Space.WORK, name, 0, slice=2 * size), centred, size)]

    g = low.gradient_value(step, NO_HALO, sums)
    out = low.record(f"{step.title} gradient statistics", 2 * size)
    slices: list[int] = []

    def note_slices(segment: Segment) -> Iterable[Op]:
        slices.append(segment.slices)
        low.flat[Space.WORK, name] = segment.slices * 2 * size
        return ()

    low.add(step.title, (), (), note_slices, level=low.makers[name].level)

    def gradient(segment: Segment) -> Iterable[Op]:
        yield NormGradient(
            f"{step.title} gradient statistics",
            Operand(Space.WORK, name, 0),
            slices[0],
            shape.height * shape.width,
            statistics,
            out,
            low.vectors_gradient(step, "weight"),
            low.vectors_gradient(step, "bias"),
            shape.channels,
            size,
        )

    low.add(step.title, [name, statistics.name], [out.name], gradient, chains=False, on_images=False)
    through = Expression(note.x.tensor, (Normalise(mean, vector(out, SLOPE, size), vector(out, OFFSET, size)),))
    scaled = Affine(vector(statistics, SCALE, size))
    low.contribute(step.inputs[0], Expression(g.tensor, (scaled, Plus(through), Counted())))


RULES: Rules = {BatchNorm2d: Rule(forward, backward)}
