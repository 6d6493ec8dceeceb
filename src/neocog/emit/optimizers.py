"""The optimizers as machine code: one step of a vector of parameters, by the formulas of nn/optimizers.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from neocog.emit.builder import Builder, IrValue
from neocog.nn.groups import Penalty
from neocog.nn.optimizers import (
    LAMB,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    Lookahead,
    Muon,
    NAdam,
    Optimizer,
    RMSprop,
)

Kept = Mapping[str, IrValue]
Found = tuple[IrValue, dict[str, IrValue]]
DirectionEmitter = Callable[..., Found]
"""Takes (builder, optimizer, weight, gradient, memory, scalars), all vectors but for the first two, the memory by name,
and gives the direction and the memory after the step. `scalars` are those of `Optimizer.scalars`.
"""


def direction(
    b: Builder, optimizer: Optimizer, w: IrValue, g: IrValue, memory: Kept, scalars: Sequence[IrValue]
) -> Found:
    """Return where an optimizer goes from w, and what it keeps."""
    if isinstance(optimizer, Lookahead):
        return direction(b, optimizer.optimizer, w, g, memory, scalars)
    if optimizer.weight_decay and not (optimizer.decoupled or isinstance(optimizer, LAMB)):
        g = b.multiply_add(b.splat(optimizer.weight_decay), w, g)
    return RULES[type(optimizer)](b, optimizer, w, g, memory, scalars)


def moved(
    b: Builder,
    optimizer: Optimizer,
    w: IrValue,
    step: IrValue,
    rate: IrValue,
    slow: IrValue | None,
    scalars: Sequence[IrValue],
) -> tuple[IrValue, IrValue | None]:
    """Return w after a step along a direction, and the slow weights that Lookahead keeps."""
    if isinstance(optimizer, Lookahead):
        assert slow is not None
        fast, _ = moved(b, optimizer.optimizer, w, step, rate, None, scalars)
        *_, begins, share = scalars
        meets = b.ir.fcmp_ordered(">", share, b.splat(0.0))
        slow = b.ir.select(b.ir.fcmp_ordered(">", begins, b.splat(0.5)), w, slow)
        met = b.multiply_add(share, b.ir.fsub(fast, slow), slow)
        return b.ir.select(meets, met, fast), b.ir.select(meets, met, slow)
    if optimizer.decoupled and optimizer.weight_decay:
        w = b.ir.fsub(w, b.ir.fmul(b.ir.fmul(rate, b.splat(optimizer.weight_decay)), w))
    return b.ir.fsub(w, b.ir.fmul(rate, step)), None


def penalised(b: Builder, penalty: Penalty, w: IrValue, g: IrValue) -> IrValue:
    """Return the gradient of the loss and a penalty on the size of w."""
    if penalty.l1:
        l1, zero = b.splat(penalty.l1), b.splat(0.0)
        sign = b.ir.select(b.ir.fcmp_ordered(">", w, zero), l1, zero)
        g = b.ir.fadd(g, b.ir.select(b.ir.fcmp_ordered("<", w, zero), b.splat(-penalty.l1), sign))
    return b.multiply_add(b.splat(penalty.l2), w, g) if penalty.l2 else g


def _running(b: Builder, share: float, mean: IrValue, x: IrValue) -> IrValue:
    """Return share · mean + (1 - share) · x."""
    return b.multiply_add(b.splat(share), mean, b.ir.fmul(b.splat(1.0 - share), x))


def _running_square(b: Builder, share: float, square: IrValue, x: IrValue) -> IrValue:
    squared = b.ir.fmul(b.ir.fmul(b.splat(1.0 - share), x), x)
    return b.multiply_add(b.splat(share), square, squared)


def _root(b: Builder, x: IrValue) -> IrValue:
    return b.intrinsic("llvm.sqrt", b.vector, x)


def _sgd(b: Builder, optimizer: SGD, w: IrValue, g: IrValue, memory: Kept, scalars: Sequence[IrValue]) -> Found:
    if not optimizer.momentum:
        return g, {}
    momentum = b.splat(optimizer.momentum)
    v = b.multiply_add(momentum, memory["momentum"], g)
    return b.multiply_add(momentum, v, g) if optimizer.nesterov else v, {"momentum": v}


def _means(b: Builder, optimizer: Adam, g: IrValue, memory: Kept) -> dict[str, IrValue]:
    return {
        "mean": _running(b, optimizer.beta1, memory["mean"], g),
        "square": _running_square(b, optimizer.beta2, memory["square"], g),
    }


def _adam(b: Builder, optimizer: Adam, w: IrValue, g: IrValue, memory: Kept, scalars: Sequence[IrValue]) -> Found:
    after, (of_mean, of_root, *_) = _means(b, optimizer, g, memory), scalars
    root = b.ir.fdiv(_root(b, after["square"]), of_root)
    return b.ir.fdiv(b.ir.fdiv(after["mean"], of_mean), b.ir.fadd(root, b.splat(optimizer.epsilon))), after


def _nadam(b: Builder, optimizer: NAdam, w: IrValue, g: IrValue, memory: Kept, scalars: Sequence[IrValue]) -> Found:
    after, (of_gradient, of_mean, of_root, *_) = _means(b, optimizer, g, memory), scalars
    root = b.ir.fdiv(_root(b, after["square"]), of_root)
    ahead = b.multiply_add(of_gradient, g, b.ir.fmul(of_mean, after["mean"]))
    return b.ir.fdiv(ahead, b.ir.fadd(root, b.splat(optimizer.epsilon))), after


def _lamb(b: Builder, optimizer: LAMB, w: IrValue, g: IrValue, memory: Kept, scalars: Sequence[IrValue]) -> Found:
    step, after = _adam(b, optimizer, w, g, memory, scalars)
    decay = optimizer.weight_decay
    return b.multiply_add(b.splat(decay), w, step) if decay else step, after


def _rmsprop(b: Builder, optimizer: RMSprop, w: IrValue, g: IrValue, memory: Kept, scalars: Sequence[IrValue]) -> Found:
    square = _running_square(b, optimizer.smoothing, memory["square"], g)
    step = b.ir.fdiv(g, b.ir.fadd(_root(b, square), b.splat(optimizer.epsilon)))
    if not optimizer.momentum:
        return step, {"square": square}
    v = b.multiply_add(b.splat(optimizer.momentum), memory["momentum"], step)
    return v, {"square": square, "momentum": v}


def _adagrad(b: Builder, optimizer: Adagrad, w: IrValue, g: IrValue, memory: Kept, scalars: Sequence[IrValue]) -> Found:
    square = b.multiply_add(g, g, memory["square"])
    return b.ir.fdiv(g, b.ir.fadd(_root(b, square), b.splat(optimizer.epsilon))), {"square": square}


def _adadelta(
    b: Builder, optimizer: Adadelta, w: IrValue, g: IrValue, memory: Kept, scalars: Sequence[IrValue]
) -> Found:
    epsilon, square = b.splat(optimizer.epsilon), _running_square(b, optimizer.smoothing, memory["square"], g)
    past, now = (_root(b, b.ir.fadd(value, epsilon)) for value in (memory["moved"], square))
    step = b.ir.fmul(b.ir.fdiv(past, now), g)
    return step, {"square": square, "moved": _running_square(b, optimizer.smoothing, memory["moved"], step)}


def _muon(b: Builder, optimizer: Muon, w: IrValue, g: IrValue, memory: Kept, scalars: Sequence[IrValue]) -> Found:
    """The momentum alone: what makes it orthogonal is in plan/lower/directions.py."""
    v = _running(b, optimizer.momentum, memory["momentum"], g)
    return _running(b, optimizer.momentum, v, g) if optimizer.nesterov else v, {"momentum": v}


RULES: dict[type, DirectionEmitter] = {
    SGD: _sgd,
    Adam: _adam,
    AdamW: _adam,
    NAdam: _nadam,
    LAMB: _lamb,
    RMSprop: _rmsprop,
    Adagrad: _adagrad,
    Adadelta: _adadelta,
    Muon: _muon,
}
"""How each finds its direction; Lookahead has that of the one within."""
