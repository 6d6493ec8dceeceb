"""Convolutions and fully connected layers, backward: the gradients of weights, biases and inputs.

What a layer learns in a chain is added up in a partial gradient for each slice of the batch; behind the chain, those of
all slices are added up.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from neocog.nn.layers import Linear
from neocog.nn.window import Window
from neocog.plan import algorithm, correlation, weight_gradient
from neocog.plan.algorithm import (
    partial_size,
    patch_halo,
    winograd_backward,
    winograd_reduce_partials,
)
from neocog.plan.correlation import Correlation, Pooled
from neocog.plan.layout import Panels, Space, Tensor, Vectors
from neocog.plan.lower import convolution, half_gradient
from neocog.plan.lower.convolution import correlation_of, transformed_weights
from neocog.plan.lower.lowering import Lowering
from neocog.plan.lower.pooling import send_back
from neocog.plan.lower.rule import LoweringRule, Rules
from neocog.plan.lower.slices import most_slices, plan_reduction, reduce_partials
from neocog.plan.lower.update import update_early
from neocog.plan.lower.values import Segment, Value
from neocog.plan.ops.op import Op
from neocog.plan.ops.pointwise import Expression, settled, tensors_of
from neocog.plan.ops.update import Transpose
from neocog.plan.ops.winograd import WinogradWeights
from neocog.plan.passes.steps import PlanStep


@dataclass(frozen=True, slots=True)
class _Behind:
    """The pooling in a convolution's last lines, and the gradient of what it gave, in place of the convolution's."""

    window: Window
    dy: Value
    mask: Value

    @property
    def names(self) -> list[str]:
        """Names of what is read."""
        return [self.dy.tensor.name, self.mask.tensor.name]

    def settled(self, segment: Segment) -> Pooled:
        """Return both as a segment's stages see them."""
        return Pooled(self.window, segment.settle(self.dy.tensor), segment.settle(self.mask.tensor))


def backward(low: Lowering, step: PlanStep) -> None:
    """Plan the gradients of a step's weights, as far as they are trained, and of its input, as far as it is needed."""
    if low.is_half(step):
        half_gradient.backward(low, step)
        return
    pooling = low.pooled.get(step.index)
    if pooling is not None and _takes_pooled(low, step, pooling):
        _backward_from_pooled(low, step, pooling)
        return
    if pooling is not None:
        send_back(low, pooling)
    dy = low.gradient_value(step, low.gradient_halo(step))
    chains = low.chains(step, backward=True)
    level = low.level([dy.tensor.name], chains=chains)
    x = low.output_again(step.inputs[0], level)
    layer = correlation_of(low, step, x.tensor, low.outputs[step.index].tensor)
    learns = low.trains(step)
    needed = step.inputs[0] in low.learning
    if low.backward_tile(step) is not None:
        _by_tiles(low, step, layer, dy, level, learns=learns, needed=needed)
    elif chains:
        if learns:
            plan_weight_gradient(low, step, layer, dy, level, low.layout.bias_gradient(step.node))
        if needed:
            _plan_input(low, step, layer, dy, level)
    else:  # in this order dy is read while it is near
        if needed:
            _plan_input(low, step, layer, dy, level)
        if learns:
            plan_weight_gradient(low, step, layer, dy, level, low.layout.bias_gradient(step.node))
    update_early(low, step, level)


def _partial_size(low: Lowering, step: PlanStep) -> int:
    """Count the elements of a partial gradient of a convolution."""
    gradient, sums = low.layout.weight_gradient(step.node), low.layout.bias_gradient(step.node)
    tile = low.backward_tile(step)
    if tile:
        return partial_size(tile, gradient, low.extents[step.index].input.channels)
    return weight_gradient.copy_size(gradient, sums)


def seen_by(layer: Correlation, segment: Segment) -> Correlation:
    """Return a layer with its operands as a segment sees them."""
    return replace(layer, x=segment.settle(layer.x), y=segment.settle(layer.y))


def plan_weight_gradient(
    low: Lowering, step: PlanStep, layer: Correlation, dy: Value, level: int, sums: Vectors | None
) -> None:
    """Plan the gradient of a layer's weights as a direct sum, and that of its biases, which goes to `sums`."""
    gradient = low.layout.weight_gradient(step.node)
    copies = f"{step.title} partial gradients"
    reads = [layer.x.name, dy.tensor.name]
    most = most_slices(low, step, _partial_size(low, step))

    def whole(segment: Segment) -> Iterable[Op]:
        slices = weight_gradient.wanted_slices(layer, dy.tensor, gradient, low.target)
        yield weight_gradient.whole_gradient(layer, dy.tensor, gradient, sums, low.target, slices=slices, copies=copies)
        if slices > 1:
            yield reduce_partials(low, step, copies, sums, slices)

    def part(segment: Segment) -> Iterable[Op]:
        seen, dy_seen = seen_by(layer, segment), segment.settle(dy.tensor)
        yield weight_gradient.partial_gradient(seen, dy_seen, gradient, sums, copies, low.target)

    if not most:
        low.add(step.title, reads, (), whole, level=level, where="behind", on_images=step.on_images)
        return
    images = low.images_for(step, backward=True)
    low.add(step.title, reads, (), part, level=level, slices=most, images=images, correlates=True)
    plan_reduction(low, step, copies, sums, level)


def _takes_pooled(low: Lowering, step: PlanStep, pooling: PlanStep) -> bool:
    """Whether a convolution's backward pass can begin with the gradient of what the pooling in its last lines gave."""
    window, tile = low.window_of(pooling), low.backward_tile(step)
    learns, needed = low.trains(step), step.inputs[0] in low.learning
    if learns and not most_slices(low, step, _partial_size(low, step)):
        return False
    if tile is not None:
        return algorithm.takes_pooled(tile, low.window_of(step), window)
    layer = correlation_of(low, step, low.outputs[step.inputs[0]].tensor, low.outputs[step.index].tensor)
    return learns and not needed and weight_gradient.takes_pooled(layer, window, low.target)


def _backward_from_pooled(low: Lowering, step: PlanStep, pooling: PlanStep) -> None:
    """Plan the gradients of a convolution from that of the pooling in its last lines."""
    dy, mask = low.gradient_value(pooling), low.masks[pooling.index]
    behind = _Behind(low.window_of(pooling), dy, mask)
    level = low.level(behind.names, chains=True, starts=True)
    x = low.output_again(step.inputs[0], level)
    layer = correlation_of(low, step, x.tensor, low.outputs[step.index].tensor)
    if low.backward_tile(step) is None:
        _by_windows(low, step, layer, behind, level)
    else:
        learns, needed = low.trains(step), step.inputs[0] in low.learning
        _by_tiles(low, step, layer, behind, level, learns=learns, needed=needed)
    update_early(low, step, level)


def _by_windows(low: Lowering, step: PlanStep, layer: Correlation, behind: _Behind, level: int) -> None:
    """Plan the gradient of a convolution's weights as sums over the windows of a pooling."""
    gradient, sums = low.layout.weight_gradient(step.node), low.layout.bias_gradient(step.node)
    copies = f"{step.title} partial gradients"

    def build(segment: Segment) -> Iterable[Op]:
        seen, pooled = seen_by(layer, segment), behind.settled(segment)
        yield weight_gradient.pooled_gradient(seen, pooled, gradient, sums, copies)

    most = most_slices(low, step, _partial_size(low, step))
    images = low.images_for(step, backward=True)
    reads = [layer.x.name, *behind.names]
    low.add(step.title, reads, (), build, level=level, slices=most, images=images, correlates=True)
    plan_reduction(low, step, copies, sums, level)


def plan_transposed(
    low: Lowering, step: PlanStep, layer: Correlation, dx: Tensor, level: int, part: str = ""
) -> Panels:
    """Plan a layer's weights with inputs and outputs swapped; `part` names what of the step the layer is."""
    transposed = correlation.transposed_panels(layer, f"{step.title} transposed weights{part}", dx, low.target)
    low.panels.append(transposed)
    copy = Transpose(f"{step.title} transpose", layer.weights, transposed, layer.taps, layer.x.channels)
    if low.prepares:
        low.preparation.append(copy)
    else:
        low.add(step.title, (), (), lambda segment: (copy,), level=level, where="before")
    return transposed


def _plan_input(low: Lowering, step: PlanStep, layer: Correlation, dy: Value, level: int) -> None:
    """Plan the gradient of a step's input as direct sums."""
    before = step.inputs[0]
    epilogue = low.activation_gradient(before)
    dx = low.part_of_gradient(before, step.title)
    transposed: list[Panels] = []

    def build(segment: Segment) -> Iterable[Op]:
        settle = segment.settle
        yield from correlation.input_gradient(
            seen_by(layer, segment),
            settle(dy.tensor),
            settle(dx.tensor),
            transposed[0],
            low.target,
            settled(epilogue, settle),
        )

    transposed.append(plan_transposed(low, step, layer, dx.tensor, level))
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


def _by_tiles(
    low: Lowering,
    step: PlanStep,
    layer: Correlation,
    dy: Value | _Behind,
    level: int,
    *,
    learns: bool,
    needed: bool,
) -> None:
    """Plan both gradients of a convolution by Winograd's algorithm."""
    tile, before = low.backward_tile(step), step.inputs[0]
    assert tile is not None
    gradient, sums = low.layout.weight_gradient(step.node), low.layout.bias_gradient(step.node)
    copies = f"{step.title} partial gradients"
    most = most_slices(low, step, _partial_size(low, step)) if learns else 0
    transformed: Panels | None = None
    dx: Value | None = None
    if needed:
        dx = low.part_of_gradient(before, step.title, patch_halo(tile, layer.window), dirty=True)
        transposed = plan_transposed(low, step, layer, dx.tensor, level)
        transformed = transformed_weights(
            low, f"{step.title} transformed transposed weights", tile, transposed, layer.y.channels, transposed.width
        )
        weights = WinogradWeights(
            f"{step.title} transform transposed weights", tile, transposed, layer.y.channels, transformed
        )
        low.add(step.title, (), (), lambda segment: (weights,), level=level, where="before")
    if learns and not most and isinstance(dy, Value):
        plan_weight_gradient(low, step, layer, dy, level, low.layout.bias_gradient(step.node))
    if not most and dx is None:
        return

    def build(segment: Segment) -> Iterable[Op]:
        seen = seen_by(layer, segment)
        if most:
            low.flat[Space.ARENA, copies] = segment.slices * _partial_size(low, step)
        yield winograd_backward(
            f"{step.title} gradients",
            tile,
            seen.x,
            segment.settle(dy.tensor) if isinstance(dy, Value) else seen.y,
            (layer.window.vertical.before, layer.window.horizontal.before),
            low.target,
            gradient=gradient if most else None,
            copies=copies,
            bias=sums is not None,
            transposed=transformed,
            dx=segment.settle(dx.tensor) if dx else None,
            pooled=None if isinstance(dy, Value) else dy.settled(segment),
        )

    reads = [*([dy.tensor.name] if isinstance(dy, Value) else dy.names), *([layer.x.name] if most else [])]
    writes = [dx.tensor.name] if dx else []
    images = low.images_for(step, backward=True)
    low.add(step.title, reads, writes, build, level=level, images=images, slices=most, correlates=True)
    if most:

        def reduce(segment: Segment) -> Iterable[Op]:
            title = f"{step.title} reduce partials"
            yield winograd_reduce_partials(title, tile, gradient, sums, layer.x.channels, copies, segment.slices)

        low.add(step.title, (), (), reduce, level=level, where="behind")
    if dx is not None:
        low.contribute(before, Expression(dx.tensor))


CORRELATION = LoweringRule(convolution.forward, backward)

RULES: Rules = {Linear: CORRELATION}
