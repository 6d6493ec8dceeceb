"""The loss of each image, or of each of its pixels, and its gradient, in one pass."""

from __future__ import annotations

from neocog.emit.builder import F32, I32, I64, PTR, Builder, Index, Value, float_bits
from neocog.emit.emitter import Emitters
from neocog.emit.memory import Memory, pixel
from neocog.emit.slots import COUNT_SLOT, TARGETS_SLOT
from neocog.emit.vector_math import exp, log
from neocog.nn.losses import CrossEntropy, MeanSquaredError
from neocog.plan.ops.loss import LossGradient


def emit_loss(b: Builder, memory: Memory, stage: LossGradient, low: Value, high: Value) -> None:
    """Write losses[n], the mean over an image's pixels, and d(mean loss) / d(logits) for images low ≤ n < high; images
    past the count get zeros.
    """
    count = memory.argument(COUNT_SLOT, I64)
    losses, pixels = memory.tensor(stage.losses), stage.logits.height * stage.logits.width
    share = b.ir.fdiv(float_bits(1.0), b.ir.sitofp(b.mul(count, pixels), F32))
    with b.loop(low, high) as (image, _), b.ir.if_else(b.less(image, count)) as (inside, past):
        with inside:
            if pixels == 1:
                total = _pixel_loss(b, memory, stage, image, *_addresses(b, memory, stage, image, 0), share)
            else:
                with b.loop(0, pixels, [float_bits(0.0)]) as (number, sums):
                    target = b.add(b.mul(image, pixels), number)
                    x, dx = _addresses(b, memory, stage, image, number)
                    sums[0] = b.ir.fadd(sums[0], _pixel_loss(b, memory, stage, target, x, dx, share))
                total = b.ir.fmul(sums[0], float_bits(1.0 / pixels))
            b.store_scalar(total, losses, image)
        with past, b.loop(0, pixels) as (number, _):
            _, dx = _addresses(b, memory, stage, image, number)
            with b.loop(0, stage.logits.channels) as (k, _):
                b.store_scalar(float_bits(0.0), dx, k)


def _addresses(b: Builder, memory: Memory, stage: LossGradient, image: Index, number: Index) -> tuple[Value, Value]:
    """Return where the logits of a pixel lie, and their gradient."""
    row, column = b.divmod(number, stage.logits.width)
    x, dx = (
        b.at(memory.tensor(tensor), pixel(b, tensor, image, row, column)) for tensor in (stage.logits, stage.gradient)
    )
    return x, dx


def _pixel_loss(
    b: Builder, memory: Memory, stage: LossGradient, target: Index, x: Value, dx: Value, share: Value
) -> Value:
    """Write the loss of one pixel, or of a vector: number `target` of all targets."""
    match stage.loss:
        case CrossEntropy(label_smoothing=smoothing):
            return _cross_entropy(b, memory, stage, target, x, dx, share, smoothing)
        case MeanSquaredError():
            return _mean_squared_error(b, memory, stage, target, x, dx, share)
        case other:
            raise AssertionError(f"no code for {other}")  # a new loss was declared but not emitted


def _cross_entropy(
    b: Builder, memory: Memory, stage: LossGradient, image: Index, x: Value, dx: Value, share: Value, smoothing: float
) -> Value:
    classes = stage.logits.channels
    label = b.ir.sext(b.load_scalar(memory.argument(TARGETS_SLOT, PTR), image, I32), I64)
    with b.loop(0, classes, [float_bits(float("-inf"))]) as (k, top):
        logit = b.load_scalar(x, k)
        top[0] = b.ir.select(b.ir.fcmp_ordered(">", logit, top[0]), logit, top[0])
    with b.loop(0, classes, [float_bits(0.0), float_bits(0.0)]) as (k, sums):
        shifted = b.ir.fsub(b.load_scalar(x, k), top[0])
        power = exp(b, shifted)
        b.store_scalar(power, dx, k)
        sums[0] = b.ir.fadd(sums[0], power)
        sums[1] = b.ir.fadd(sums[1], shifted)
    total = log(b, sums[0])
    even = smoothing / classes
    # softmax - target, target = (1 - smoothing) · one-hot + smoothing / classes; then the mean over the batch
    scale = b.ir.fdiv(float_bits(1.0), sums[0])
    with b.loop(0, classes) as (k, _):
        probability = b.ir.fmul(b.load_scalar(dx, k), scale)
        is_label = b.ir.icmp_signed("==", k, label)
        target = b.ir.select(is_label, float_bits(1.0 - smoothing + even), float_bits(even))
        value = b.ir.fmul(b.ir.fsub(probability, target), share)
        b.store_scalar(value, dx, k)
    of_label = b.ir.fsub(total, b.ir.fsub(b.load_scalar(x, label), top[0]))
    if not smoothing:
        return of_label
    of_all = b.ir.fsub(b.ir.fmul(total, float_bits(float(classes))), sums[1])
    return b.ir.fadd(b.ir.fmul(of_label, float_bits(1.0 - smoothing)), b.ir.fmul(of_all, float_bits(even)))


def _mean_squared_error(
    b: Builder, memory: Memory, stage: LossGradient, image: Index, x: Value, dx: Value, share: Value
) -> Value:
    outputs = stage.logits.channels
    target = b.at(memory.argument(TARGETS_SLOT, PTR), b.mul(image, outputs))
    slope = b.ir.fmul(share, float_bits(2.0 / outputs))
    with b.loop(0, outputs, [float_bits(0.0)]) as (k, total):
        logit = b.load_scalar(x, k)
        error = b.ir.fsub(logit, b.load_scalar(target, k))
        total[0] = b.ir.fadd(total[0], b.ir.fmul(error, error))
        b.store_scalar(b.ir.fmul(error, slope), dx, k)
    return b.ir.fmul(total[0], float_bits(1.0 / outputs))


EMITTERS: Emitters = {LossGradient: emit_loss}
