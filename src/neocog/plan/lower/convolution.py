"""Convolutions and fully connected layers, forward: with what is done value by value behind them and, where it fits, a
max pooling."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from neocog.nn.graph import Node
from neocog.nn.layers import Add, Conv2d, MaxPool2d, PReLU, ReLU
from neocog.nn.rewrite import ScaleShift
from neocog.nn.window import Window
from neocog.plan import algorithm, correlation, product
from neocog.plan.algorithm import transformed_panels, transformed_width, winograd
from neocog.plan.correlation import Correlation, Pooled
from neocog.plan.layout import Panels, Tensor
from neocog.plan.lower import half, rounded
from neocog.plan.lower.lowering import Lowering
from neocog.plan.lower.values import Segment, Value
from neocog.plan.ops.epilogue import Epilogue
from neocog.plan.ops.op import Op
from neocog.plan.ops.pointwise import Activate, Affine, Expression, Plus, Pointwise, Slope, settled, tensors_of
from neocog.plan.ops.tiles import position_step
from neocog.plan.ops.winograd import WinogradWeights
from neocog.plan.passes.steps import PlanStep
from neocog.plan.winograd import WinogradTile


def forward(low: Lowering, step: PlanStep) -> None:
    """Plan a convolution or fully connected layer, with the pooling behind it where that can run in its last lines."""
    if low.is_half(step):
        half.forward(low, step, epilogue_of(low, step), pooling_behind(low, step))
        return
    if low.is_int8(step):
        rounded.forward(low, step, epilogue_of(low, step), pooling_behind(low, step))
        return
    x, shape = low.output(step.inputs[0]), low.output_shape(step.index)
    epilogue = epilogue_of(low, step)
    behind = pooling_behind(low, step)
    if behind is None:
        made = low.value(
            step.title, shape, low.halo_of(step.index), kept=step.index in low.kept, activation=step.activation
        )
        low.outputs[step.index], mask = made, None
    else:
        # What the convolution gives exists in registers alone.
        low.outputs[step.index] = Value(low.shape(step.title, shape), activation=step.activation)
        made = low.value(
            behind.title, low.output_shape(behind.index), low.halo_of(behind.index), kept=behind.index in low.kept
        )
        low.outputs[behind.index], mask = made, low.make_mask(behind)
        low.fused.add(behind.index)
    layer = correlation_of(low, step, x.tensor, low.outputs[step.index].tensor)
    tile = low.tile_of(step)
    transformed = _transformed(low, step, layer, tile) if tile else None

    def build(segment: Segment) -> Iterable[Op]:
        settle = segment.settle
        seen = replace(layer, x=settle(layer.x), y=settle(layer.y))
        pooled = None
        if behind is not None:
            pooled = Pooled(low.window_of(behind), settle(made.tensor), settle(mask.tensor) if mask else None)
        if tile is None or transformed is None:
            yield correlation.forward(seen, low.target, epilogue=settled(epilogue, settle), pooled=pooled)
            return
        yield winograd(
            f"{layer.title} forward",
            tile,
            seen.x,
            seen.y,
            (layer.window.vertical.before, layer.window.horizontal.before),
            transformed,
            low.target,
            bias=layer.bias.begin if layer.bias else None,
            epilogue=settled(epilogue, settle),
            pooled=pooled,
        )

    chains = low.chains(step, backward=False)
    reads = [x.tensor.name, *(tensor.name for tensor in tensors_of(epilogue))]
    level = low.level(reads, chains=chains)
    if transformed is not None and tile is not None:
        title = f"{layer.title} transform weights"
        weights = WinogradWeights(title, tile, layer.weights, layer.x.channels, transformed)
        if low.prepares:
            low.preparation.append(weights)
        else:
            low.add(step.title, (), (), lambda segment: (weights,), level=level, where="before")
    writes = [made.tensor.name, *([mask.tensor.name] if mask else [])]
    task = low.add(
        step.title,
        reads,
        writes,
        build,
        level=level,
        images=low.images_for(step, backward=False) if chains else 1,
        on_images=step.on_images,
    )
    task.weights = 4 * (position_step(transformed) * tile.positions if transformed and tile else layer.weights.size)
    if behind is not None:
        task.last_title = behind.title


def epilogue_of(low: Lowering, step: PlanStep) -> Epilogue:
    """Return what the layers do that run where a step's output is stored."""
    return tuple(_step_behind(low, step, node) for node in step.behind)


def _step_behind(low: Lowering, step: PlanStep, node: Node) -> Pointwise:
    """Return what one of these layers does."""
    match node.layer:
        case Add():
            (other,) = step.added
            if low.is_int8(step):
                return Plus(low.read(other, low.narrow.get(other) or low.output(other)))
            return Plus(Expression((low.at_rest(other) if low.takes_planes(step) else low.output(other)).tensor))
        case PReLU():
            return Slope(low.vectors_of(node, "weight"))
        case ScaleShift():
            return Affine(low.vectors_of(node, "weight"), low.vectors_of(node, "bias"), twice=low.precision == "int8")
        case activation:
            return Activate(activation)


def correlation_of(low: Lowering, step: PlanStep, x: Tensor, y: Tensor) -> Correlation:
    """Return a step's layer with its operands."""
    if low.is_int8(step):
        (layer,) = rounded.layers_of(low, step, x, y)
        return layer
    weights, bias = low.layout.weights(step.node), low.layout.bias(step.node)
    return Correlation(step.title, low.window_of(step), x, y, weights, bias)


def transformed_weights(
    low: Lowering, name: str, tile: WinogradTile, weights: Panels, inputs: int, width: int
) -> Panels:
    """Make memory for transformed filters."""
    made = transformed_panels(name, weights, inputs, width)
    low.flat[made.space, made.name] = position_step(made) * tile.positions
    return made


def _transformed(low: Lowering, step: PlanStep, layer: Correlation, tile: WinogradTile) -> Panels:
    width = layer.weights.width
    if low.layout.batch is not None:
        width = transformed_width(tile, layer.window, low.batch, layer.weights, low.target)
    return transformed_weights(low, f"{step.title} transformed weights", tile, layer.weights, layer.x.channels, width)


def pooling_behind(low: Lowering, step: PlanStep) -> PlanStep | None:
    """Return the pooling that can run in a convolution's last lines, if there is one. Products of tiles may decline."""
    users = low.steps.users(step.index)
    if not isinstance(step.node.layer, Conv2d) or len(users) != 1 or step.index in low.kept:
        return None
    (behind,) = users
    if not isinstance(behind.node.layer, MaxPool2d):
        return None
    window, tile = low.window_of(behind), low.tile_of(step)
    if step.index in low.peaks and not _covers(window):
        return None  # what a pooling never looks at may hold a map's largest value
    simple = all(isinstance(node.layer, ReLU) for node in step.behind)
    if low.is_half(step) or (low.is_int8(step) and low.layout.rounded[step.node.name].tiles):
        # A mask stands for what a ReLU stops; the gradient of other activations asks for what the convolution gave.
        return behind if product.can_pool(window) and (simple or step.index not in low.learning) else None
    if step.groups > 1 or not simple:
        return None
    if tile is not None:
        return behind if algorithm.can_pool(tile, window) else None
    extent = low.extents[step.index]
    layer = correlation_of(low, step, low.shape("", extent.input), low.shape("", extent.output))
    return behind if correlation.can_pool(layer, window, low.target) else None


def _covers(window: Window) -> bool:
    """Whether each pixel lies in the window of a pooling whose windows lie side by side."""
    return all(axis.output * axis.kernel == axis.input for axis in (window.vertical, window.horizontal))
