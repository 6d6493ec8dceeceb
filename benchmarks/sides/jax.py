"""JAX: the network as a pure function of arrays (N, H, W, C), compiled by XLA, with donated parameters.

JAX has no setting for its number of threads; it counts the processors that the process may use.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.rounds import Call
from benchmarks.sides import LEARNING_RATE, MOMENTUM, Task
from neocog.nn.graph import Graph, Node
from neocog.nn.layers import AvgPool2d, Conv2d, Flatten, Linear, MaxPool2d, ReLU
from neocog.nn.shapes import ImageShape
from neocog.nn.window import Window

Values = Mapping[str, Any]


def network(graph: Graph, values: Values, x: Any) -> Any:
    """Return the logits (N, outputs) of images; `values` are the parameters, in memory layout."""
    for node in graph.nodes:
        x = _layer(node, values, x)
    return x


def _layer(node: Node, values: Values, x: Any) -> Any:
    layer, shape = node.layer, node.input
    bias = values.get(f"{node.name}.bias", 0.0)
    if isinstance(layer, ReLU):
        return jnp.maximum(x, 0.0)
    if isinstance(layer, Flatten):
        return x.reshape(len(x), -1)
    if isinstance(layer, Linear):
        return x @ values[f"{node.name}.weight"] + bias
    if isinstance(layer, Conv2d) and isinstance(shape, ImageShape):
        window = layer.window_over(shape)
        axes = (window.vertical, window.horizontal)
        convolved = jax.lax.conv_general_dilated(
            x,
            values[f"{node.name}.weight"],
            [axis.stride for axis in axes],
            [(axis.before, axis.after) for axis in axes],
            rhs_dilation=[axis.dilation for axis in axes],
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return convolved + bias
    if isinstance(layer, MaxPool2d) and isinstance(shape, ImageShape):
        return _reduce(x, -np.inf, jax.lax.max, layer.window_over(shape))
    if isinstance(layer, AvgPool2d) and isinstance(shape, ImageShape):
        window = layer.window_over(shape)
        return _reduce(x, 0.0, jax.lax.add, window) / window.cells
    raise NotImplementedError(f"{node.title} is not written for JAX here")


def _reduce(x: Any, start: float, rule: Any, window: Window) -> Any:
    axes = (window.vertical, window.horizontal)
    sizes = (1, *(axis.kernel for axis in axes), 1)
    strides = (1, *(axis.stride for axis in axes), 1)
    padding = ((0, 0), *((axis.before, axis.after) for axis in axes), (0, 0))
    return jax.lax.reduce_window(x, start, rule, sizes, strides, padding)


def train(task: Task) -> Call:
    """Make a training step."""
    images, labels = jnp.asarray(task.images), jnp.asarray(task.labels)

    def mean_loss(values: Values, images: Any, labels: Any) -> Any:
        logits = jax.nn.log_softmax(network(task.graph, values, images))
        return -jnp.take_along_axis(logits, labels[:, None], axis=1).mean()

    def update(values: Values, moments: Values, images: Any, labels: Any) -> tuple[Any, Values, Values]:
        loss, gradients = jax.value_and_grad(mean_loss)(values, images, labels)
        moments = {name: MOMENTUM * moments[name] + gradients[name] for name in values}
        return loss, {name: values[name] - LEARNING_RATE * moments[name] for name in values}, moments

    compiled = jax.jit(update, donate_argnums=(0, 1))
    values: Values = {name: jnp.array(value) for name, value in task.parameters.items()}
    moments: Values = {name: jnp.zeros_like(value) for name, value in values.items()}

    def step() -> float:
        nonlocal values, moments
        loss, values, moments = compiled(values, moments, images, labels)
        return float(loss)

    return step


def answer(task: Task) -> Call:
    """Make a prediction."""
    compiled = jax.jit(partial(network, task.graph))
    values = {name: jnp.array(value) for name, value in task.parameters.items()}
    images = jnp.asarray(task.images)
    return lambda: np.asarray(compiled(values, images))


TRAINING = {"JAX": train}
INFERENCE = {"JAX": answer}
