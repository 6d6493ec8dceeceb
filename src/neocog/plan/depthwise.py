"""A depthwise convolution and its two gradients, each written as one op."""

from __future__ import annotations

from neocog.nn.window import Window, WindowAxis
from neocog.plan.correlation import Correlation, phases
from neocog.plan.layout import Operand, Tensor
from neocog.plan.ops.depthwise import Depthwise, DepthwiseGradient, Sweep, forward_sweep
from neocog.plan.ops.epilogue import Epilogue
from neocog.target.processor import Target

MOST_TOGETHER = 8  # pixels in registers: so many independent sums keep the multipliers busy
FEWEST_TOGETHER = 4
BESIDES = 3  # registers for what is neither a sum nor a tap: an input, and what an epilogue needs
LEAST_ITEMS = 16  # where a stage has the whole batch, and threads share it


def forward(layer: Correlation, target: Target, *, epilogue: Epilogue = (), shared: bool = False) -> Depthwise:
    """y = x correlated with the weights, channel by channel, + bias, then the epilogue.

    Arguments:
        layer: with its operands.
        target: the processor.
        epilogue: what happens to complete sums.
        shared: whether threads share the op, rather than the blocks of a chain.
    """
    rows, columns = forward_sweep(layer.window.vertical), forward_sweep(layer.window.horizontal)
    bias = layer.bias.begin if layer.bias else None
    name = f"{layer.title} forward"
    return _op(name, layer, layer.x, layer.y, (rows,), (columns,), bias, epilogue, target, shared=shared)


def input_gradient(
    layer: Correlation, dy: Tensor, dx: Tensor, target: Target, epilogue: Epilogue = (), *, shared: bool = False
) -> Depthwise:
    """dx = dy correlated with the transposed filters: as many sweeps over it as the stride has remainders."""
    rows, columns = _sweeps_back(layer.window.vertical), _sweeps_back(layer.window.horizontal)
    name = f"{layer.title} input gradient"
    return _op(name, layer, dy, dx, rows, columns, None, epilogue, target, shared=shared)


def _sweeps_back(axis: WindowAxis) -> tuple[Sweep, ...]:
    """Return how the gradient of a window's input is walked."""
    return tuple(
        Sweep(p.first, axis.stride, p.pixels, p.first_output, 1, p.first_tap, p.tap_step, p.taps, -p.output_step)
        for p in phases(axis)
    )


def _op(
    name: str,
    layer: Correlation,
    x: Tensor,
    y: Tensor,
    rows: tuple[Sweep, ...],
    columns: tuple[Sweep, ...],
    bias: Operand | None,
    epilogue: Epilogue,
    target: Target,
    *,
    shared: bool,
) -> Depthwise:
    iterations = max(sweep.pixels for sweep in rows)
    band = _band(iterations, x.bytes_each * x.row_step * max(sweep.stride for sweep in rows), target)
    if shared:
        band = min(band, -(-iterations // max(1, -(-LEAST_ITEMS // y.images))))
    together = _together(layer.taps, layer.window, target)
    width = layer.window.horizontal.kernel
    return Depthwise(name, x, y, rows, columns, width, layer.weights, bias, epilogue, band, together)


def _band(iterations: int, line: int, target: Target) -> int:
    """Choose how many rows to go through before the next vector of channels: such that they stay near until then.

    Arguments:
        iterations: rows in all.
        line: bytes that are read for each.
        target: the processor.
    """
    parts = -(-iterations // max(1, target.level2 // 4 // line))
    return -(-iterations // parts)


def _together(taps: int, window: Window, target: Target) -> int:
    """Choose how many pixels are worked on together: beside a filter, if it fits the registers, else beside a row."""
    free = target.registers - BESIDES
    if free - taps >= FEWEST_TOGETHER:
        return min(MOST_TOGETHER, free - taps)
    return max(1, min(MOST_TOGETHER, free - window.horizontal.kernel))


def weight_gradient(
    layer: Correlation,
    dy: Tensor,
    out: Operand,
    bias: Operand | None,
    target: Target,
    *,
    slices: int = 1,
    step: int = 0,
    accumulates: bool = False,
) -> DepthwiseGradient:
    """dW: for each tap x · dy, and the bias's gradient dy, added up over all pixels.

    Arguments:
        layer: with its operands.
        dy: gradient of its output.
        out, bias: where both gradients begin.
        target: the processor.
        slices, step, accumulates: see `DepthwiseGradient`.
    """
    vertical = layer.window.vertical
    band = _band(dy.height, dy.bytes_each * (layer.x.row_step * vertical.stride + dy.row_step), target)
    together = FEWEST_TOGETHER if target.fma else FEWEST_TOGETHER // 2  # a product takes a register, too
    return DepthwiseGradient(
        f"{layer.title} weight gradient",
        layer.x,
        dy,
        layer.window,
        out,
        bias,
        layer.weights.count,
        slices,
        step,
        accumulates,
        band,
        together,
        max(1, target.registers - together - BESIDES + 1),
    )
