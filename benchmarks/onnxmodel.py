"""A network with its parameters written down in ONNX, for the runtimes that read it: as neocog exports it, but for a
batch of a fixed size, and from normalised images to logits alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx
from onnx import TensorProto, helper

from neocog.engines.base import Array
from neocog.interop.onnx.operations import write_layers
from neocog.interop.onnx.write import OPSET
from neocog.interop.onnx.writer import INPUT as INPUT
from neocog.interop.onnx.writer import LOGITS, OnnxWriter
from neocog.nn.graph import Graph
from neocog.nn.parameters import to_pytorch, variables_of


def export(graph: Graph, parameters: Mapping[str, Array], batch: int) -> bytes:
    """Return an ONNX model that takes `images` (batch, C, H, W), normalised, and gives `logits` (batch, outputs).

    Arguments:
        graph: the network; layers for training only, such as Dropout, are left out.
        parameters: name → array, in memory layout.
        batch: number of images, fixed.
    """
    writer = OnnxWriter({p.name: to_pytorch(p, parameters[p.name]) for p in variables_of(graph)}, OPSET)
    logits = write_layers(writer, graph, INPUT)
    writer.begin("answers")
    writer.add("Identity", logits, output=LOGITS)
    shape = (batch, graph.input.channels, graph.input.height, graph.input.width)
    written = helper.make_graph(
        writer.operations,
        "neocog",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, (batch, *graph.answer_shape))],
        list(writer.arrays.values()),
    )
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(written, opset_imports=opsets, ir_version=helper.find_min_ir_version_for(opsets))
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content
