"""What drops, moves and joins."""

from __future__ import annotations

import numpy as np

from neocog.nn.layers import (
    Add,
    ChannelShuffle,
    Concatenate,
    Dropout,
    Dropout2d,
    DropPath,
    Flatten,
    Layer,
    Multiply,
    PixelShuffle,
    Slice,
    Upsample,
)
from neocog.nn.window import pair
from neocog.reference import dropout, join, resizing
from neocog.reference.network import backward_node, forward_node
from rounding.rule import Back, Mass, Rule, Stray, Use, gamma
from rounding.weighted import roundings_back


def _dropping_forward(use: Use) -> Stray:
    if use.choice is None:
        return Stray(use.e, use.masses[0])
    scaled = dropout.forward(use.e, use.choice, use.layer)
    return Stray(scaled + gamma(2) * dropout.forward(use.sizes[0], use.choice, use.layer))


def _dropping_backward(use: Use, dy: np.ndarray, e_dy: np.ndarray) -> Back:
    if use.choice is None:
        return Back((e_dy,))
    scaled = dropout.backward(use.choice, e_dy, use.layer)
    return Back((scaled + gamma(2) * dropout.backward(use.choice, np.abs(dy) + e_dy, use.layer),))


def _flatten_forward(use: Use) -> Stray:
    mass = use.masses[0]
    return Stray(use.e.reshape(len(use.e), -1), Mass(mass.size.reshape(len(use.e), -1), mass.roundings))


def _add_forward(use: Use) -> Stray:
    """Allow a sum that starts from one of the inputs and adds the terms of the others to it."""
    total = sum(mass.size for mass in use.masses)
    roundings = max(mass.roundings for mass in use.masses) + len(use.inputs)
    whole = sum(use.sizes)
    error = sum(use.errors) + gamma(roundings) * whole + gamma(len(use.inputs)) * total
    return Stray(error, Mass(total, roundings))


def _multiply_forward(use: Use) -> Stray:
    total = join.product(use.sizes)
    return Stray(total - join.product([np.abs(x) for x in use.inputs]) + gamma(len(use.inputs)) * total)


def _multiply_backward(use: Use, dy: np.ndarray, e_dy: np.ndarray) -> Back:
    totals = join.multiply_backward(use.sizes, np.abs(dy) + e_dy)
    exact = join.multiply_backward([np.abs(x) for x in use.inputs], np.abs(dy))
    rounding = gamma(len(use.inputs) + roundings_back(use.node))
    return Back(tuple(total - plain + rounding * total for total, plain in zip(totals, exact, strict=True)))


def _add_backward(use: Use, dy: np.ndarray, e_dy: np.ndarray) -> Back:
    """Follow the sums over the pixels that an image of one pixel stands for; else nothing is computed."""
    rounding = gamma(roundings_back(use.node))
    sent = []
    for place, x in enumerate(use.inputs):
        total = join.summed(np.abs(dy) + e_dy, x) if use.node.is_pixel(place) else 0
        sent.append(join.summed(e_dy, x) + rounding * total)
    return Back(tuple(sent))


def _concatenate_forward(use: Use) -> Stray:
    mass = Mass(np.concatenate([m.size for m in use.masses], -1), max(m.roundings for m in use.masses))
    return Stray(np.concatenate(use.errors, axis=-1), mass)


def _moved(use: Use, values: np.ndarray) -> np.ndarray:
    """Move the values of an input as the layer moves it."""
    return forward_node(use.node, use.parameters, (values,), None).output


def _moved_forward(use: Use) -> Stray:
    mass = use.masses[0]
    return Stray(_moved(use, use.e), Mass(_moved(use, mass.size), mass.roundings))


def _moved_backward(use: Use, dy: np.ndarray, e_dy: np.ndarray) -> Back:
    return Back(backward_node(use.node, use.parameters, use.inputs, use.choice, e_dy, None).inputs)


def _strayed_shares(inputs: int, scale: int) -> np.ndarray:
    """Bound the shares of a bilinear enlargement as engines may compute them, each on its own.

    The middle of output p, (p + 1/2) / scale - 1/2, takes three roundings of numbers up to `inputs`. A share strays by
    what that does, where the pixel is within a pixel of it.
    """
    places = np.clip((np.arange(inputs * scale) + 0.5) / scale - 0.5, 0, inputs - 1)
    near = np.abs(places[:, None] - np.arange(inputs)) <= 1
    return resizing.shares(inputs, scale, "bilinear") + gamma(3) * (inputs + 1) * near


def _strayed(use: Use, formula: str, values: np.ndarray) -> np.ndarray:
    """Enlarge values, or take their gradient back, with such shares of rows and columns."""
    sides, scales = use.x.shape[1:3], pair(use.layer.scale)
    return np.einsum(formula, *map(_strayed_shares, sides, scales), values)


def _upsample_forward(use: Use) -> Stray:
    if use.layer.mode == "nearest":
        return _moved_forward(use)
    most = _strayed(use, "pi,qj,nijc->npqc", use.sizes[0])  # of the sum; the shares and the sum are rounded, too
    return Stray(_moved(use, use.e) + most - _moved(use, use.sizes[0]) + gamma(9) * most)


def _upsample_backward(use: Use, dy: np.ndarray, e_dy: np.ndarray) -> Back:
    size, layer = np.abs(dy) + e_dy, use.layer
    passed, sent = (resizing.backward(use.x, values, layer) for values in (e_dy, size))
    rows, columns = pair(layer.scale)
    if layer.mode == "nearest":
        return Back((passed + gamma(rows * columns) * sent,))
    most = _strayed(use, "pi,qj,npqc->nijc", size)
    return Back((passed + most - sent + gamma(4 * rows * columns + 6) * most,))  # of 2 · rows by 2 · columns outputs


RULES: dict[type[Layer], Rule] = {
    **dict.fromkeys((Dropout, Dropout2d, DropPath), Rule(_dropping_forward, _dropping_backward)),
    Flatten: Rule(_flatten_forward, lambda use, dy, e_dy: Back((e_dy.reshape(use.x.shape),))),
    Add: Rule(_add_forward, _add_backward),
    Multiply: Rule(_multiply_forward, _multiply_backward),
    **dict.fromkeys((Slice, ChannelShuffle, PixelShuffle), Rule(_moved_forward, _moved_backward)),
    Upsample: Rule(_upsample_forward, _upsample_backward),
    Concatenate: Rule(
        _concatenate_forward,
        lambda use, dy, e_dy: Back(join.split(e_dy, [x.shape[-1] for x in use.inputs])),
    ),
}
