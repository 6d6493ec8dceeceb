"""Which images may be among those that a filter answers most to: one pass over a data set by the model's engine.

An engine computes in float32, so two images whose values it gives as nearly the same may belong the other way round.
All that come so near the last place are kept; who wants the exact order looks closer at these few.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from neocog.errors import DataError
from neocog.explain.pace import paced
from neocog.explain.quick import Integers, Pairs
from neocog.explain.subject import ProgressListener, Subject, image_output

NEAR = 1e-4  # of the largest values: further apart, float32 sums in any order agree on which is larger
HELD = 8  # times `count`: the most contenders that are kept; only ties in great numbers reach that
BLOCK_VALUES = 1 << 24  # peaks that lie in memory at a time, 64 MiB


class ImageRows(Protocol):
    """Images that can be counted and read: an array (N, H, W, C), a memory map, or what reads files."""

    def __len__(self) -> int:
        """Number of images."""

    def __getitem__(self, rows: Any, /) -> NDArray[Any]:
        """Return the images (n, H, W, C) of a slice, or of an ascending array of indices."""


@dataclass(slots=True)
class _Filter:
    """What is held of one filter so far: the values and their images, by image."""

    values: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    images: Integers = field(default_factory=lambda: np.empty(0, np.int64))

    def add(self, values: NDArray[np.float32], images: Integers, count: int, near: float) -> None:
        """Take more images, whose numbers are larger, and drop those that cannot be among the first `count`.

        Values closer than `near` may belong the other way round.
        """
        values, images = np.concatenate((self.values, values)), np.concatenate((self.images, images))
        if len(values) > count:
            last = np.partition(values, len(values) - count)[len(values) - count]
            kept = values >= last - near
            values, images = values[kept], images[kept]
        if len(values) > HELD * count:
            chosen = _few_of_each(values, count)[: HELD * count]
            values, images = values[chosen], images[chosen]
            order = np.argsort(images)
            values, images = values[order], images[order]
        self.values, self.images = values, images


def _few_of_each(values: NDArray[np.float32], count: int) -> Integers:
    """Return the places of the first `count` of each value, largest values first."""
    order = np.argsort(-values, kind="stable")
    ranked = values[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    lengths = np.diff(np.r_[starts, len(ranked)])
    return order[np.arange(len(ranked)) - np.repeat(starts, lengths) < count]


def find_contenders(
    model: Subject,
    images: ImageRows,
    layers: tuple[int, ...],
    count: int,
    progress: ProgressListener,
    listener: Callable[[dict[int, NDArray[np.float32]]], None] | None = None,
) -> dict[int, Pairs]:
    """Find the images whose maps reach highest, for every filter of some convolutions.

    Arguments:
        model: any neocog model.
        images: the data set; read once, in order.
        layers: indices of convolutions.
        count: how many images of each filter are wanted.
        progress: told at least every second.
        listener: gets all peaks, batch by batch: layer → (n, filters).

    Returns:
        layer → pairs, ordered by filter, then image. A filter has at least `count` of them, if that many images bring
        it above 0, and more where values lie near that of the last.

    Raises:
        DataError: a peak is NaN or infinite.
    """
    held = {layer: [_Filter() for _ in range(image_output(model.graph.nodes[layer]).channels)] for layer in layers}
    block: list[dict[int, NDArray[np.float32]]] = []
    start, most = 0, max(1, BLOCK_VALUES // sum(map(len, held.values())))
    for rows in paced(len(images), progress, "images", first=256):
        peaks = model.peaks(images[rows])
        block.append({layer: peaks[layer] for layer in layers})
        if listener is not None:
            listener(block[-1])
        if rows.stop - start >= most or rows.stop == len(images):
            for layer in layers:
                _merge(model, held[layer], layer, np.concatenate([peaks[layer] for peaks in block]), start, count)
            block, start = [], rows.stop
    return {
        layer: (
            np.repeat(np.arange(len(filters)), [len(one.images) for one in filters]),
            np.concatenate([one.images for one in filters]),
        )
        for layer, filters in held.items()
    }


def _merge(
    model: Subject, filters: list[_Filter], layer: int, peaks: NDArray[np.float32], start: int, count: int
) -> None:
    columns = np.ascontiguousarray(peaks.T)
    if not np.isfinite(columns).all():
        image = start + int(np.flatnonzero(~np.isfinite(peaks).all(axis=1))[0])
        raise DataError(f"{model.graph.nodes[layer].title} gives NaN or infinite values on image {image}")
    tail = max(0, len(peaks) - count)
    last = np.partition(columns, tail, axis=1)[:, tail]
    largest = columns.max(axis=1)
    near = NEAR * np.maximum(largest, largest.mean())  # a filter that hardly answers adds up terms as large as others'
    for column, bound, width, one in zip(columns, last - near, near.tolist(), filters, strict=True):
        rows = np.flatnonzero((column >= bound) & (column > 0))
        if len(rows):
            one.add(column[rows], start + rows, count, width)
