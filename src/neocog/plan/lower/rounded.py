"""Convolutions and fully connected layers in 8-bit integers.

Who multiplies takes integers, and gives what the next one takes: integers again where it is one of its kind, itself or
behind a max pooling, and float32 elsewhere. Sums are whole numbers; a step of them is worth so much for each filter,
and what is done value by value behind is done in float32, in registers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from neocog.nn.layers import Linear
from neocog.nn.window import Window
from neocog.plan import correlation, depthwise, product
from neocog.plan.correlation import Correlation, Pooled
from neocog.plan.layout import Tensor, Vectors
from neocog.plan.lower.half import output
from neocog.plan.lower.lowering import Lowering
from neocog.plan.lower.values import Segment
from neocog.plan.ops.epilogue import Epilogue, moved
from neocog.plan.ops.op import Op
from neocog.plan.ops.pointwise import Affine, settled, tensors_of
from neocog.plan.passes.steps import PlanStep
from neocog.plan.rounded import Rounded


def forward(low: Lowering, step: PlanStep, epilogue: Epilogue, behind: PlanStep | None) -> None:
    """Plan a convolution or fully connected layer, with the pooling behind it where that runs in its last lines."""
    x, weights = low.narrowed(step.inputs[0]), low.layout.rounded[step.node.name]
    window = window_of(low, step, x.tensor)
    walk, band = product.walk_of(window, low.batch), 0
    if weights.tiles and behind is not None:
        assert isinstance(x.tensor, Rounded)
        pooling = product.pooling_of(window, x.tensor, low.output_shape(step.index).channels)
        walk, band = pooling or (walk, 0)
        behind = behind if pooling else None
    made = output(low, behind or step)
    y = low.shape(step.title, low.output_shape(step.index)) if behind else made.tensor
    if behind is not None:
        low.fused.add(behind.index)
    chains = low.chains(step, backward=False)
    reads = [x.tensor.name, *(tensor.name for tensor in tensors_of(epilogue))]
    level = low.level(reads, chains=chains)
    steps = (Affine(weights.multipliers.begin), *epilogue, *low.rounded((behind or step).index))

    def build(segment: Segment) -> Iterable[Op]:
        settle = segment.settle
        seen, to, given, fused = settle(x.tensor), settle(y), settle(made.tensor), settled(steps, settle)
        if weights.tiles:
            assert isinstance(seen, Rounded)
            yield product.forward(
                f"{step.title} forward",
                window,
                seen,
                given,
                weights.in_tiles,
                walk=walk,
                bias=weights.bias,
                epilogue=fused,
                chained=segment.block is not None,
                band=band,
            )
            return
        if weights.by_channel:
            (layer,) = layers_of(low, step, seen, to)
            yield depthwise.forward(layer, low.target, epilogue=fused, shared=segment.block is None)
            return
        pooled = Pooled(low.window_of(behind), given, None) if behind else None
        for layer in layers_of(low, step, seen, to):
            yield correlation.forward(layer, low.target, epilogue=moved(fused, layer.first_out), pooled=pooled)

    images = product.images_for(window) if weights.tiles else low.images_for(step, backward=False)
    images = images if chains else 1
    task = low.add(step.title, reads, [made.tensor.name], build, level=level, images=images, on_images=step.on_images)
    task.weights = weights.size
    if behind is not None:
        task.last_title = behind.title


def window_of(low: Lowering, step: PlanStep, x: Tensor) -> Window:
    """Return how a step's window walks over what it takes."""
    return product.whole(x) if isinstance(step.node.layer, Linear) else low.window_of(step)


def layers_of(low: Lowering, step: PlanStep, x: Tensor, y: Tensor) -> list[Correlation]:
    """Return a step's layer with its operands: a part for each block of its groups."""
    weights = low.layout.rounded[step.node.name]
    window = window_of(low, step, x)
    shifted = bool(weights.shift)
    inputs, outputs = x.channels // step.groups, y.channels // step.groups
    found = []
    for number, block in enumerate(weights.blocks):
        first = number * weights.groups
        groups = min(weights.groups, step.groups - first)
        part_x = replace(x, channels=groups * inputs)
        part_y = replace(y, channels=groups * outputs)
        bias = Vectors(
            weights.bias.name,
            part_y.channels,
            low.target.round_up(part_y.channels),
            weights.bias.offset + first * outputs,
            weights.bias.space,
        )
        found.append(
            Correlation(
                *(step.title, window, part_x, part_y, block, bias),
                *(first * inputs, first * outputs, weights.across, shifted),
            )
        )
    return found
