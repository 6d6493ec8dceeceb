"""What both peers share: an ONNX file, as `neocog export` writes it, answered by ONNX Runtime.

Pictures are decoded by Pillow, as by neocog, and the file takes them as uint8; normalising, softmax and class names are
inside, so that all sides give the same answers.
"""

import io
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image

TOP = 5


class Classifier:
    """A network that ONNX Runtime computes.

    Arguments:
        path: of the file; default: the environment's PEER_MODEL.
        threads: that it computes on.
    """

    def __init__(self, path: str | None = None, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            path or os.environ["PEER_MODEL"], options, providers=["CPUExecutionProvider"]
        )
        taken = self._session.get_inputs()[0]
        self._input = taken.name
        self._first = taken.shape[1] in (1, 3)  # channels
        height, width = taken.shape[2:4] if self._first else taken.shape[1:3]
        self._size = (width, height)
        self._output = self._session.get_outputs()[0].name

    def decode(self, body: bytes) -> Any:
        """Return the pixels of an image file."""
        image = Image.open(io.BytesIO(body)).convert("RGB")
        if image.size != self._size:
            image = image.resize(self._size, Image.Resampling.BILINEAR)
        pixels = np.asarray(image)
        return pixels.transpose(2, 0, 1) if self._first else pixels

    def answers(self, images: Sequence[Any]) -> list[list[dict[str, Any]]]:
        """Return labels with scores for each image, the likeliest first."""
        found = self._session.run([self._output], {self._input: np.ascontiguousarray(np.stack(images))})[0]
        order = np.argsort(-found, axis=1, kind="stable")[:, :TOP]
        return [
            [{"label": f"class {place}", "score": float(row[place])} for place in places]
            for row, places in zip(found, order, strict=True)
        ]
