"""OpenVINO, on the processor: in float32, and as it comes, which is bfloat16 where there are instructions for it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from io import BytesIO
from typing import Any

import openvino

from benchmarks.figures import ROUNDED
from benchmarks.onnxmodel import export
from benchmarks.rounds import Call
from benchmarks.sides import Task
from neocog.nn.graph import trace
from neocog.nn.layers import Conv2d
from neocog.nn.parameters import initial_parameters


def answer(task: Task, precision: Mapping[str, str]) -> Call:
    """Make a prediction."""
    core = openvino.Core()
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": task.threads, **precision}
    model = core.read_model(BytesIO(export(task.graph, task.parameters, len(task.images))))
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    images = task.channels_first

    def logits() -> Any:
        return request.infer([images], share_inputs=True, share_outputs=True)[0]

    return logits


def own_precision() -> str:
    """Return what OpenVINO computes in on this processor where nobody tells it."""
    graph = trace(Conv2d(16, 3), (8, 8, 16))
    content = export(graph, initial_parameters(graph), 1)
    model = openvino.Core().compile_model(openvino.Core().read_model(BytesIO(content)), "CPU", {})
    found = str(model.get_property("INFERENCE_PRECISION_HINT").get_type_name())
    return {"f32": "float32", "bf16": "bfloat16"}.get(found, found)


TRAINING: dict[str, Any] = {}
INFERENCE = {
    "OpenVINO": partial(answer, precision={"INFERENCE_PRECISION_HINT": "f32"}),
    ROUNDED: partial(answer, precision={}),
}
