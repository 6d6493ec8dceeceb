"""JAX: the network as a pure function of arrays (N, H, W, C), compiled by XLA, with donated parameters.

JAX has no setting for its number of threads; it counts the processors that the process may use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.rounds import Call
from benchmarks.sides import MOMENTUM, Task
from neocog.nn.graph import IMAGE, Graph, Node
from neocog.nn.layer import Layer
from neocog.nn.layers import (
    ELU,
    GELU,
    AdaptiveAvgPool2d,
    Add,
    AvgPool2d,
    BatchNorm2d,
    Concatenate,
    Conv2d,
    Flatten,
    GlobalAvgPool2d,
    GroupNorm,
    Hardsigmoid,
    LayerNorm2d,
    LayerScale,
    LeakyReLU,
    Linear,
    LocalResponseNorm,
    Maxout,
    MaxPool2d,
    Multiply,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Tanh,
)
from neocog.nn.parameters import variables_of
from neocog.nn.shapes import ImageShape
from neocog.nn.window import Window, counts

Values = Mapping[str, Any]


def network(graph: Graph, values: Values, images: Any, training: bool = False) -> tuple[Any, dict[str, Any]]:
    """Return the logits (N, outputs) of images, and the running averages that training moves.

    Arguments:
        graph: the network.
        values: all that it stores, in memory layout.
        images: (N, H, W, C), normalised.
        training: whether normalizations take the statistics of the batch.
    """
    found = {IMAGE: images}
    averages: dict[str, Any] = {}
    for node in graph.nodes:
        inputs = [found[value] for value in node.inputs]
        stored = {v.name: values[f"{node.name}.{v.name}"] for v in node.layer.variables(*node.shapes)}
        if training and isinstance(node.layer, BatchNorm2d):
            moved = _statistics(node.layer, stored, inputs[0])
            stored |= moved.pop("batch")
            averages |= {f"{node.name}.{name}": value for name, value in moved.items()}
        if type(node.layer) not in RULES:
            raise NotImplementedError(f"{node.title} is not written for JAX here")
        found[node.index] = RULES[type(node.layer)](node, node.layer, stored, *inputs)
    return found[graph.nodes[-1].index], averages


def _statistics(layer: BatchNorm2d, stored: Values, x: Any) -> dict[str, Any]:
    """Return a batch's mean and variance under "batch", and the running averages that they move."""
    axes = tuple(range(x.ndim - 1))
    mean, variance, count = x.mean(axes), x.var(axes), x.size // x.shape[-1]
    batch = {"running_mean": mean, "running_var": variance * (count / (count - 1))}
    moved = {name: stored[name] + layer.momentum * (batch[name] - stored[name]) for name in batch}
    return {"batch": {"running_mean": mean, "running_var": variance}, **moved}


def _normalization(node: Node, layer: BatchNorm2d, stored: Values, x: Any) -> Any:
    scale = stored.get("weight", 1.0) * jax.lax.rsqrt(stored["running_var"] + layer.epsilon)
    return (x - stored["running_mean"]) * scale + stored.get("bias", 0.0)


def _layer_normalization(node: Node, layer: LayerNorm2d, stored: Values, x: Any) -> Any:
    away = x - x.mean(-1, keepdims=True)
    scaled = away * jax.lax.rsqrt((away * away).mean(-1, keepdims=True) + layer.epsilon)
    return scaled * stored.get("weight", 1.0) + stored.get("bias", 0.0)


def _group_normalization(node: Node, layer: GroupNorm, stored: Values, x: Any) -> Any:
    parts = x.reshape(*x.shape[:3], layer.groups, -1)
    away = parts - parts.mean((1, 2, 4), keepdims=True)
    scaled = away * jax.lax.rsqrt((away * away).mean((1, 2, 4), keepdims=True) + layer.epsilon)
    return scaled.reshape(x.shape) * stored.get("weight", 1.0) + stored.get("bias", 0.0)


def _local_response(node: Node, layer: LocalResponseNorm, stored: Values, x: Any) -> Any:
    beside = layer.beside(x.shape[-1])
    sizes, strides = (1, 1, 1, sum(beside) + 1), (1, 1, 1, 1)
    squares = jax.lax.reduce_window(x * x, 0.0, jax.lax.add, sizes, strides, ((0, 0), (0, 0), (0, 0), beside))
    return x / (layer.k + layer.alpha / layer.size * squares) ** layer.beta


def _convolution(node: Node, layer: Conv2d, stored: Values, x: Any) -> Any:
    window = _window(node)
    axes = (window.vertical, window.horizontal)
    convolved = jax.lax.conv_general_dilated(
        x,
        stored["weight"],
        [axis.stride for axis in axes],
        [(axis.before, axis.after) for axis in axes],
        rhs_dilation=[axis.dilation for axis in axes],
        feature_group_count=layer.groups,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return convolved + stored.get("bias", 0.0)


def _max_pool(node: Node, layer: MaxPool2d, stored: Values, x: Any) -> Any:
    return _reduce(x, -np.inf, jax.lax.max, _window(node))


def _average_pool(node: Node, layer: AvgPool2d, stored: Values, x: Any) -> Any:
    assert isinstance(node.input, ImageShape)
    cells = np.multiply.outer(*counts(layer.counted_over(node.input)))[..., None]
    return _reduce(x, 0.0, jax.lax.add, _window(node)) / cells


def _adaptive_average_pool(node: Node, layer: AdaptiveAvgPool2d, stored: Values, x: Any) -> Any:
    assert isinstance(node.input, ImageShape)
    cuts = layer.counted_over(node.input)
    down, across = (
        [slice(*axis.ends(place)) for place in range(axis.output)] for axis in (cuts.vertical, cuts.horizontal)
    )
    rows = [jnp.stack([x[:, rows, columns].mean((1, 2)) for columns in across], 1) for rows in down]
    return jnp.stack(rows, 1)


def _window(node: Node) -> Window:
    assert isinstance(node.input, ImageShape)
    window = node.layer.window_over(node.input)
    assert window is not None
    return window


def _reduce(x: Any, start: float, rule: Any, window: Window) -> Any:
    axes = (window.vertical, window.horizontal)
    sizes = (1, *(axis.kernel for axis in axes), 1)
    strides = (1, *(axis.stride for axis in axes), 1)
    padding = ((0, 0), *((axis.before, axis.after) for axis in axes), (0, 0))
    return jax.lax.reduce_window(x, start, rule, sizes, strides, padding)


def _pointwise(function: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda node, layer, stored, x: function(x)


def _maxout(node: Node, layer: Maxout, stored: Values, x: Any) -> Any:
    return x.reshape(*x.shape[:-1], layer.pieces, -1).max(-2)


RULES: dict[type[Layer], Callable[..., Any]] = {
    Add: lambda node, layer, stored, *inputs: reduce(jnp.add, inputs),
    AdaptiveAvgPool2d: _adaptive_average_pool,
    AvgPool2d: _average_pool,
    BatchNorm2d: _normalization,
    Concatenate: lambda node, layer, stored, *inputs: jnp.concatenate(inputs, -1),
    Conv2d: _convolution,
    ELU: lambda node, layer, stored, x: jax.nn.elu(x, layer.alpha),
    Flatten: _pointwise(lambda x: x.reshape(len(x), -1)),
    GELU: lambda node, layer, stored, x: jax.nn.gelu(x, approximate=layer.approximate == "tanh"),
    GlobalAvgPool2d: _pointwise(lambda x: x.mean((1, 2))),
    GroupNorm: _group_normalization,
    Hardsigmoid: _pointwise(jax.nn.hard_sigmoid),
    LayerNorm2d: _layer_normalization,
    LayerScale: lambda node, layer, stored, x: x * stored["weight"],
    LeakyReLU: lambda node, layer, stored, x: jax.nn.leaky_relu(x, layer.slope),
    Linear: lambda node, layer, stored, x: x @ stored["weight"] + stored.get("bias", 0.0),
    LocalResponseNorm: _local_response,
    MaxPool2d: _max_pool,
    Maxout: _maxout,
    Multiply: lambda node, layer, stored, *inputs: reduce(jnp.multiply, inputs),
    PReLU: lambda node, layer, stored, x: jnp.where(x > 0, x, x * stored["weight"]),
    ReLU: _pointwise(lambda x: jnp.maximum(x, 0.0)),
    ReLU6: _pointwise(jax.nn.relu6),
    SiLU: _pointwise(jax.nn.silu),
    Sigmoid: _pointwise(jax.nn.sigmoid),
    Softmax: _pointwise(jax.nn.softmax),
    Tanh: _pointwise(jnp.tanh),
}


def train(task: Task) -> Call:
    """Make a training step."""
    images, labels = jnp.asarray(task.images), jnp.asarray(task.labels)

    def mean_loss(values: Values, averages: Values, images: Any, labels: Any) -> tuple[Any, Values]:
        logits, moved = network(task.graph, {**values, **averages}, images, training=True)
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1).mean(), moved

    def update(
        values: Values, averages: Values, moments: Values, images: Any, labels: Any
    ) -> tuple[Any, Values, Values, Values]:
        (loss, averages), gradients = jax.value_and_grad(mean_loss, has_aux=True)(values, averages, images, labels)
        moments = {name: MOMENTUM * moments[name] + gradients[name] for name in values}
        return loss, {name: values[name] - task.learning_rate * moments[name] for name in values}, averages, moments

    compiled = jax.jit(update, donate_argnums=(0, 1, 2))
    stored = {p: jnp.array(task.parameters[p.name]) for p in variables_of(task.graph)}
    values: Values = {p.name: value for p, value in stored.items() if p.trainable}
    averages: Values = {p.name: value for p, value in stored.items() if not p.trainable}
    moments: Values = {name: jnp.zeros_like(value) for name, value in values.items()}

    def step() -> float:
        nonlocal values, averages, moments
        loss, values, averages, moments = compiled(values, averages, moments, images, labels)
        return float(loss)

    return step


def answer(task: Task) -> Call:
    """Make a prediction."""
    compiled = jax.jit(lambda values, images: network(task.graph, values, images)[0])
    values = {name: jnp.array(value) for name, value in task.parameters.items()}
    images = jnp.asarray(task.images)
    return lambda: np.asarray(compiled(values, images))


TRAINING = {"JAX": train}
INFERENCE = {"JAX": answer}
