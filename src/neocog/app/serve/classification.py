"""Hugging Face's image-classification task: an image in, labels with scores out.

As its task specification has it (huggingface/huggingface.js, packages/tasks/src/tasks/image-classification/spec): the
body is an image file, or JSON {"inputs": base64, "parameters": {"top_k", "function_to_apply"}}; the answer a list of
{"label", "score"}, the likeliest first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from neocog.app.prediction import Prediction, prediction_of
from neocog.app.serve.batcher import Replies
from neocog.app.serve.body import read_base64, read_json
from neocog.app.serve.refusal import Refusal
from neocog.app.serve.served import ServedModel

MOST_COMMAS = 1000
"""In the JSON beside an image, which has none itself: 32 MiB of short values would become a GiB of objects."""

USUAL = 5
"""Labels in an answer where nothing is said, as in Hugging Face's pipelines."""


def read_question(
    headers: Mapping[bytes, bytes], query: bytes, body: bytes, model: ServedModel
) -> tuple[bytes, int | None]:
    """Return the image of a request, and how many labels are asked for.

    Raises:
        Refusal: the request is not as the task has it.
    """
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind == b"multipart/form-data":
        raise Refusal(415, "a form is not taken", "send the file itself, as curl --data-binary @a.jpg does")
    asked = dict(parse_qsl(query.decode("latin-1"))) if query else {}
    top = _count(asked["top_k"]) if "top_k" in asked else None
    if kind != b"application/json" and body[:1] != b"{":  # no image begins so
        if not body:
            raise Refusal(400, "the request has no image", "send the bytes of a file as its body")
        return body, top
    if body.count(b",") > MOST_COMMAS:
        raise Refusal(413, "the JSON has too many values", "such as {'inputs': an image's bytes in base64}")
    found = read_json(body)
    if "inputs" not in found:
        raise Refusal(400, "the JSON has no inputs", "such as {'inputs': an image's bytes in base64}")
    parameters = found.get("parameters")
    if parameters is not None and not isinstance(parameters, dict):
        raise Refusal(400, "parameters must be a JSON object")
    parameters = parameters or {}
    _check_function(parameters.get("function_to_apply"), model)
    if parameters.get("top_k") is not None:
        top = _count(parameters["top_k"])
    return read_base64(found["inputs"], "inputs"), top


def answer_of(answers: Replies, top: int | None) -> bytes:
    """Return a request's answer as JSON: what `neocog predict` says of the image."""
    return json.dumps(entries_of(answers, top)).encode()


def entries_of(answers: Replies, top: int | None) -> list[dict[str, Any]]:
    """Return labels with scores, the likeliest first.

    An answer that is not certain enough for the model begins with "unknown", with the likeliest label's score in its
    place. Where an image may have several labels, and nothing is asked for, they are those that it is given.
    """
    network = answers.model.network
    if top is None and not network.loss.several_labels:
        top = USUAL
    found = prediction_of(network, "", answers.probabilities[0], top)
    entries = [{"label": label, "score": score} for label, score in found.classes]
    if isinstance(found, Prediction) and not found.certain:
        entries[0]["label"] = found.answer
    return entries


def _count(value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise Refusal(400, "top_k must be a whole number from 1 up")
    return value


def _check_function(wanted: object, model: ServedModel) -> None:
    """Refuse another function of the logits than the one that the model was trained with."""
    own = "sigmoid" if model.network.loss.several_labels else "softmax"
    if wanted is not None and wanted != own:
        raise Refusal(400, f"function_to_apply must be {own}, which this model was trained with")
