"""Convolutions and fully connected layers in bfloat16, backward: gradients of weights are added up in float32."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from neocog.nn.graph import IMAGE
from neocog.nn.layers import Linear
from neocog.plan import half_gradient, weight_gradient
from neocog.plan.blocked import PANEL, Blocked
from neocog.plan.half_gradient import GradientPass
from neocog.plan.layout import Operand, Panels, Space, Tensor
from neocog.plan.lower import half
from neocog.plan.lower.lowering import Lowering
from neocog.plan.lower.slices import most_slices, plan_reduction
from neocog.plan.lower.update import update_early
from neocog.plan.lower.values import Segment, Value
from neocog.plan.ops.grouped import TransposeGroups
from neocog.plan.ops.op import Op
from neocog.plan.ops.pack import TapRange
from neocog.plan.ops.pointwise import Expression, settled, tensors_of
from neocog.plan.ops.tile_gradient import PairTiles, Places, TileGradient, TurnTiles
from neocog.plan.ops.update import Transpose
from neocog.plan.passes.steps import PlanStep


def backward(low: Lowering, step: PlanStep) -> None:
    """Plan the gradients of a step's weights, as far as they are trained, and of its input, as far as it is needed."""
    dy = low.half_gradient(step)
    level = low.level([dy.tensor.name], chains=low.chains(step, backward=True))
    if low.trains(step):
        _plan_weights(low, step, dy, level)
    before = low.source_of(step.inputs[0]) if isinstance(step.node.layer, Linear) else step.inputs[0]
    if before in low.learning:
        _plan_input(low, step, before, dy, level)
    update_early(low, step, level)


# --- weights ----------------------------------------------------------------------------------------------------------


def _plan_weights(low: Lowering, step: PlanStep, dy: Value, level: int) -> None:
    """Plan the gradient of a step's weights and biases: in a chain for each slice, or for the whole batch."""
    gradient, biases = low.layout.weight_gradient(step.node), low.layout.bias_gradient(step.node)
    x = _input_again(low, step, level)
    copies = f"{step.title} partial gradients"
    size = weight_gradient.copy_size(gradient, biases)
    most = most_slices(low, step, size)

    def part(segment: Segment) -> Iterable[Op]:
        out = Operand(Space.ARENA, copies, 0, slice=size)
        out_biases = Operand(Space.ARENA, copies, gradient.size, slice=size) if biases else None
        settle = segment.settle
        return _weight_ops(low, step, settle(x.tensor), settle(dy.tensor), Space.SCRATCH, out, out_biases)

    def whole(segment: Segment) -> Iterable[Op]:
        out_biases = biases.begin if biases else None
        return _weight_ops(low, step, x.tensor, dy.tensor, Space.ARENA, gradient.begin, out_biases)

    reads = [x.tensor.name, dy.tensor.name]
    if not most:
        low.add(step.title, reads, (), whole, level=level, where="behind", on_images=step.on_images)
        return
    images = low.images_for(step, backward=True)
    low.add(step.title, reads, (), part, level=level, slices=most, images=images, correlates=True)
    plan_reduction(low, step, copies, biases, level)


def _input_again(low: Lowering, step: PlanStep, level: int) -> Value:
    """Return what a step took, as bfloat16; rows of images are stacked once more."""
    if step.inputs[0] != IMAGE:
        return low.narrowed(step.inputs[0])
    return half.stacked_images(low, step, level)


def _weight_ops(
    low: Lowering, step: PlanStep, x: Tensor, dy: Tensor, space: Space, out: Operand, biases: Operand | None
) -> Iterable[Op]:
    """Return what adds up the gradient of weights and biases; `space` is where x and dy lie as tiles read them."""
    assert isinstance(x, Blocked)
    assert isinstance(dy, Blocked)
    places = _places(low, step, x, dy)
    rows, pairs = (
        Operand(space, f"{step.title} {what}", 0, bytes_each=2) for what in ("input in rows", "gradient in pairs")
    )
    turn = TurnTiles(f"{step.title} turn input", x, places, rows)
    pair = PairTiles(f"{step.title} pair gradient", dy, places, pairs)
    for operand, size in ((rows, turn.size), (pairs, pair.size)):
        low.flat[operand.memory] = -(-size // 2)  # of four bytes each
    title = f"{step.title} weight gradient"
    yield turn
    yield pair
    yield TileGradient(
        title,
        rows,
        pairs,
        places,
        x.channels,
        dy.channels,
        low.layout.weight_gradient(step.node),
        out,
        Operand(Space.SCRATCH, f"{title} sums", 0),
        biases,
        Operand(Space.SCRATCH, f"{title} ones", 0, bytes_each=2) if biases else None,
        step.groups,
    )


def _places(low: Lowering, step: PlanStep, x: Blocked, dy: Blocked) -> Places:
    if isinstance(step.node.layer, Linear):
        return half_gradient.places_of_images(x)
    return half_gradient.places_of(half.window_over(low, step, x), dy)


# --- input ------------------------------------------------------------------------------------------------------------


def _plan_input(low: Lowering, step: PlanStep, before: int, dy: Value, level: int) -> None:
    """Plan the gradient of what a step takes; that of a fully connected layer sends it past a Flatten."""
    epilogue = low.activation_gradient(before, half=True) if _is_alone(low, step, before) else ()
    dx = low.half_part_of_gradient(before, step.title)
    transposed = _transposed(low, step, level)
    linear = isinstance(step.node.layer, Linear)
    parts = [] if linear else half_gradient.passes_of(low.window_of(step))
    weights = (
        _packed_pixels(low, step, transposed, level) if linear else _packed_passes(low, step, parts, transposed, level)
    )

    def build(segment: Segment) -> Iterable[Op]:
        settle = segment.settle
        seen, fused = settle(dy.tensor), settled(epilogue, settle)
        assert isinstance(seen, Blocked)
        title = f"{step.title} input gradient"
        if linear:
            yield half_gradient.image_product(title, seen, settle(dx.tensor), weights[0], epilogue=fused)
            return
        for number, (part, packed) in enumerate(zip(parts, weights, strict=True)):
            yield half_gradient.pass_product(
                title,
                part,
                seen,
                settle(dx.tensor),
                packed,
                epilogue=fused,
                chained=segment.block is not None,
                clears=number == 0,
                groups=step.groups,
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


def _is_alone(low: Lowering, step: PlanStep, before: int) -> bool:
    """Whether nobody else takes what a step takes, from another side of a Flatten included."""
    index, alone = step.inputs[0], True
    while index != before:
        alone = alone and len(low.steps.users(index)) == 1
        index = low.steps.steps[index].inputs[0]
    return alone


def _transposed(low: Lowering, step: PlanStep, level: int) -> Panels:
    """Plan the weights with inputs and outputs swapped, group by group: rows are (tap, filter), columns channels."""
    weights, columns = low.layout.weights(step.node), low.narrowed(step.inputs[0]).tensor.channels
    filters, channels = weights.columns // step.groups, columns // step.groups  # of one group
    taps = weights.rows // channels
    transposed = Panels(f"{step.title} transposed weights", taps * filters, columns, PANEL)
    low.panels.append(transposed)
    title = f"{step.title} transpose"
    copy: Op = Transpose(title, weights, transposed, taps, channels)
    if step.groups > 1:
        copy = TransposeGroups(title, weights, transposed, taps, step.groups)
    low.add(step.title, (), (), lambda segment: (copy,), level=level, where="before")
    return transposed


def _packed_passes(
    low: Lowering, step: PlanStep, parts: Sequence[GradientPass], transposed: Panels, level: int
) -> list[Operand]:
    """Plan the weights of each pass in the order of tiles; a pass without taps multiplies nothing, and takes any."""
    groups, row = step.groups, low.window_of(step).horizontal.kernel
    filters = low.layout.weights(step.node).columns // groups
    made: dict[int, Operand] = {}
    for number, part in enumerate(parts):
        if part.taps:
            title = f"{step.title} transposed weights {number}"
            down, across = part.down, part.across
            made[number] = half.packed(low, step, title, transposed, filters, down, across, level, row, groups)
    some = next(iter(made.values()))
    return [made.get(number, some) for number in range(len(parts))]


def _packed_pixels(low: Lowering, step: PlanStep, transposed: Panels, level: int) -> list[Operand]:
    """Plan the weights of each pixel that a fully connected layer takes."""
    x, filters = low.narrowed(step.inputs[0]).tensor, low.layout.weights(step.node).columns
    title = f"{step.title} transposed weights"
    return [half.packed(low, step, title, transposed, filters, TapRange(x.height), TapRange(x.width), level)]
