"""The optimizers as machine code: one step of a vector of parameters, by the formulas of nn/optimizers.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from neocog.emit.builder import Builder, Value
from neocog.nn.optimizers import SGD, Adam, AdamW, RMSprop

UpdateEmitter = Callable[..., tuple[Value, list[Value]]]
"""Takes (builder, optimizer, weight, gradient, memory, rate, scalars), all vectors but for the first two, and gives the
weight and the memory after the step. `scalars` are those of `Optimizer.scalars`.
"""


def _decayed(b: Builder, weight_decay: float, w: Value, g: Value) -> Value:
    """Return the gradient of the loss and of a penalty on the squares of the weights."""
    return b.multiply_add(b.splat(weight_decay), w, g) if weight_decay else g


def _sgd(
    b: Builder, optimizer: SGD, w: Value, g: Value, memory: Sequence[Value], rate: Value, scalars: Sequence[Value]
) -> tuple[Value, list[Value]]:
    g = _decayed(b, optimizer.weight_decay, w, g)
    if not optimizer.momentum:
        return b.ir.fsub(w, b.ir.fmul(rate, g)), []
    momentum = b.splat(optimizer.momentum)
    v = b.multiply_add(momentum, memory[0], g)
    step = b.multiply_add(momentum, v, g) if optimizer.nesterov else v
    return b.ir.fsub(w, b.ir.fmul(rate, step)), [v]


def _adam(
    b: Builder, optimizer: Adam, w: Value, g: Value, memory: Sequence[Value], rate: Value, scalars: Sequence[Value]
) -> tuple[Value, list[Value]]:
    decay = optimizer.weight_decay
    if isinstance(optimizer, AdamW):
        if decay:
            w = b.ir.fsub(w, b.ir.fmul(b.ir.fmul(rate, b.splat(decay)), w))
    else:
        g = _decayed(b, decay, w, g)
    mean, square = memory
    mean = b.multiply_add(b.splat(optimizer.beta1), mean, b.ir.fmul(b.splat(1.0 - optimizer.beta1), g))
    squared = b.ir.fmul(b.ir.fmul(b.splat(1.0 - optimizer.beta2), g), g)
    square = b.multiply_add(b.splat(optimizer.beta2), square, squared)
    of_mean, of_root = scalars
    root = b.ir.fdiv(b.intrinsic("llvm.sqrt", b.vector, square), of_root)
    step = b.ir.fdiv(b.ir.fdiv(mean, of_mean), b.ir.fadd(root, b.splat(optimizer.epsilon)))
    return b.ir.fsub(w, b.ir.fmul(rate, step)), [mean, square]


def _rmsprop(
    b: Builder, optimizer: RMSprop, w: Value, g: Value, memory: Sequence[Value], rate: Value, scalars: Sequence[Value]
) -> tuple[Value, list[Value]]:
    g = _decayed(b, optimizer.weight_decay, w, g)
    squared = b.ir.fmul(b.ir.fmul(b.splat(1.0 - optimizer.smoothing), g), g)
    square = b.multiply_add(b.splat(optimizer.smoothing), memory[0], squared)
    root = b.intrinsic("llvm.sqrt", b.vector, square)
    step = b.ir.fdiv(g, b.ir.fadd(root, b.splat(optimizer.epsilon)))
    if not optimizer.momentum:
        return b.ir.fsub(w, b.ir.fmul(rate, step)), [square]
    v = b.multiply_add(b.splat(optimizer.momentum), memory[1], step)
    return b.ir.fsub(w, b.ir.fmul(rate, v)), [square, v]


RULES: dict[type, UpdateEmitter] = {SGD: _sgd, Adam: _adam, AdamW: _adam, RMSprop: _rmsprop}
