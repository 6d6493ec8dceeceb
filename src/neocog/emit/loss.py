"""The loss of each image, or of each of its pixels, and its gradient, in one pass."""

from __future__ import annotations

from collections.abc import Callable

from neocog.emit.addresses import Addresses, pixel
from neocog.emit.builder import F32, I32, I64, PTR, Builder, Index, IrValue, float_bits
from neocog.emit.emitter import Emitters
from neocog.emit.slots import COUNT_SLOT, LOSS_WEIGHTS_SLOT, TARGET_KIND_SLOT, TARGET_LABELS, TARGETS_SLOT, WHOLE_SLOT
from neocog.emit.vector_math import absolute, at_least, exp, log
from neocog.nn.losses import BinaryCrossEntropy, CrossEntropy, MeanSquaredError
from neocog.plan.ops.loss import LossGradient, SliceLossGradient

ZERO = float_bits(0.0)


def emit_loss(b: Builder, addresses: Addresses, stage: LossGradient, low: IrValue, high: IrValue) -> None:
    """Write losses[n], the mean over an image's pixels, and d(mean loss) / d(logits) for images low ≤ n < high; images
    past the count get zeros.
    """
    if not isinstance(stage.loss, CrossEntropy):
        _emit_images(b, addresses, stage, low, high, labels=False)
        return
    are_labels = b.ir.icmp_signed("==", addresses.argument(TARGET_KIND_SLOT, I64), b.index(TARGET_LABELS))
    with b.ir.if_else(are_labels) as (labels, rows):
        with labels:
            _emit_images(b, addresses, stage, low, high, labels=True)
        with rows:
            _emit_images(b, addresses, stage, low, high, labels=False)


def _emit_images(
    b: Builder, addresses: Addresses, stage: LossGradient, low: IrValue, high: IrValue, *, labels: bool
) -> None:
    """Write the same where targets are class labels, or rows of values."""
    count = addresses.argument(COUNT_SLOT, I64)
    losses, pixels = addresses.tensor(stage.losses), stage.logits.height * stage.logits.width
    of_mean = addresses.argument(WHOLE_SLOT, I64) if isinstance(stage, SliceLossGradient) else count
    share = b.ir.fdiv(float_bits(1.0), b.ir.sitofp(b.mul(of_mean, pixels), F32))
    with b.loop(low, high) as (image, _), b.ir.if_else(b.less(image, count)) as (inside, past):
        with inside:
            if pixels == 1:
                x, dx = _addresses(b, addresses, stage, image, 0)
                total = _pixel_loss(b, addresses, stage, image, x, dx, share, labels=labels)
            else:
                with b.loop(0, pixels, [ZERO]) as (number, sums):
                    target = b.add(b.mul(image, pixels), number)
                    x, dx = _addresses(b, addresses, stage, image, number)
                    loss = _pixel_loss(b, addresses, stage, target, x, dx, share, labels=labels)
                    sums[0] = b.ir.fadd(sums[0], loss)
                total = b.ir.fmul(sums[0], float_bits(1.0 / pixels))
            b.store_scalar(total, losses, image)
        with past, b.loop(0, pixels) as (number, _):
            _, dx = _addresses(b, addresses, stage, image, number)
            with b.loop(0, stage.logits.channels) as (k, _):
                b.store_scalar(ZERO, dx, k)


def _addresses(
    b: Builder, addresses: Addresses, stage: LossGradient, image: Index, number: Index
) -> tuple[IrValue, IrValue]:
    """Return where the logits of a pixel lie, and their gradient."""
    row, column = b.divmod(number, stage.logits.width)
    x, dx = (
        b.at(addresses.tensor(tensor), pixel(b, tensor, image, row, column))
        for tensor in (stage.logits, stage.gradient)
    )
    return x, dx


def _pixel_loss(
    b: Builder,
    addresses: Addresses,
    stage: LossGradient,
    target: Index,
    x: IrValue,
    dx: IrValue,
    share: IrValue,
    *,
    labels: bool,
) -> IrValue:
    """Write the loss of one pixel, or of a vector: number `target` of all targets."""
    match stage.loss:
        case CrossEntropy() as loss:
            return _cross_entropy(b, addresses, stage, loss, target, x, dx, share, labels=labels)
        case BinaryCrossEntropy() as loss:
            return _binary_cross_entropy(b, addresses, stage, loss, target, x, dx, share)
        case MeanSquaredError():
            return _mean_squared_error(b, addresses, stage, target, x, dx, share)
        case other:
            raise AssertionError(f"no code for {other}")  # a new loss was declared but not emitted


def _row(b: Builder, addresses: Addresses, stage: LossGradient, target: Index) -> IrValue:
    """Return where a row of targets lies."""
    return b.at(addresses.argument(TARGETS_SLOT, PTR), b.mul(target, stage.logits.channels))


def _masses(
    b: Builder, addresses: Addresses, stage: LossGradient, loss: CrossEntropy, target: Index, *, labels: bool
) -> Callable[[IrValue], IrValue]:
    """Return a function that loads how much class k of a target counts: see `reference.loss.masses`."""
    even, rest = loss.label_smoothing / stage.logits.channels, 1.0 - loss.label_smoothing
    if labels:
        label = b.ir.sext(b.load_scalar(addresses.argument(TARGETS_SLOT, PTR), target, I32), I64)
    else:
        row = _row(b, addresses, stage, target)
    weights = addresses.argument(LOSS_WEIGHTS_SLOT, PTR) if loss.weights is not None else None

    def mass(k: IrValue) -> IrValue:
        if labels:
            value = b.ir.select(b.ir.icmp_signed("==", k, label), float_bits(rest + even), float_bits(even))
        else:
            value = b.load_scalar(row, k)
            if even:
                value = b.ir.fadd(b.ir.fmul(value, float_bits(rest)), float_bits(even))
        return value if weights is None else b.ir.fmul(value, b.load_scalar(weights, k))

    return mass


def _cross_entropy(
    b: Builder,
    addresses: Addresses,
    stage: LossGradient,
    loss: CrossEntropy,
    target: Index,
    x: IrValue,
    dx: IrValue,
    share: IrValue,
    *,
    labels: bool,
) -> IrValue:
    """Write Σ m · (log Σ exp(x) - x), and its gradient softmax · Σ m - m, times the share, with the masses m."""
    classes, mass = stage.logits.channels, _masses(b, addresses, stage, loss, target, labels=labels)
    with b.loop(0, classes, [float_bits(float("-inf"))]) as (k, top):
        logit = b.load_scalar(x, k)
        top[0] = b.ir.select(b.ir.fcmp_ordered(">", logit, top[0]), logit, top[0])
    with b.loop(0, classes, [ZERO, ZERO, ZERO]) as (k, sums):
        shifted, m = b.ir.fsub(b.load_scalar(x, k), top[0]), mass(k)
        power = exp(b, shifted)
        b.store_scalar(power, dx, k)
        sums[0] = b.ir.fadd(sums[0], power)
        counts = b.ir.fcmp_unordered("!=", m, ZERO)  # what does not count may be -∞ here
        sums[1] = b.ir.fadd(sums[1], b.ir.select(counts, b.ir.fmul(m, shifted), ZERO))
        sums[2] = b.ir.fadd(sums[2], m)
    # A smoothed label has the mass 1, whatever its parts add up to in float32.
    whole = None if labels and loss.weights is None else sums[2]
    logarithm, scale = log(b, sums[0]), b.ir.fdiv(float_bits(1.0), sums[0])
    with b.loop(0, classes) as (k, _):
        probability = b.ir.fmul(b.load_scalar(dx, k), scale)
        probability = probability if whole is None else b.ir.fmul(probability, whole)
        b.store_scalar(b.ir.fmul(b.ir.fsub(probability, mass(k)), share), dx, k)
    return b.ir.fsub(logarithm if whole is None else b.ir.fmul(logarithm, whole), sums[1])


def _binary_cross_entropy(
    b: Builder,
    addresses: Addresses,
    stage: LossGradient,
    loss: BinaryCrossEntropy,
    target: Index,
    x: IrValue,
    dx: IrValue,
    share: IrValue,
) -> IrValue:
    """Write the mean of (1 - y) · softplus(x) + P · y · softplus(-x), and (1 - y) · sigmoid(x) - P · y · sigmoid(-x),
    with the targets y and the weights P of labels.
    """
    outputs, row, one = stage.logits.channels, _row(b, addresses, stage, target), float_bits(1.0)
    weights = addresses.argument(LOSS_WEIGHTS_SLOT, PTR) if loss.pos_weight is not None else None
    slope = b.ir.fmul(share, float_bits(1.0 / outputs))
    with b.loop(0, outputs, [ZERO]) as (k, total):
        logit, yes = b.load_scalar(x, k), b.load_scalar(row, k)
        no = b.ir.fsub(one, yes)
        yes = yes if weights is None else b.ir.fmul(yes, b.load_scalar(weights, k))
        small = exp(b, b.ir.fneg(absolute(b, logit)))  # never above 1
        both = b.ir.fadd(one, small)
        # log(1 + small), with what was lost where 1 was added
        lost = b.ir.fdiv(b.ir.fsub(small, b.ir.fsub(both, one)), both)
        rest = b.ir.fadd(log(b, both), lost)
        above = b.ir.fadd(at_least(b, logit, 0.0), rest)
        below = b.ir.fadd(at_least(b, b.ir.fneg(logit), 0.0), rest)
        total[0] = b.ir.fadd(total[0], b.ir.fadd(b.ir.fmul(no, above), b.ir.fmul(yes, below)))
        positive = b.ir.fcmp_ordered(">=", logit, ZERO)
        likely, unlikely = b.ir.fdiv(one, both), b.ir.fdiv(small, both)
        of_yes, of_no = b.ir.select(positive, likely, unlikely), b.ir.select(positive, unlikely, likely)
        gradient = b.ir.fsub(b.ir.fmul(no, of_yes), b.ir.fmul(yes, of_no))
        b.store_scalar(b.ir.fmul(gradient, slope), dx, k)
    return b.ir.fmul(total[0], float_bits(1.0 / outputs))


def _mean_squared_error(
    b: Builder, addresses: Addresses, stage: LossGradient, image: Index, x: IrValue, dx: IrValue, share: IrValue
) -> IrValue:
    outputs, target = stage.logits.channels, _row(b, addresses, stage, image)
    slope = b.ir.fmul(share, float_bits(2.0 / outputs))
    with b.loop(0, outputs, [ZERO]) as (k, total):
        logit = b.load_scalar(x, k)
        error = b.ir.fsub(logit, b.load_scalar(target, k))
        total[0] = b.ir.fadd(total[0], b.ir.fmul(error, error))
        b.store_scalar(b.ir.fmul(error, slope), dx, k)
    return b.ir.fmul(total[0], float_bits(1.0 / outputs))


EMITTERS: Emitters = {LossGradient: emit_loss, SliceLossGradient: emit_loss}
