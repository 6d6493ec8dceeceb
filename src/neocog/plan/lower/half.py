"""Convolutions and fully connected layers in bfloat16, forward.

What such a step gives is bfloat16 where one that multiplies tiles takes it, and float32 elsewhere: whatever else takes
it computes with float32. So a network is mixed from both, layer by layer, and none needs a rule of its own.
"""

from __future__ import annotations

from collections.abc import Iterable

from neocog.nn.graph import IMAGE
from neocog.nn.layers import Linear
from neocog.nn.window import Window
from neocog.plan import product
from neocog.plan.blocked import PANEL, PLANE, Blocked
from neocog.plan.layout import Operand, Panels, Space
from neocog.plan.lower.lowering import Lowering
from neocog.plan.lower.values import Segment, Value
from neocog.plan.ops.epilogue import Epilogue
from neocog.plan.ops.op import Op
from neocog.plan.ops.pack import PackTiles, TapRange
from neocog.plan.ops.pointwise import settled, tensors_of
from neocog.plan.ops.product import planes_seen
from neocog.plan.ops.stack import Stack
from neocog.plan.passes.steps import PlanStep


def forward(low: Lowering, step: PlanStep, epilogue: Epilogue, behind: PlanStep | None) -> None:
    """Plan a convolution or fully connected layer in bfloat16, with the pooling behind it where that pays."""
    x = stacked_images(low, step) if step.inputs[0] == IMAGE else low.narrowed(step.inputs[0])
    seen = x.tensor
    assert isinstance(seen, Blocked)
    window = window_over(low, step, seen)
    filters, groups = low.output_shape(step.index).channels, step.groups
    pooling = product.pooling_of(window, seen, filters, groups) if behind else None
    walk, band = pooling or (product.walk_of(window, low.batch), 0)
    if pooling is None:
        behind = None
    made, mask = pooled_output(low, step, behind) if behind else (output(low, step), None)
    chains = low.chains(step, backward=False)
    reads = [seen.name, *(tensor.name for tensor in tensors_of(epilogue))]
    level = low.level(reads, chains=chains)
    down, across = TapRange(window.vertical.kernel), TapRange(window.horizontal.kernel)
    channels = seen.channels // groups
    weights = packed(
        low,
        step,
        f"{step.title} weights",
        low.layout.weights(step.node),
        channels,
        down,
        across,
        level,
        groups=groups,
    )
    bias = low.layout.bias(step.node)

    def build(segment: Segment) -> Iterable[Op]:
        settle = segment.settle
        seen_here = settle(seen)
        assert isinstance(seen_here, Blocked)
        yield product.forward(
            f"{step.title} forward",
            window,
            seen_here,
            settle(made.tensor),
            weights,
            walk=walk,
            bias=bias,
            epilogue=settled(epilogue, settle),
            chained=segment.block is not None,
            groups=groups,
            band=band,
            mask=settle(mask.tensor) if mask else None,
        )

    images = product.images_for(window) if chains else 1
    writes = [made.tensor.name, *([mask.tensor.name] if mask else [])]
    task = low.add(step.title, reads, writes, build, level=level, images=images, on_images=step.on_images)
    planes = planes_seen(groups, channels, filters // groups)
    task.weights = 2 * planes * window.cells * PLANE * -(-filters // PANEL) * PANEL
    if behind is not None:
        task.last_title = behind.title


def window_over(low: Lowering, step: PlanStep, x: Blocked) -> Window:
    """Return how a step's window walks over what it takes as bfloat16."""
    if isinstance(step.node.layer, Linear):
        return product.whole(x)
    return product.stacked(low.window_of(step)) if step.inputs[0] == IMAGE else low.window_of(step)


def output(low: Lowering, step: PlanStep) -> Value:
    """Make memory for what a step gives, as it is wanted."""
    if low.wants_narrow(step.index):
        made = low.narrow[step.index] = low.narrow_value(step.index, step.activation)
        return made
    made = low.outputs[step.index] = low.value(
        step.title,
        low.output_shape(step.index),
        low.halo_of(step.index),
        kept=step.index in low.kept,
        activation=step.activation,
    )
    return made


def pooled_output(low: Lowering, step: PlanStep, behind: PlanStep) -> tuple[Value, Value | None]:
    """Make memory for what a pooling in a step's last lines gives, and for its mask.

    What the step itself gives is noted, for how it lies and its activation, and never written.
    """
    shape, narrow = low.output_shape(step.index), low.wants_narrow(step.index)
    whole = low.blocked_of(step.index) if narrow else low.shape(step.title, shape)
    (low.narrow if narrow else low.outputs)[step.index] = Value(whole, activation=step.activation)
    low.fused.add(behind.index)
    return output(low, behind), low.make_mask(behind)


def packed(
    low: Lowering,
    step: PlanStep,
    title: str,
    weights: Panels,
    channels: int,
    down: TapRange,
    across: TapRange,
    level: int,
    row: int | None = None,
    groups: int = 1,
) -> Operand:
    """Round some weights of a step: once after they changed, or while training before each use.

    Arguments:
        title: of the weights.
        weights: rows are (tap, channel).
        channels: of a tap, those of one group.
        down, across: which taps of a filter.
        level: at which they are used.
        row: taps of a row of a filter; default: as many as are taken.
        groups: of channels and filters.
    """
    name = f"{title} in tiles"
    out = Operand(Space.ARENA, name, 0, bytes_each=2)
    pack = PackTiles(f"pack {title}", weights, channels, down, across, row or across.count, out, groups)
    low.flat[Space.ARENA, name] = pack.size // 2  # of four bytes each
    if low.training is None:
        low.preparation.append(pack)
    else:
        low.add(step.title, (), (), lambda segment: (pack,), level=level, where="before")
    return out


def stacked_images(low: Lowering, step: PlanStep, level: int | None = None) -> Value:
    """Lay out what a first convolution sees of the images; once more at a later level, for its backward pass."""
    axis = low.window_of(step).horizontal
    x = low.output(IMAGE)
    made = low.stacked_value(step, "" if level is None else " again")

    def build(segment: Segment) -> Iterable[Op]:
        y = segment.settle(made.tensor)
        assert isinstance(y, Blocked)
        yield Stack(f"{step.title} stack rows", segment.settle(x.tensor), y, axis.before, axis.stride)

    low.add(step.title, [x.tensor.name], [made.tensor.name], build, level=level, on_images=step.on_images)
    return made
