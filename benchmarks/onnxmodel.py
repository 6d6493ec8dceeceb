"""A network with its parameters written down in ONNX, for the runtimes that read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx
from onnx import TensorProto, helper, numpy_helper

from neocog.engines.base import Array
from neocog.nn.graph import Graph, Node
from neocog.nn.layers import AvgPool2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU
from neocog.nn.parameters import parameters_of, to_pytorch
from neocog.nn.shapes import ImageShape
from neocog.nn.window import Window

OPSET = 17  # of 2022; every present runtime reads it
FORMAT = 8  # ONNX's own version of its files, of the same year
INPUT, OUTPUT = "images", "logits"


def export(graph: Graph, parameters: Mapping[str, Array], batch: int) -> bytes:
    """Write an ONNX model that takes `images` (batch, C, H, W), normalised, and gives `logits` (batch, outputs).

    Arguments:
        graph: the network; Dropout does nothing in a prediction and is left out.
        parameters: name → array, in memory layout.
        batch: number of images, fixed.
    """
    operations: list[Any] = []
    value = INPUT
    for node in graph.nodes:
        if not isinstance(node.layer, Dropout):
            operations.append(_operation(node, value, parameters))
            value = node.name
    operations[-1].output[0] = OUTPUT
    shape = (batch, graph.input.channels, graph.input.height, graph.input.width)
    written = helper.make_graph(
        operations,
        "neocog",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, (batch, graph.classes))],
        [numpy_helper.from_array(to_pytorch(p, parameters[p.name]), p.name) for p in parameters_of(graph)],
    )
    model = helper.make_model(written, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=FORMAT)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def _operation(node: Node, value: str, parameters: Mapping[str, Array]) -> Any:
    layer, shape = node.layer, node.input
    weights = [name for name in (f"{node.name}.weight", f"{node.name}.bias") if name in parameters]
    attributes: dict[str, Any] = {}
    if isinstance(layer, Conv2d) and isinstance(shape, ImageShape):
        window = layer.window_over(shape)
        kind = "Conv"
        attributes = {**_walk(window), "dilations": [window.vertical.dilation, window.horizontal.dilation]}
    elif isinstance(layer, MaxPool2d) and isinstance(shape, ImageShape):
        kind, attributes = "MaxPool", _walk(layer.window_over(shape))
    elif isinstance(layer, AvgPool2d) and isinstance(shape, ImageShape):
        kind, attributes = "AveragePool", {**_walk(layer.window_over(shape)), "count_include_pad": 1}
    elif isinstance(layer, Linear):
        kind, attributes = "Gemm", {"transB": 1}
    elif isinstance(layer, ReLU):
        kind = "Relu"
    elif isinstance(layer, Flatten):
        kind = "Flatten"
    else:
        raise NotImplementedError(f"{node.title} is not written for ONNX here")
    return helper.make_node(kind, [value, *weights], [node.name], name=f"{kind}_{node.index}", **attributes)


def _walk(window: Window) -> dict[str, list[int]]:
    vertical, horizontal = window.vertical, window.horizontal
    return {
        "kernel_shape": [vertical.kernel, horizontal.kernel],
        "strides": [vertical.stride, horizontal.stride],
        "pads": [vertical.before, horizontal.before, vertical.after, horizontal.after],
    }
