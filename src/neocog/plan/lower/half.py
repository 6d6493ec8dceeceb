"""Convolutions and fully connected layers in bfloat16, for programs that predict.

What such a step gives is bfloat16 where one that multiplies tiles takes it, and float32 elsewhere: whatever else takes
it computes with float32. So a network is mixed from both, layer by layer, and none needs a rule of its own.
"""

from __future__ import annotations

from collections.abc import Iterable

from neocog.nn.graph import IMAGE
from neocog.nn.layers import Linear, MaxPool2d
from neocog.nn.window import EvenWindow, Window
from neocog.plan.blocked import PANEL, PLANE, Blocked
from neocog.plan.layout import Operand, Space
from neocog.plan.lower.lowering import Lowering
from neocog.plan.lower.values import Segment, Value
from neocog.plan.ops.epilogue import Epilogue
from neocog.plan.ops.half_pool import HalfPool
from neocog.plan.ops.op import Op
from neocog.plan.ops.pointwise import settled, tensors_of
from neocog.plan.ops.product import PackTiles, Stack
from neocog.plan.passes.steps import PlanStep
from neocog.plan.product import images_for, product, stacked, walk_of, whole


def forward(low: Lowering, step: PlanStep, epilogue: Epilogue) -> None:
    """Plan a convolution or fully connected layer in bfloat16."""
    x = _stacked_images(low, step) if step.inputs[0] == IMAGE else low.half(step.inputs[0])
    seen = x.tensor
    assert isinstance(seen, Blocked)
    if isinstance(step.node.layer, Linear):
        window = whole(seen)
    else:
        window = stacked(low.window_of(step)) if step.inputs[0] == IMAGE else low.window_of(step)
    made = _output(low, step)
    walk = walk_of(window, low.batch)
    chains = low.chains(step, backward=False)
    weights = _packed(low, step, seen.channels, window.cells)
    bias = low.layout.bias(step.node)

    def build(segment: Segment) -> Iterable[Op]:
        settle = segment.settle
        seen_here = settle(seen)
        assert isinstance(seen_here, Blocked)
        yield product(
            f"{step.title} forward",
            window,
            seen_here,
            settle(made.tensor),
            weights,
            walk=walk,
            bias=bias,
            epilogue=settled(epilogue, settle),
            chained=segment.block is not None,
        )

    task = low.add(
        step.title,
        [seen.name, *(tensor.name for tensor in tensors_of(epilogue))],
        [made.tensor.name],
        build,
        chains=chains,
        images=images_for(window) if chains else 1,
        on_images=step.on_images,
    )
    task.weights = 2 * seen.planes * window.cells * PLANE * -(-made.tensor.channels // PANEL) * PANEL


def _output(low: Lowering, step: PlanStep) -> Value:
    """Make memory for what a step gives, as it is wanted."""
    if low.wants_half(step.index):
        made = low.halves[step.index] = low.blocked_value(step.index)
        return made
    shape, kept = low.output_shape(step.index), step.index in low.kept
    made = low.outputs[step.index] = low.value(step.title, shape, low.halo_of(step.index), kept=kept)
    return made


def _packed(low: Lowering, step: PlanStep, channels: int, taps: int) -> Operand:
    """Round a step's weights, once after they changed."""
    name = f"{step.title} weights in tiles"
    out = Operand(Space.ARENA, name, 0, bytes_each=2)
    pack = PackTiles(f"{step.title} pack weights", low.layout.weights(step.node), channels, taps, out)
    low.flat[Space.ARENA, name] = pack.size // 2  # of four bytes each
    low.preparation.append(pack)
    return out


def _stacked_images(low: Lowering, step: PlanStep) -> Value:
    """Lay out what a first convolution sees of the images."""
    window = low.window_of(step)
    x = low.output(IMAGE)
    made = low.stacked_value(step)

    def build(segment: Segment) -> Iterable[Op]:
        y = segment.settle(made.tensor)
        assert isinstance(y, Blocked)
        axis = window.horizontal
        yield Stack(f"{step.title} stack rows", segment.settle(x.tensor), y, axis.before, axis.stride)

    low.add(step.title, [x.tensor.name], [made.tensor.name], build, on_images=step.on_images)
    return made


def pool(low: Lowering, step: PlanStep, window: Window | EvenWindow, counted: Window | None) -> None:
    """Plan a pooling of what is there in bfloat16."""
    x = low.half(step.inputs[0])
    made = _output(low, step)
    largest = isinstance(step.node.layer, MaxPool2d)

    def build(segment: Segment) -> Iterable[Op]:
        seen = segment.settle(x.tensor)
        assert isinstance(seen, Blocked)
        yield HalfPool(f"{step.title} forward", seen, segment.settle(made.tensor), window, largest, counted)

    low.add(step.title, [x.tensor.name], [made.tensor.name], build, on_images=step.on_images)
