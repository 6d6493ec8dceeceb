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


TRAINING: dict[str, Any] = {}
INFERENCE = {
    "OpenVINO": partial(answer, precision={"INFERENCE_PRECISION_HINT": "f32"}),
    ROUNDED: partial(answer, precision={}),
}
