"""OpenVINO, on the processor, in float32 (it would take bfloat16 where there are instructions for it)."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import openvino

from benchmarks.onnxmodel import export
from benchmarks.rounds import Call
from benchmarks.sides import Task


def answer(task: Task) -> Call:
    """Make a prediction."""
    core = openvino.Core()
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": task.threads,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    model = core.read_model(BytesIO(export(task.graph, task.parameters, len(task.images))))
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    images = task.channels_first

    def logits() -> Any:
        return request.infer([images], share_inputs=True, share_outputs=True)[0]

    return logits


TRAINING: dict[str, Any] = {}
INFERENCE = {"OpenVINO": answer}
