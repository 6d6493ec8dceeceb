"""The pictures of a report: what the network saw, small, as data URIs, no more of them than there is room for."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neocog.data.dataset import Dataset
from neocog.data.resize import ImageSize
from neocog.model.network import Network

SIDE = 112
"""Pixels of the longer side, at most."""

EXACT_SIDE = 40
"""Pixels up to which an image is kept exactly; of larger ones nobody sees the difference."""

QUALITY = 78  # of JPEG

ROOM = 2_000_000
"""Characters of all pictures of a report."""


class Album:
    """Pictures, each kept once.

    Arguments:
        part: whose images.
        model: that they are resized for.
        room: characters that all pictures may take.
    """

    def __init__(self, part: Dataset, model: Network, room: int = ROOM) -> None:
        self._part, self._resize, self._size = part, model.resize, ImageSize(*model.input_shape)
        self._room = room
        self._sources: dict[int, str] = {}

    def __contains__(self, index: int) -> bool:
        return index in self._sources

    @property
    def sources(self) -> dict[int, str]:
        """Index of an image → its data URI."""
        return self._sources

    def add(self, index: int) -> bool:
        """Keep an image of the part; returns whether it is there, which it is not where there is no more room."""
        if index not in self._sources:
            source = picture(self.pixels([index])[0])
            if len(source) > self._room:
                return False
            self._room -= len(source)
            self._sources[index] = source
        return True

    def pixels(self, indices: list[int]) -> NDArray[Any]:
        """Return images (n, H, W, C) of the part as the network gets them."""
        return self._part.images(np.array(indices, np.int64), self._size, self._resize)


def picture(image: NDArray[Any]) -> str:
    """Write an image as a data URI: exactly where it is small, otherwise at most SIDE pixels wide and high, as JPEG.

    Arguments:
        image: (H, W, C), uint8 or in [0, 1]; grey, RGB or RGBA, of other numbers of channels the first.

    >>> picture(np.zeros((8, 8, 1), np.uint8))[:22]
    'data:image/png;base64,'
    """
    values = image if image.dtype == np.uint8 else np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
    shown = Image.fromarray(values if values.shape[2] in (3, 4) else values[:, :, 0])
    file = io.BytesIO()
    if max(shown.size) <= EXACT_SIDE:
        shown.save(file, "PNG", optimize=True)
        return _uri("png", file)
    shown.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    if shown.mode == "RGBA":
        shown = Image.alpha_composite(Image.new("RGBA", shown.size, "white"), shown).convert("RGB")
    shown.save(file, "JPEG", quality=QUALITY)
    return _uri("jpeg", file)


def _uri(kind: str, file: io.BytesIO) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
