"""What filters answer to many images: the layers up to a map, and no further."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from neocog.errors import DataError
from neocog.explain.subject import Subject
from neocog.explain.trace import Trace, following_relu, problems
from neocog.nn.graph import Graph, Node
from neocog.nn.layers import Conv2d, MaxPool2d, ReLU
from neocog.nn.shapes import ImageShape
from neocog.nn.window import Window
from neocog.reference.network import Run, forward, forward_node, normalise
from neocog.reference.taps import image_shape, taps

FEW = 4  # channels, up to which the taps of a window lie too far apart in memory to be copied one window at a time

Whole = NDArray[np.int64]
Pairs = tuple[Whole, Whole]
"""Filters (n,) and images (n,): which maps to look at."""


def response_index(graph: Graph, index: int) -> int:
    """Return the layer at which a filter's answer is read: the ReLU directly behind, if there is one, or itself."""
    relu = following_relu(graph, index)
    return index if relu is None else relu


def usable_parameters(model: Subject, last: int, dtype: type[np.floating[Any]]) -> dict[str, NDArray[Any]]:
    """Return the parameters of the layers up to number `last`: name → array, in memory layout.

    Raises:
        DataError: some are NaN or infinite; the message names the layer.
    """
    usable = {}
    for node in model.graph.nodes[: last + 1]:
        for name in (f"{node.name}.weight", f"{node.name}.bias"):
            if name not in model.parameters:
                continue
            values = model.parameters[name]
            bad = int(np.count_nonzero(~np.isfinite(values)))
            if bad:
                raise DataError(
                    f"{node.title} has {bad} values in {name} that are NaN or infinite: its maps mean nothing",
                    hint="the training diverged: train again with a smaller learning rate",
                )
            usable[name] = values.astype(dtype)
    return usable


def usable(traced: Trace) -> Trace:
    """Return a traced network if its logits are numbers.

    Raises:
        DataError: they are NaN or infinite; the message names the layer where that begins.
    """
    if np.isfinite(traced.logits).all():
        return traced
    cause = next(problem for problem in problems(traced) if problem.kind in ("nan", "infinite"))
    raise DataError(
        f"{cause.text}: the answer is no number", hint="the training diverged: train again with a smaller learning rate"
    )


def run_to(graph: Graph, parameters: Mapping[str, NDArray[Any]], images: NDArray[Any], last: int) -> Run:
    """Run the layers up to number `last` (-1: none) by the reference, in the dtype of the parameters.

    Arguments:
        graph: the network.
        parameters: at least those of the layers that are run.
        images: (N, H, W, C), uint8 or in [0, 1].
        last: index of the last layer that is run.

    Returns:
        a run whose `outputs` end with that layer's; `neocog.reference.network.backward` goes back from there.
    """
    return forward(graph, parameters, images, last=last)


def quick_maps(
    graph: Graph, parameters: Mapping[str, NDArray[Any]], images: NDArray[Any], wanted: Mapping[int, Pairs]
) -> dict[int, NDArray[Any]]:
    """Return what some filters answer to some images, before the ReLU behind them, in the dtype of the parameters.

    The same sums as the reference's, several times as fast: a convolution is one matrix product, of the last one only
    the filters that are wanted are computed, and poolings keep no winners. Fastest with some 16 images at a time, which
    then stay in the processor's cache.

    Arguments:
        graph: the network.
        parameters: at least those of the layers that are run.
        images: (N, H, W, C), uint8 or in [0, 1].
        wanted: index of a convolution → filters (n,) and places in `images` (n,).

    Returns:
        index → (n, P, Q).
    """
    x = normalise(graph, images, np.result_type(*parameters.values()))
    maps, last, rectify = {}, max(wanted), False
    for node, behind in pairwise(graph.nodes[: last + 1]):
        if isinstance(node.layer, ReLU) and isinstance(behind.layer, MaxPool2d):
            rectify = True  # behind the pooling, where fewer values are left: the order makes no difference
            continue
        x = _quick_node(node, parameters, x)
        if rectify:
            np.maximum(x, 0, out=x)
            rectify = False
        if node.index in wanted:
            filters, places = wanted[node.index]
            maps[node.index] = x[places, :, :, filters]
    maps[last] = _single_filters(graph.nodes[last], parameters, x, *wanted[last])
    return maps


def _quick_node(node: Node, parameters: Mapping[str, NDArray[Any]], x: NDArray[Any]) -> NDArray[Any]:
    match node.layer:
        case Conv2d() as layer:
            weight, bias = _weights(node, parameters)
            y = _windows(x, layer) @ weight
            y += bias
            result: NDArray[Any] = y.reshape(len(x), *_sides(node), -1)
        case MaxPool2d() as layer:
            result = _largest(x, layer)
        case ReLU():
            result = np.maximum(x, 0, out=x)
        case _:
            result = forward_node(node, parameters, (x,), None).output
    return result


def _single_filters(
    node: Node, parameters: Mapping[str, NDArray[Any]], x: NDArray[Any], filters: Whole, places: Whole
) -> NDArray[Any]:
    """Convolve some images with one filter each: (n, P, Q)."""
    assert isinstance(node.layer, Conv2d)
    weight, bias = _weights(node, parameters)
    windows = _windows(x, node.layer).reshape(len(x), -1, len(weight))
    maps = [windows[place] @ weight[:, filter] + bias[filter] for filter, place in zip(filters, places, strict=True)]
    return np.stack(maps).reshape(len(maps), *_sides(node))


def _weights(node: Node, parameters: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return a convolution's filters as a matrix (r · s · C, K), and its biases (K,)."""
    weight = parameters[f"{node.name}.weight"]
    filters = weight.shape[-1]
    return weight.reshape(-1, filters), parameters.get(f"{node.name}.bias", np.zeros(filters, weight.dtype))


def _sides(node: Node) -> tuple[int, int]:
    assert isinstance(node.output, ImageShape)
    return node.output.height, node.output.width


def _windows(x: NDArray[Any], layer: Conv2d) -> NDArray[Any]:
    """Lay every window of (N, H, W, C) out as a row: (N · P · Q, r · s · C)."""
    window = layer.window_over(image_shape(x))
    v, h = window.vertical, window.horizontal
    padded = _padded(x, window, 0.0)
    channels = x.shape[-1]
    if channels <= FEW:  # whole lines are copied, tap by tap, and the transposed matrix is handed on as it lies
        lines = np.empty((v.kernel, h.kernel, channels, len(x), v.output, h.output), x.dtype)
        for row, column, where in taps(window):
            lines[row, column] = np.moveaxis(padded[where], -1, 0)
        return lines.reshape(v.kernel * h.kernel * channels, -1).T
    windows = sliding_window_view(padded, (v.reach, h.reach), axis=(1, 2))
    windows = windows[:, :: v.stride, :: h.stride, :, :: v.dilation, :: h.dilation]  # (N, P, Q, C, r, s)
    return windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, v.kernel * h.kernel * channels)


def _largest(x: NDArray[Any], layer: MaxPool2d) -> NDArray[Any]:
    window = layer.window_over(image_shape(x))
    padded = _padded(x, window, -np.inf)  # padding never wins
    first, *others = (padded[where] for _, _, where in taps(window))
    best: NDArray[Any] = first.copy()
    for other in others:
        np.maximum(best, other, out=best)
    return best


def _padded(x: NDArray[Any], window: Window, value: float) -> NDArray[Any]:
    v, h = window.vertical, window.horizontal
    if not (v.before or v.after or h.before or h.after):
        return x  # np.pad would copy it
    return np.pad(x, ((0, 0), (v.before, v.after), (h.before, h.after), (0, 0)), constant_values=value)
