"""Expressions and sums of them as machine code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llvmlite import ir

from neocog.emit import activation
from neocog.emit.addresses import Addresses, pixel
from neocog.emit.builder import F32, I8, I32, I64, Builder, Index, IrValue, int32
from neocog.emit.emitter import Emitters
from neocog.emit.half import clear_around, fill_up, load_from, store_to
from neocog.emit.rounded import limited
from neocog.emit.slots import COUNT_SLOT
from neocog.emit.sums import left_before, over_channels, over_pixels
from neocog.nn.random import MULTIPLIERS, SHIFTS, dropout_threshold
from neocog.plan.blocked import PLANE, Blocked
from neocog.plan.layout import Operand, Tensor
from neocog.plan.ops.map import Map, PixelSum, Sums
from neocog.plan.ops.pointwise import (
    Activate,
    ActivationGradient,
    Affine,
    Centre,
    Counted,
    Dequantise,
    Drop,
    Expression,
    Negative,
    Normalise,
    Plus,
    Pointwise,
    Round,
    Scaled,
    Slope,
    SlopeGradient,
    Times,
)
from neocog.plan.rounded import Rounded


@dataclass(frozen=True, slots=True)
class Spot:
    """A vector of channels of a pixel: image of the block, row, column, and first channel."""

    image: Index
    row: Index
    column: Index
    channel: Index


@dataclass(frozen=True, slots=True)
class Beside:
    """A vector of a register tile, of which no more is known than its place: so many elements behind the first pixel of
    every tensor that is laid out alike, `offset` of them as a constant; and its first channel.
    """

    moved: Index
    offset: int
    channel: Index


AnySpot = Spot | Beside


def evaluate(b: Builder, addresses: Addresses, expression: Expression, spot: AnySpot) -> IrValue:
    """Return the values of an expression at a spot."""
    return apply(b, addresses, expression.steps, _load(b, addresses, expression.x, spot), spot)


def apply(b: Builder, addresses: Addresses, steps: Sequence[Pointwise], value: IrValue, spot: AnySpot) -> IrValue:
    """Return what steps make of values at a spot."""
    for step in steps:
        value = RULES[type(step)](b, addresses, step, value, spot)
    return value


def _load(b: Builder, addresses: Addresses, tensor: Tensor, spot: AnySpot) -> IrValue:
    if isinstance(spot, Beside):
        each = I8 if isinstance(tensor, Rounded) else F32
        return load_from(b, tensor, b.at(addresses.tensor(tensor), spot.moved, each), spot.offset)
    return load_from(b, tensor, addresses.tensor(tensor), position(b, tensor, spot))


def position(b: Builder, tensor: Tensor, spot: Spot) -> Index:
    """Return where a spot lies in a tensor; one pixel stands for all, and one channel."""
    row, column = (0, 0) if tensor.height == tensor.width == 1 else (spot.row, spot.column)
    if isinstance(tensor, Blocked):
        plane, channel = b.divmod(spot.channel, PLANE)
        return b.add(b.add(pixel(b, tensor, spot.image, row, column), b.mul(plane, tensor.plane_step)), channel)
    return b.add(pixel(b, tensor, spot.image, row, column), 0 if tensor.channels == 1 else spot.channel)


def _vector(b: Builder, addresses: Addresses, operand: Operand, spot: AnySpot) -> IrValue:
    return b.load(addresses.operand(operand), spot.channel)


def _normalise(b: Builder, addresses: Addresses, step: Normalise, value: IrValue, spot: AnySpot) -> IrValue:
    value = b.ir.fsub(value, _vector(b, addresses, step.mean, spot))
    return _scale(b, addresses, value, step.scale, step.shift, spot)


def _affine(b: Builder, addresses: Addresses, step: Affine, value: IrValue, spot: AnySpot) -> IrValue:
    if step.twice and step.shift is not None:
        product = b.ir.fmul(value, _vector(b, addresses, step.scale, spot))
        return b.ir.fadd(product, _vector(b, addresses, step.shift, spot))
    return _scale(b, addresses, value, step.scale, step.shift, spot)


def _scale(
    b: Builder, addresses: Addresses, value: IrValue, scale: Operand, shift: Operand | None, spot: AnySpot
) -> IrValue:
    factor = _vector(b, addresses, scale, spot)
    if shift is None:
        return b.ir.fmul(value, factor)
    return b.multiply_add(value, factor, _vector(b, addresses, shift, spot))


def _scaled(b: Builder, addresses: Addresses, step: Scaled, value: IrValue, spot: AnySpot) -> IrValue:
    return b.ir.fmul(value, b.splat(step.factor))


def _dequantise(b: Builder, addresses: Addresses, step: Dequantise, value: IrValue, spot: AnySpot) -> IrValue:
    return b.ir.fmul(value, b.splat(b.load_scalar(addresses.operand(step.scale), 0)))


def _round(b: Builder, addresses: Addresses, step: Round, value: IrValue, spot: AnySpot) -> IrValue:
    value = b.ir.fmul(value, b.splat(b.load_scalar(addresses.operand(step.inverse), 0)))
    return limited(b, value, signed=step.signed)


def _centre(b: Builder, addresses: Addresses, step: Centre, value: IrValue, spot: AnySpot) -> IrValue:
    return b.ir.fsub(value, _vector(b, addresses, step.mean, spot))


def _activate(b: Builder, addresses: Addresses, step: Activate, value: IrValue, spot: AnySpot) -> IrValue:
    return activation.value(b, step.layer, value)


def _plus(b: Builder, addresses: Addresses, step: Plus, value: IrValue, spot: AnySpot) -> IrValue:
    return b.ir.fadd(value, evaluate(b, addresses, step.other, spot))


def _times(b: Builder, addresses: Addresses, step: Times, value: IrValue, spot: AnySpot) -> IrValue:
    return b.ir.fmul(value, evaluate(b, addresses, step.other, spot))


def _activation_gradient(
    b: Builder, addresses: Addresses, step: ActivationGradient, value: IrValue, spot: AnySpot
) -> IrValue:
    other = evaluate(b, addresses, step.other, spot)
    if step.of_output:
        return activation.gradient_of_output(b, step.layer, value, other)
    return activation.gradient(b, step.layer, value, other)


def _slope(b: Builder, addresses: Addresses, step: Slope, value: IrValue, spot: AnySpot) -> IrValue:
    positive = b.ir.fcmp_ordered(">", value, b.splat(0.0))
    return b.ir.select(positive, value, b.ir.fmul(value, _vector(b, addresses, step.slope, spot)))


def _slope_gradient(b: Builder, addresses: Addresses, step: SlopeGradient, value: IrValue, spot: AnySpot) -> IrValue:
    positive = b.ir.fcmp_ordered(">", evaluate(b, addresses, step.other, spot), b.splat(0.0))
    return b.ir.select(positive, value, b.ir.fmul(value, _vector(b, addresses, step.slope, spot)))


def _negative(b: Builder, addresses: Addresses, step: Negative, value: IrValue, spot: AnySpot) -> IrValue:
    zero = b.splat(0.0)
    return b.ir.select(b.ir.fcmp_ordered(">", value, zero), zero, value)


def _counted(b: Builder, addresses: Addresses, step: Counted, value: IrValue, spot: Spot) -> IrValue:
    count = addresses.argument(COUNT_SLOT, I64)
    inside = b.less(b.add(addresses.first_image, spot.image), count)
    return b.ir.select(inside, value, b.splat(0.0))


def _drop(b: Builder, addresses: Addresses, step: Drop, value: IrValue, spot: Spot) -> IrValue:
    """Zero the values whose bits lie below the threshold and scale the others: nn/random.py, lane by lane."""
    kind = b.vector_i32

    def constant(number: int) -> ir.Constant:
        return ir.Constant(kind, [int32(number)] * b.lanes)

    image = b.add(addresses.first_image, spot.image)
    lanes = ir.Constant(kind, [int32(lane if step.unit != "image" else 0) for lane in range(b.lanes)])
    match step.unit:
        case "value":
            line = b.add(b.mul(image, step.height), spot.row)
            first = b.add(b.mul(b.add(b.mul(line, step.width), spot.column), step.channels), spot.channel)
        case "map":
            first = b.add(b.mul(image, step.channels), spot.channel)
        case "image":
            first = image
    keys = b.spread(addresses.argument(step.key_slot, I32), kind)
    word = b.ir.xor(b.ir.add(b.spread(b.as_i32(first), kind), lanes), keys)
    for salt in (None, keys):
        if salt is not None:
            word = b.ir.add(word, salt)
        for shift, multiplier in zip(SHIFTS, (*MULTIPLIERS, None), strict=True):
            word = b.ir.xor(word, b.ir.lshr(word, constant(shift)))
            if multiplier is not None:
                word = b.ir.mul(word, constant(multiplier))
    kept = b.ir.icmp_unsigned(">=", word, constant(dropout_threshold(step.rate)))
    scaled = b.ir.fmul(value, b.splat(1.0 / (1.0 - step.rate)))
    return b.ir.select(kept, scaled, b.splat(0.0))


RULES: dict[type[Pointwise], Callable[..., IrValue]] = {
    Normalise: _normalise,
    Affine: _affine,
    Scaled: _scaled,
    Dequantise: _dequantise,
    Round: _round,
    Centre: _centre,
    Activate: _activate,
    Plus: _plus,
    Times: _times,
    ActivationGradient: _activation_gradient,
    Slope: _slope,
    SlopeGradient: _slope_gradient,
    Negative: _negative,
    Drop: _drop,
    Counted: _counted,
}
"""How each step is written."""


def emit_map(b: Builder, addresses: Addresses, stage: Map, low: IrValue, high: IrValue) -> None:
    """Write an expression for rows of images, or for a block of images with its sums."""
    if stage.sums:
        _emit_sums(b, addresses, stage)
        return
    shape = stage.shape
    with b.loop(low, high) as (item, _):
        image, row = b.divmod(item, shape.height)
        with b.loop(0, shape.width) as (column, _):
            over_channels(
                b, shape, lambda channel, last: _store(b, addresses, stage, image, row, column, channel, last)
            )
            if isinstance(stage.y, Blocked):
                place = position(b, stage.y, Spot(image, row, column, 0))
                fill_up(b, addresses.tensor(stage.y), stage.y, place, stage.y.channels)
        if isinstance(stage.y, Blocked):
            clear_around(b, addresses.tensor(stage.y), stage.y, image, row)


def _store(
    b: Builder, addresses: Addresses, stage: Map, image: Index, row: Index, column: Index, channel: Index, last: bool
) -> None:
    spot = Spot(image, row, column, channel)
    value = _padded(b, stage, evaluate(b, addresses, stage.value, spot), last)
    assert stage.y is not None
    store_to(b, value, stage.y, addresses.tensor(stage.y), position(b, stage.y, spot))


def _padded(b: Builder, stage: Map | PixelSum, value: IrValue, last: bool) -> IrValue:
    """Return a value with zeros in the lanes past the channels; only the last vector has such."""
    rest = stage.shape.channels % b.lanes
    if not last or not rest or stage.value.keeps_zero:
        return value
    inside = ir.Constant(ir.VectorType(ir.IntType(1), b.lanes), [int(lane < rest) for lane in range(b.lanes)])
    return b.ir.select(inside, value, b.splat(0.0))


def _emit_sums(b: Builder, addresses: Addresses, stage: Map) -> None:
    """Write an expression for a block of images and add its sums up, one vector of channels after another."""

    def body(channel: Index, last: bool) -> None:
        def at(image: Index, row: Index, column: Index) -> list[IrValue]:
            spot = Spot(image, row, column, channel)
            value = _padded(b, stage, evaluate(b, addresses, stage.value, spot), last)
            others = [evaluate(b, addresses, sums.other, spot) if sums.other else None for sums in stage.sums]
            if stage.y is not None:
                b.store(value, addresses.tensor(stage.y), position(b, stage.y, spot))
            terms = []
            for sums, other in zip(stage.sums, others, strict=True):
                terms += [value] if sums.plain else []
                terms += [b.ir.fmul(value, other)] if other is not None else []
            return terms

        number = sum(sums.count for sums in stage.sums)
        totals = iter(over_pixels(b, stage.shape, stage.shape.images, number, at))
        for sums in stage.sums:
            for place in range(sums.count):
                _add_to(b, addresses, sums, next(totals), b.add(channel, place * sums.step))

    over_channels(b, stage.shape, body)


def _add_to(b: Builder, addresses: Addresses, sums: Sums, total: IrValue, place: Index) -> None:
    """Add to what earlier blocks of the slice left; the first one begins anew."""
    out = addresses.operand(sums.out)
    b.store(b.ir.fadd(left_before(b, addresses, out, place), total), out, place)


def emit_pixel_sum(b: Builder, addresses: Addresses, stage: PixelSum, low: IrValue, high: IrValue) -> None:
    """Write the sums of an expression over the pixels of each image."""
    with b.loop(low, high) as (image, _):

        def body(channel: Index, last: bool) -> None:
            def at(_: Index, row: Index, column: Index) -> list[IrValue]:
                spot = Spot(image, row, column, channel)
                return [_padded(b, stage, evaluate(b, addresses, stage.value, spot), last)]

            (total,) = over_pixels(b, stage.shape, 1, 1, at)
            b.store(total, addresses.tensor(stage.y), position(b, stage.y, Spot(image, 0, 0, channel)))

        over_channels(b, stage.y, body)


EMITTERS: Emitters = {Map: emit_map, PixelSum: emit_pixel_sum}
