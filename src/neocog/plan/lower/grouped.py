"""Convolutions of groups of channels: depthwise ones, and others, whose groups are matrix products block by block.

A block is as many neighbouring groups as begin and end at whole vectors of channels and of filters (`ops/grouped.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from neocog.nn.layers import Conv2d
from neocog.plan import correlation, weight_gradient
from neocog.plan.correlation import Correlation
from neocog.plan.layout import Operand, Panels, Space, Tensor, Vectors
from neocog.plan.lower import convolution, convolution_gradient, depthwise
from neocog.plan.lower.convolution import correlation_of, epilogue_of
from neocog.plan.lower.convolution_gradient import plan_transposed, seen_by
from neocog.plan.lower.lowering import Lowering
from neocog.plan.lower.rule import LoweringRule, Rules
from neocog.plan.lower.slices import most_slices
from neocog.plan.lower.values import Segment, Value
from neocog.plan.ops.epilogue import Epilogue, moved
from neocog.plan.ops.grouped import Gather, Spread, groups_together
from neocog.plan.ops.op import Op
from neocog.plan.ops.pointwise import Expression, settled, tensors_of
from neocog.plan.ops.update import ReducePartials, side_by_side
from neocog.plan.parameters import matrix_panels
from neocog.plan.passes.steps import PlanStep


@dataclass(frozen=True, slots=True)
class _Block:
    """Some groups: their layer, whose weights are the block's matrix, and what of the layer's filters is theirs, which
    begins at element `first` of them.
    """

    layer: Correlation
    filters: Panels
    first: int

    def gradient(self, whole: Panels) -> Panels:
        """Return where, in memory laid out as the filters of all groups, the gradient of these lies."""
        offset = whole.offset + self.first
        return replace(self.filters, name=whole.name, space=whole.space, offset=offset)


def forward(low: Lowering, step: PlanStep) -> None:
    """Plan a convolution, by the way that suits its groups."""
    if step.groups == 1 or low.is_int8(step) or low.is_half(step):
        convolution.forward(low, step)
    elif step.is_depthwise:
        depthwise.forward(low, step)
    else:
        _forward(low, step)


def backward(low: Lowering, step: PlanStep) -> None:
    """Plan its gradients likewise."""
    if step.groups == 1 or low.is_half(step):
        convolution_gradient.backward(low, step)
    elif step.is_depthwise:
        depthwise.backward(low, step)
    else:
        _backward(low, step)


def _forward(low: Lowering, step: PlanStep) -> None:
    """Plan the matrices of all blocks, before, and a contraction for each."""
    x, epilogue = low.output(step.inputs[0]), epilogue_of(low, step)
    shape, kept = low.output_shape(step.index), step.index in low.kept
    y = low.value(step.title, shape, low.halo_of(step.index), kept=kept, activation=step.activation)
    low.outputs[step.index] = y
    blocks = _blocks(low, step, x.tensor)
    low.notes[step.index] = blocks
    chains = low.chains(step, backward=False)
    reads = [x.tensor.name, *(tensor.name for tensor in tensors_of(epilogue))]
    level = low.level(reads, chains=chains)
    for block in blocks:
        low.panels.append(block.layer.weights)
    spread = tuple(_spread(step, block) for block in blocks)
    if low.prepares:
        low.preparation.extend(spread)
    else:
        low.add(step.title, (), (), lambda segment: spread, level=level, where="before")

    def build(segment: Segment) -> Iterable[Op]:
        fused = settled(epilogue, segment.settle)
        for block in blocks:
            layer = seen_by(block.layer, segment)
            yield correlation.forward(layer, low.target, epilogue=moved(fused, layer.first_out))

    images = low.images_for(step, backward=False) if chains else 1
    task = low.add(step.title, reads, [y.tensor.name], build, level=level, images=images, on_images=step.on_images)
    task.weights = 4 * sum(block.layer.weights.size for block in blocks)


def _blocks(low: Lowering, step: PlanStep, x: Tensor) -> tuple[_Block, ...]:
    """Cut the groups of a layer into blocks."""
    whole = correlation_of(low, step, x, low.outputs[step.index].tensor)
    inputs, outputs, lanes = x.channels // step.groups, whole.y.channels // step.groups, low.target.lanes
    most = groups_together(step.groups, inputs, outputs, lanes)
    found = []
    for number, first in enumerate(range(0, step.groups, most)):
        groups = min(most, step.groups - first)
        first_in, first_out = first * inputs, first * outputs
        part_x, part_y = replace(x, channels=groups * inputs), replace(whole.y, channels=groups * outputs)
        name, rows = f"{step.title} block {number}", whole.taps * part_x.channels
        weights = matrix_panels(name, rows, part_y.channels, step.node, low.target, low.layout.batch)
        place = first_out // lanes * whole.weights.panel_step
        own = replace(whole.weights, columns=part_y.channels, offset=whole.weights.offset + place)
        bias = whole.bias and Vectors(
            whole.bias.name,
            part_y.channels,
            low.target.round_up(part_y.channels),
            whole.bias.offset + first_out,
            whole.bias.space,
        )
        layer = Correlation(step.title, whole.window, part_x, part_y, weights, bias, first_in, first_out)
        found.append(_Block(layer, own, place))
    return tuple(found)


def _spread(step: PlanStep, block: _Block) -> Spread:
    layer, (inputs, outputs) = block.layer, _group(step)
    return Spread(f"{step.title} spread filters", block.filters, layer.weights, layer.taps, inputs, outputs)


def _group(step: PlanStep) -> tuple[int, int]:
    """Return channels and filters of one group."""
    assert isinstance(step.node.layer, Conv2d)
    return step.node.layer.variables(*step.node.shapes)[0].shape[2], step.node.layer.channels // step.groups


def _backward(low: Lowering, step: PlanStep) -> None:
    """Plan the gradients of the filters, as far as they are trained, and of the input, as far as it is needed."""
    dy = low.gradient_value(step, low.gradient_halo(step))
    chains = low.chains(step, backward=True)
    level = low.level([dy.tensor.name], chains=chains)
    x = low.output_again(step.inputs[0], level)
    noted = low.notes[step.index]
    assert isinstance(noted, tuple)
    blocks = [
        replace(block, layer=replace(block.layer, x=replace(x.tensor, channels=block.layer.x.channels)))
        for block in noted
    ]
    if low.trains(step):
        _plan_weight_gradient(low, step, blocks, dy, level)
    if step.inputs[0] in low.learning:
        _plan_input(low, step, blocks, dy, level)


def _part(tensor: Tensor, like: Tensor) -> Tensor:
    """Return a tensor with the channels of a block."""
    return replace(tensor, channels=like.channels)


def _plan_weight_gradient(low: Lowering, step: PlanStep, blocks: Sequence[_Block], dy: Value, level: int) -> None:
    """Plan the gradients of the blocks' matrices and of the bias, and what is gathered of them behind.

    In a chain, they lie one behind another in a partial gradient for each slice of the batch.
    """
    gradient, sums = low.layout.weight_gradient(step.node), low.layout.bias_gradient(step.node)
    made = [replace(b.layer.weights, name=f"{b.layer.weights.name} gradient") for b in blocks]
    low.panels.extend(made)
    copies, size = f"{step.title} partial gradients", sum(matrix.size for matrix in made) + (sums.size if sums else 0)
    most = most_slices(low, step, size)
    inputs, outputs = _group(step)

    def build(segment: Segment) -> Iterable[Op]:
        before, chained = 0, bool(most)
        total = sum(matrix.size for matrix in made)
        for block, matrix in zip(blocks, made, strict=True):
            layer, seen = seen_by(block.layer, segment), segment.settle(_part(dy.tensor, block.layer.y))
            out, ones = matrix.begin, sums.begin if sums else None
            if chained:
                out = Operand(Space.ARENA, copies, before, slice=size)
                ones = replace(out, start=total) if sums else None
            ones = ones and replace(ones, start=ones.start + layer.first_out)
            yield replace(weight_gradient.sums_into(layer, seen, matrix, out, ones, low.target), accumulates=chained)
            before += matrix.size

    def behind(segment: Segment) -> Iterable[Op]:
        if most:
            low.flat[Space.ARENA, copies] = segment.slices * size
            parts = side_by_side(*((part.begin, part.size) for part in (*made, sums) if part is not None))
            where = Operand(Space.ARENA, copies, 0)
            yield ReducePartials(f"{step.title} reduce partials", where, segment.slices, parts)
        for block, matrix in zip(blocks, made, strict=True):
            name = f"{step.title} gather gradients"
            yield Gather(name, matrix, block.gradient(gradient), block.layer.taps, inputs, outputs)

    reads = [blocks[0].layer.x.name, dy.tensor.name]
    if most:
        images = low.images_for(step, backward=True)
        low.add(step.title, reads, (), build, level=level, slices=most, images=images, correlates=True)
    else:
        low.add(step.title, reads, (), build, level=level, where="behind", on_images=step.on_images)
    low.add(step.title, (), (), behind, level=level, where="behind")


def _plan_input(low: Lowering, step: PlanStep, blocks: Sequence[_Block], dy: Value, level: int) -> None:
    """Plan the gradient of the input, block by block."""
    before = step.inputs[0]
    epilogue: Epilogue = low.activation_gradient(before)
    dx = low.part_of_gradient(before, step.title)
    transposed = [
        plan_transposed(low, step, block.layer, _part(dx.tensor, block.layer.x), level, f" of block {number}")
        for number, block in enumerate(blocks)
    ]

    def build(segment: Segment) -> Iterable[Op]:
        settle = segment.settle
        fused = settled(epilogue, settle)
        for block, weights in zip(blocks, transposed, strict=True):
            layer = seen_by(block.layer, segment)
            dy_seen, dx_seen = settle(_part(dy.tensor, layer.y)), settle(_part(dx.tensor, layer.x))
            yield from correlation.input_gradient(
                layer, dy_seen, dx_seen, weights, low.target, moved(fused, layer.first_in)
            )

    chains = low.chains(step, backward=True)
    low.add(
        step.title,
        [dy.tensor.name, *(tensor.name for tensor in tensors_of(epilogue))],
        [dx.tensor.name],
        build,
        level=level,
        images=low.images_for(step, backward=True) if chains else 1,
        correlates=chains,
        on_images=step.on_images,
    )
    low.contribute(before, Expression(dx.tensor), past_activation=bool(epilogue))


RULES: Rules = {Conv2d: LoweringRule(forward, backward)}
