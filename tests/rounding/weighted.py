"""Sums of products: convolutions and fully connected layers."""

from __future__ import annotations

import numpy as np

from neocog.nn.graph import Node
from neocog.nn.layers import Conv2d, ConvTranspose2d, Layer, Linear
from neocog.reference import conv, linear, transposed
from rounding.rule import Back, Mass, Rule, Stray, Use, gamma


def _weighted(layer: Layer, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    if isinstance(layer, Conv2d):
        return conv.forward(x, weight, layer, bias)
    if isinstance(layer, ConvTranspose2d):
        return transposed.forward(x, weight, layer, bias)
    return linear.forward(x, weight, bias)


def _weighted_forward(use: Use) -> Stray:
    weight, bias = np.abs(use.parameters["weight"]), use.parameters.get("bias")
    # A transposed convolution has its outputs in the last axis but one.
    terms = weight.size // weight.shape[-2 if isinstance(use.layer, ConvTranspose2d) else -1] + 1
    total = _weighted(use.layer, use.sizes[0], weight, None if bias is None else np.abs(bias))
    return Stray(_weighted(use.layer, use.e, weight) + gamma(terms) * total, Mass(total, terms))


def _weighted_backward(use: Use, dy: np.ndarray, e_dy: np.ndarray) -> Back:
    """Follow dx = sum w·dy, dw = sum x·dy and db = sum dy, whose factors x and dy both stray."""
    weight = np.abs(use.parameters["weight"])
    size = np.abs(dy) + e_dy

    def pull(values: np.ndarray, gradient: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if isinstance(use.layer, Conv2d):
            return conv.backward(values, weight, gradient, use.layer)
        if isinstance(use.layer, ConvTranspose2d):
            return transposed.backward(values, weight, gradient, use.layer)
        return linear.backward(values, weight, gradient)

    of_x, of_w, of_b = pull(np.abs(use.x), e_dy)
    _, of_w_by_x, _ = pull(use.e, size)
    total_x, total_w, total_b = pull(use.sizes[0], size)
    for_w = gamma(size[..., 0].size + 1)
    found = {"weight": of_w + of_w_by_x + for_w * total_w}
    if use.layer.bias:
        found["bias"] = of_b + for_w * total_b
    return Back((of_x + gamma(roundings_back(use.node)) * total_x,), found)


def roundings_back(node: Node) -> int:
    """Count the roundings of the sum that a layer sends back: to each input come all taps of its group's filters."""
    if any(node.is_pixel(place) for place in range(len(node.inputs))):
        return node.output.height * node.output.width + 1
    shape, inputs = node.weight_shape, -1 if isinstance(node.layer, ConvTranspose2d) else -2
    groups = node.layer.groups if isinstance(node.layer, Conv2d) else 1
    return int(np.prod(shape)) // (shape[inputs] * groups) + 2 if shape is not None else 1


RULES: dict[type[Layer], Rule] = {
    **dict.fromkeys((Conv2d, ConvTranspose2d, Linear), Rule(_weighted_forward, _weighted_backward)),
}
