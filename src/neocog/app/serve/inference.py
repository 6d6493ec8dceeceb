"""The Open Inference Protocol, version 2: what a model takes and gives, and an inference.

As KServe specifies it (kserve/open-inference-protocol), with Triton's extensions for binary tensors and for
classification. A model has the input `image`, BYTES of any number of image files, and in its place `pixels`, UINT8
or FP32 in [0, 1] of the network's own size. It gives `probabilities`, FP32, and `label`, BYTES: for each image its
likeliest class, or unknown; of several labels those that it is given, with | between them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from neocog.app.prediction import Prediction, prediction_of
from neocog.app.serve.batcher import Replies
from neocog.app.serve.body import read_json
from neocog.app.serve.refusal import Refusal
from neocog.app.serve.served import ServedModel
from neocog.app.serve.settings import MOST_JSON
from neocog.app.serve.tensors import packed_texts, read_numbers, read_texts
from neocog.data.dataset import SEPARATOR
from neocog.data.resize import Images

HEADER_LENGTH = b"inference-header-content-length"
IMAGE, PIXELS = "image", "pixels"
PROBABILITIES, LABEL = "probabilities", "label"


class WantedOutput(NamedTuple):
    """An output that a request asks for: as bytes or JSON, and as so many classes (Triton's classification)."""

    name: str
    binary: bool
    classes: int


class Inference(NamedTuple):
    """A request: its images, its id, and the outputs that it asks for."""

    pictures: Sequence[bytes] | Images
    id: str | None
    outputs: tuple[WantedOutput, ...]


def metadata_of(model: ServedModel) -> dict[str, Any]:
    """Return what a model takes and gives."""
    size = [-1, *model.network.input_shape]
    return {
        "name": model.name,
        "versions": [model.version],
        "platform": "neocog",
        "inputs": [{"name": IMAGE, "datatype": "BYTES", "shape": [-1]}],
        "outputs": [
            {"name": PROBABILITIES, "datatype": "FP32", "shape": [-1, len(model.labels)]},
            {"name": LABEL, "datatype": "BYTES", "shape": [-1]},
        ],
        "parameters": {
            "labels": list(model.labels),
            "instead_of_image": [{"name": PIXELS, "datatype": kind, "shape": size} for kind in ("UINT8", "FP32")],
        },
    }


def read_inference(headers: Mapping[bytes, bytes], body: bytes, model: ServedModel, most: int) -> Inference:
    """Return what a request asks.

    Arguments:
        headers, body: of the request.
        model: that it asks.
        most: images in a request.

    Raises:
        Refusal: the request is not as the protocol has it.
    """
    text, rest = _parts(headers, body)
    found = read_json(text)
    inputs = found.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise Refusal(400, f"inputs must be a list of one input, {IMAGE} or {PIXELS}")
    entry = inputs[0]
    name = entry.get("name")
    if name not in (IMAGE, PIXELS):
        raise Refusal(400, f"the input must be {IMAGE} or {PIXELS}, got {str(name)[:50]}")
    packed = _packed(entry, name, rest)
    if name == IMAGE:
        if entry.get("datatype") != "BYTES":
            raise Refusal(400, f"input {IMAGE}: datatype must be BYTES")
        pictures: Sequence[bytes] | Images = read_texts(entry, name, packed)
    else:
        pictures = read_numbers(entry, name, packed)
        if pictures.shape[1:] != model.network.input_shape:
            raise Refusal(
                400,
                f"input {PIXELS}: a shape of {[-1, *model.network.input_shape]} was needed, got {list(pictures.shape)}",
                f"files of any size go into {IMAGE}",
            )
        if pictures.dtype != np.uint8 and not ((pictures >= 0) & (pictures <= 1)).all():  # so is what is not finite
            raise Refusal(400, f"input {PIXELS}: values of FP32 must be from 0 to 1", "send bytes as UINT8")
    if not 1 <= len(pictures) <= most:
        raise Refusal(400, f"a request may have 1 to {most:,} images, got {len(pictures):,}")
    name_of_it = found.get("id")
    if name_of_it is not None and not isinstance(name_of_it, str):
        raise Refusal(400, "id must be a text")
    return Inference(pictures, name_of_it, _outputs(found))


def answer_of(inference: Inference, answers: Replies) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """Return the body of an answer, and its headers."""
    model = answers.model
    entries: list[dict[str, Any]] = []
    behind: list[bytes] = []
    for wanted in inference.outputs:
        entry, packed = _output(wanted, answers)
        if packed is not None:
            entry["parameters"] = {"binary_data_size": len(packed)}
            behind.append(packed)
        entries.append(entry)
    told: dict[str, Any] = {"model_name": model.name, "model_version": model.version, "outputs": entries}
    if inference.id is not None:
        told["id"] = inference.id
    text = json.dumps(told).encode()
    if not behind:
        return text, [(b"content-type", b"application/json")]
    headers = [(b"content-type", b"application/octet-stream"), (HEADER_LENGTH, str(len(text)).encode())]
    return b"".join([text, *behind]), headers


def _parts(headers: Mapping[bytes, bytes], body: bytes) -> tuple[memoryview, memoryview]:
    """Return the JSON of a body, and what stands behind it."""
    told = headers.get(HEADER_LENGTH)
    view = memoryview(body)
    length = len(body)
    if told is not None:
        if not told.isdigit() or len(told) > 10 or int(told) > len(body):
            raise Refusal(400, "Inference-Header-Content-Length must be the bytes of the JSON, within the body")
        length = int(told)
    if length > MOST_JSON:
        raise Refusal(413, f"the JSON of a request may have {MOST_JSON:,} bytes", "send tensors as binary data")
    return view[:length], view[length:]


def _packed(entry: dict[str, Any], name: str, rest: memoryview) -> memoryview | None:
    """Return the bytes of a tensor that stand behind the JSON; None where its values stand in the JSON."""
    parameters = entry.get("parameters")
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is None:
        if len(rest):
            raise Refusal(400, f"{len(rest):,} bytes stand behind the JSON, and no input takes them")
        return None
    if type(size) is not int or size != len(rest):
        raise Refusal(400, f"input {name}: binary_data_size must be the {len(rest):,} bytes behind the JSON")
    return rest


def _outputs(found: dict[str, Any]) -> tuple[WantedOutput, ...]:
    parameters = found.get("parameters")
    binary = bool(parameters.get("binary_data_output")) if isinstance(parameters, dict) else False
    outputs = found.get("outputs")
    if outputs is None:
        return (WantedOutput(PROBABILITIES, binary, 0), WantedOutput(LABEL, binary, 0))
    if not isinstance(outputs, list) or not 1 <= len(outputs) <= 2:
        raise Refusal(400, f"outputs must be a list of {PROBABILITIES} and {LABEL}")
    wanted = []
    for entry in outputs:
        name = entry.get("name") if isinstance(entry, dict) else None
        if name not in (PROBABILITIES, LABEL):
            raise Refusal(400, f"an output must be {PROBABILITIES} or {LABEL}, got {str(name)[:50]}")
        given = entry.get("parameters")
        given = given if isinstance(given, dict) else {}
        classes = given.get("classification", 0)
        if type(classes) is not int or classes < 0 or (classes and name != PROBABILITIES):
            raise Refusal(400, "classification must be a whole number, for probabilities alone")
        wanted.append(WantedOutput(name, bool(given.get("binary_data", binary)), classes))
    return tuple(wanted)


def _output(wanted: WantedOutput, answers: Replies) -> tuple[dict[str, Any], bytes | None]:
    """Return an output as JSON, and its bytes where they stand behind that."""
    probabilities = answers.probabilities
    if wanted.name == PROBABILITIES and not wanted.classes:
        entry: dict[str, Any] = {"name": PROBABILITIES, "datatype": "FP32", "shape": list(probabilities.shape)}
        if wanted.binary:
            return entry, probabilities.astype("<f4").tobytes()
        entry["data"] = probabilities.astype(np.float64).ravel().tolist()
        return entry, None
    if wanted.name == LABEL:
        texts, shape = [_label(answers, row) for row in range(len(probabilities))], [len(probabilities)]
    else:
        texts, shape = _ranked(answers, wanted.classes)
    entry = {"name": wanted.name, "datatype": "BYTES", "shape": shape}
    if wanted.binary:
        return entry, packed_texts(texts)
    entry["data"] = texts
    return entry, None


def _label(answers: Replies, row: int) -> str:
    found = prediction_of(answers.model.network, "", answers.probabilities[row], None)
    return found.answer if isinstance(found, Prediction) else SEPARATOR.join(name for name, _ in found.classes)


def _ranked(answers: Replies, count: int) -> tuple[list[str], list[int]]:
    """Return the likeliest classes of each image as "probability:index:name", as Triton writes them."""
    probabilities, names = answers.probabilities, answers.model.labels
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :count]
    texts = [
        f"{probability:.6f}:{place}:{names[place]}"
        for row, places in zip(probabilities, order, strict=True)
        for place, probability in zip(places.tolist(), row[places].tolist(), strict=True)
    ]
    return texts, list(order.shape)
