"""Pictures that are nearly the same: one saved anew, made smaller or brighter. Their bytes differ, and a model that has
learnt one of them knows the other.

Each picture has two difference hashes (Krawetz, "Kind of like that", 2013): 64 bits that say whether it grows
brighter from cell to cell of a grid of 8 by 9, along the rows and along the columns. Pairs whose hashes differ in few
bits are candidates. Those whose grey pixels correlate with at least LEAST_CORRELATION, first at 8 x 8 and then at
32 x 32, are reported.

Of MNIST (10,000 test, 20,000 training images) it finds no pair; of Fashion-MNIST 6, which are copies to the eye; of
CIFAR-10 (1,000 and 20,000) and of photographs of clothes (372 and 3,068) none. Of those photographs saved as JPEG of
quality 30, or shrunk to two thirds, it finds nearly all, and of brightened ones most. What it does not find: cropped,
turned or mirrored copies, and copies of pictures of some 30 pixels that lost much.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from neocog.data.resize import Images, ImageSize, resize_array

SIDE = 32  # pixels of a thumbnail
LEAST_CORRELATION = 0.998
MOST_BITS = 5  # of 64 in which the hashes of a pair differ
LEAST_STEP = 2.0  # grey levels by which a cell is brighter than the one before; in even areas noise decides less
LEAST_DEVIATION = 3.0  # grey levels; a picture that is nearly of one colour looks like every other

_CELLS = 8
_PAIRS_AT_A_TIME = 1 << 22
_VERIFIED_AT_A_TIME = 1 << 14

Thumbnails = NDArray[np.uint8]
"""(N, 32, 32): pictures stretched to that size, in grey."""


def near_pairs(some: Thumbnails, others: Thumbnails) -> list[tuple[int, int]]:
    """Return the pairs of nearly equal pictures: an index of `some`, and one of `others`, in this order.

    Cost: some 5 ns for each pair of pictures, and more where many are alike.

    >>> picture = np.arange(1024).reshape(1, 32, 32) % 251
    >>> near_pairs(picture.astype(np.uint8), (0.9 * picture).astype(np.uint8))
    [(0, 0)]
    """
    found: list[tuple[int, int]] = []
    if len(some) and len(others):
        coarse = _cells(some), _cells(others)
        for rows, columns in _candidates(_hashes(some), _hashes(others)):
            for pixels in (coarse, (some, others)):
                rows, columns = _alike(pixels, rows, columns)
            found += zip(rows.tolist(), columns.tolist(), strict=True)
    return found


Hashes = tuple[NDArray[np.uint64], NDArray[np.uint64]]


def thumbnail(image: Images) -> NDArray[np.uint8]:
    """Return an image (height, width, channels), uint8 or float in [0, 1], as a thumbnail (32, 32)."""
    grey = image if image.dtype == np.uint8 else (np.clip(image.astype(np.float32), 0.0, 1.0) * 255.0).astype(np.uint8)
    if grey.shape[2] not in (1, 3, 4):
        grey = grey.mean(axis=2, keepdims=True).astype(np.uint8)
    pixels: NDArray[np.uint8] = resize_array(grey, ImageSize(SIDE, SIDE, 1))[:, :, 0].astype(np.uint8, copy=False)
    return pixels


def _candidates(some: Hashes, others: Hashes) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield indices of pairs whose hashes differ in few bits, in order, some rows of all pairs at a time."""
    step = max(1, _PAIRS_AT_A_TIME // len(others[0]))
    for start in range(0, len(some[0]), step):
        along = np.bitwise_count(some[0][start : start + step, None] ^ others[0][None]) <= MOST_BITS
        rows, columns = np.nonzero(along)
        rows += start
        down = np.bitwise_count(some[1][rows] ^ others[1][columns]) <= MOST_BITS
        yield rows[down], columns[down]


def _alike(
    pixels: tuple[Images, Images], rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pairs whose pixels correlate."""
    alike = [
        _correlations(
            pixels[0][rows[start : start + _VERIFIED_AT_A_TIME]],
            pixels[1][columns[start : start + _VERIFIED_AT_A_TIME]],
        )
        >= LEAST_CORRELATION
        for start in range(0, len(rows), _VERIFIED_AT_A_TIME)
    ]
    chosen = np.concatenate(alike) if alike else np.zeros(0, bool)
    return rows[chosen], columns[chosen]


def _cells(thumbnails: Thumbnails) -> NDArray[np.float32]:
    """Return the mean of each of 8 x 8 cells (N, 8, 8)."""
    width = SIDE // _CELLS
    cells = thumbnails.reshape(len(thumbnails), _CELLS, width, _CELLS, width)
    return np.asarray(cells.mean(axis=(2, 4), dtype=np.float32), np.float32)


def _hashes(thumbnails: Thumbnails) -> Hashes:
    """Return the difference hashes of thumbnails along rows and along columns."""
    along, down = [], []
    for start in range(0, len(thumbnails), 4096):
        grey = thumbnails[start : start + 4096].astype(np.float32)
        along.append(_bits(grey))
        down.append(_bits(grey.transpose(0, 2, 1)))
    return np.concatenate(along), np.concatenate(down)


def _bits(grey: NDArray[np.float32]) -> NDArray[np.uint64]:
    cells = grey.reshape(len(grey), _CELLS, SIDE // _CELLS, SIDE).mean(axis=2) @ _COLUMNS  # (N, 8, 9)
    brighter = cells[:, :, 1:] - cells[:, :, :-1] > LEAST_STEP
    packed: NDArray[np.uint8] = np.packbits(brighter.reshape(len(grey), -1), axis=1)
    return packed.view(np.uint64)[:, 0]


def _shares(pixels: int, cells: int) -> NDArray[np.float32]:
    """Return (pixels, cells) how much of each pixel is in each of so many cells of equal width; a cell's sum is 1."""
    edges = np.arange(cells + 1) * pixels / cells
    ends = np.arange(pixels)[:, None]
    inside = np.minimum(ends + 1, edges[1:]) - np.maximum(ends, edges[:-1])
    return np.asarray(np.maximum(inside, 0) * cells / pixels, np.float32)


_COLUMNS = _shares(SIDE, _CELLS + 1)


def _correlations(some: Images, others: Images) -> NDArray[np.float32]:
    """Return the correlation of the pixels of each pair; 0 where a picture is nearly of one colour."""
    x, y = (pixels.reshape(len(pixels), -1).astype(np.float32) for pixels in (some, others))
    x -= x.mean(axis=1, keepdims=True)
    y -= y.mean(axis=1, keepdims=True)
    deviations = np.stack([x.std(axis=1), y.std(axis=1)])
    found: NDArray[np.float32] = np.asarray((x * y).mean(axis=1) / np.maximum(deviations.prod(axis=0), 1e-6))
    found[deviations.min(axis=0) < LEAST_DEVIATION] = 0.0
    return found
