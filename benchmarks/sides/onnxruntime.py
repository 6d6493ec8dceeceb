"""ONNX Runtime, on the processor."""

from __future__ import annotations

from typing import Any

import onnxruntime

from benchmarks.onnxmodel import INPUT, export
from benchmarks.rounds import Call
from benchmarks.sides import Task

WARNINGS_OFF = 3


def answer(task: Task) -> Call:
    """Make a prediction."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = task.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = WARNINGS_OFF
    model = export(task.graph, task.parameters, len(task.images))
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feed = {INPUT: task.channels_first}

    def logits() -> Any:
        return session.run(None, feed)[0]

    return logits


TRAINING: dict[str, Any] = {}
INFERENCE = {"ONNX Runtime": answer}
