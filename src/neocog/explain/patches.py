"""The images of a data set that a filter answers most to, and the part of them that it sees.

After Zeiler and Fergus 2014, Visualizing and understanding convolutional networks, and Yosinski et al. 2015,
Understanding neural networks through deep visualization.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from neocog.errors import DataError, SettingError, ShapeError
from neocog.explain.contenders import ImageRows, find_contenders
from neocog.explain.inspection import Found, look_closely
from neocog.explain.quick import Integers, Pairs
from neocog.explain.receptive import Field, field_or_whole
from neocog.explain.response import response_index, usable_parameters
from neocog.explain.subject import ProgressListener, Subject, image_output, layer_node, no_progress
from neocog.nn.graph import Graph
from neocog.nn.layers import Conv2d

AT_ONCE = 64  # images whose crops are cut out together
SEARCH = 0.85  # share of the progress that the pass over the data set takes


@dataclass(frozen=True, slots=True)
class Patches:
    """The images that each of the K filters of a convolution answers most to, best first.

    An answer is the largest value of the filter's map, behind the BatchNorm2d and the activation directly behind it,
    where there are any (`neocog.nn.answer`). Answers count above 0 only. Of equal answers the image with the lower
    number comes first; of equal values on a map the first in row-major order is the place. Values are equal where they
    are, rounded to float32.

    crops: (K, count, h, w, C) in [0, 1]: what the filter saw there. Where its field reaches beyond the image, or where
        there is no image, 0. A field larger than the image is cut to it: h and w are at most H and W. A layer without a
        field of one size shows the whole image.
    values: (K, count) float32; 0 where there is no image.
    images: (K, count) numbers of the images; -1: fewer images have an answer.
    positions: (K, count, 2): row and column on the map; -1 where there is no image.
    boxes: (K, count, 4): top, left, height, width of the receptive field on the image, before cutting.
    labels: (K, count): -1 where there is none.
    maximum: (K,) the largest answer of each filter.
    dead: filters without an answer on any image.
    layer: index of the convolution. looked_at: number of images. field: (h, w) of the receptive field.
    seconds: for all layers that were looked at in the same pass.
    peaks: (N, K) the answers to all images, if they were asked for.
    """

    crops: NDArray[np.float32]
    values: NDArray[np.float32]
    images: Integers
    positions: Integers
    boxes: Integers
    labels: Integers
    maximum: NDArray[np.float32]
    dead: tuple[int, ...]
    layer: int
    looked_at: int
    field: tuple[int, int]
    seconds: float
    peaks: NDArray[np.float32] | None


@overload
def top_patches(
    model: Subject,
    images: ImageRows,
    layer: None = None,
    count: int = ...,
    *,
    labels: NDArray[Any] | None = ...,
    keep_peaks: bool = ...,
    keep_crops: bool = ...,
    progress: ProgressListener = ...,
) -> dict[int, Patches]: ...


@overload
def top_patches(
    model: Subject,
    images: ImageRows,
    layer: int | str,
    count: int = ...,
    *,
    labels: NDArray[Any] | None = ...,
    keep_peaks: bool = ...,
    keep_crops: bool = ...,
    progress: ProgressListener = ...,
) -> Patches: ...


def top_patches(
    model: Subject,
    images: ImageRows,
    layer: int | str | None = None,
    count: int = 9,
    *,
    labels: NDArray[Any] | None = None,
    keep_peaks: bool = False,
    keep_crops: bool = True,
    progress: ProgressListener = no_progress,
) -> Patches | dict[int, Patches]:
    """Find the images that filters answer most to, in one pass over a data set.

    The model's engine answers for all images; the few that come near the front are looked at again in NumPy, where
    values come close in float64.

    Arguments:
        model: any neocog model.
        images: (N, H, W, C), uint8 or floating-point in [0, 1], or anything that is counted and indexed like it, such
            as what reads files; memory holds a few thousand at a time.
        layer: index or name of a convolution; None for all of them.
        count: images of each filter.
        labels: (N,) the images' classes.
        keep_peaks: whether to keep every image's answers, 4 · N · K bytes, for `control.rank_correlations`.
        keep_crops: whether to cut the crops out; `crops_of` does it later, for a filter. Without, there are none.
        progress: told at least every second; what it raises ends the work.

    Returns:
        the patches of that layer; for None, index of a convolution → its patches.

    Raises:
        SettingError: there is no such convolution, or `count` is out of its range.
        DataError: weights are NaN or infinite. ShapeError, DataError: the images do not fit the network.

    >>> from neocog.explain.lesson import lesson_image, lesson_model
    >>> found = top_patches(lesson_model(), lesson_image()[None], layer=0, count=1)
    >>> found.images.tolist(), found.crops.shape
    ([[0], [0]], (2, 1, 3, 3, 1))
    """
    began = time.perf_counter()
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
        raise SettingError(f"count must be a whole number of at least 1, got {count!r}")
    layers = _convolutions(model, layer)
    images = _checked(model.graph, images)
    if labels is not None and np.shape(labels) != (len(images),):
        raise ShapeError(f"labels must be as many as the images, {len(images)}, got the shape {np.shape(labels)}")
    last = max(response_index(model.graph, index) for index in layers)
    exact = usable_parameters(model, last, np.float64)
    kept: dict[int, list[NDArray[np.float32]]] = {index: [] for index in layers}

    def keep(peaks: dict[int, NDArray[np.float32]]) -> None:
        for index in layers:
            kept[index].append(peaks[index])

    pairs = find_contenders(
        model,
        images,
        layers,
        count,
        lambda done, what: progress(SEARCH * done, what),
        keep if keep_peaks else None,
    )
    progress(SEARCH, "places")
    found = look_closely(
        model.graph, exact, images, pairs, count, lambda done: progress(SEARCH + (1 - SEARCH) * done, "places")
    )
    results = {}
    for index in layers:
        peaks = np.concatenate(kept[index]) if keep_peaks else None
        results[index] = _patches(model.graph, images, index, count, pairs[index], found[index], labels, peaks, began)
        if keep_crops:
            every = range(len(results[index].values))
            results[index] = replace(results[index], crops=crops_of(model.graph, images, results[index], every))
    return results[layers[0]] if layer is not None else results


def _convolutions(model: Subject, layer: int | str | None) -> tuple[int, ...]:
    if layer is not None:
        return (layer_node(model, layer, Conv2d).index,)
    layers = tuple(node.index for node in model.graph.nodes if isinstance(node.layer, Conv2d))
    if not layers:
        raise SettingError("top_patches needs a convolution; this network has none")
    return layers


def _checked(graph: Graph, images: ImageRows) -> ImageRows:
    if not len(images):
        raise DataError("there are no images to look at")
    shape = (graph.input.height, graph.input.width, graph.input.channels)
    if isinstance(images, np.ndarray) and images.shape[1:] == shape[:2] and shape[2] == 1:
        images = images[..., None]
    got = images[0:1].shape[1:]
    if got != shape:
        raise ShapeError(
            f"images must have the shape (N, {shape[0]}, {shape[1]}, {shape[2]}), got (N, {', '.join(map(str, got))})"
        )
    return images


def _patches(
    graph: Graph,
    images: ImageRows,
    layer: int,
    count: int,
    pairs: Pairs,
    found: Found,
    labels: NDArray[Any] | None,
    peaks: NDArray[np.float32] | None,
    began: float,
) -> Patches:
    output = image_output(graph.nodes[layer])
    field = field_or_whole(graph, layer)
    alive = found.values > 0
    filters, rows, values, places = pairs[0][alive], pairs[1][alive], found.values[alive], found.places[alive]
    order = np.lexsort((rows, -values, filters))
    rank = np.arange(len(order)) - np.searchsorted(filters[order], filters[order])
    order, rank = order[rank < count], rank[rank < count]
    at = filters[order], rank
    shape = (output.channels, count)
    top_values, top_images = np.zeros(shape, np.float32), np.full(shape, -1, np.int64)
    positions, boxes = np.full((*shape, 2), -1, np.int64), np.zeros((*shape, 4), np.int64)
    top_labels = np.full(shape, -1, np.int64)
    top_values[at], top_images[at] = values[order], rows[order]
    row, column = np.divmod(places[order], output.width)
    positions[at] = np.stack((row, column), axis=1)
    (top, left), (down, right), (high, wide) = field.start, field.stride, field.size
    sides = np.broadcast_arrays(top + row * down, left + column * right, high, wide)
    boxes[at] = np.stack(sides, axis=1)
    if labels is not None:
        top_labels[at] = np.asarray(labels)[rows[order]]
    return Patches(
        np.zeros((output.channels, 0, *_crop_size(graph, field), graph.input.channels), np.float32),
        top_values,
        top_images,
        positions,
        boxes,
        top_labels,
        top_values[:, 0].copy(),
        tuple(np.flatnonzero(top_images[:, 0] < 0).tolist()),
        layer,
        len(images),
        field.size,
        time.perf_counter() - began,
        peaks,
    )


def crops_of(
    graph: Graph, images: ImageRows, found: Patches, filters: Sequence[int], ranks: int | None = None
) -> NDArray[np.float32]:
    """Cut out what some filters saw in their first images: (filters, ranks, h, w, C), as `Patches.crops` has them.

    Arguments:
        graph, images: those that the patches were found with.
        found: the patches.
        filters: which.
        ranks: how many images of each; None for all.
    """
    numbers, boxes = found.images[list(filters), :ranks], found.boxes[list(filters), :ranks]
    size = found.crops.shape[2:4]
    crops = np.zeros((*numbers.shape, *size, graph.input.channels), np.float32)
    there = numbers >= 0
    unique, inverse = np.unique(numbers[there], return_inverse=True)
    for start in range(0, len(unique), AT_ONCE):  # so that few whole images are in memory
        rows = np.flatnonzero((inverse >= start) & (inverse < start + AT_ONCE))
        at = tuple(places[rows] for places in np.nonzero(there))
        crops[at] = _crops(images[unique[start : start + AT_ONCE]], inverse[rows] - start, boxes[at], size)
    return crops


def _crop_size(graph: Graph, field: Field) -> tuple[int, int]:
    return min(field.size[0], graph.input.height), min(field.size[1], graph.input.width)


def _crops(images: NDArray[Any], which: Integers, boxes: Integers, size: tuple[int, int]) -> NDArray[np.float32]:
    """Cut (n, h, w, C) in [0, 1] out of images[which]; beyond the border 0."""
    values = images.astype(np.float32) / np.float32(255 if images.dtype == np.uint8 else 1)
    rows, inside_rows = _span(boxes[:, 0], boxes[:, 2], size[0], images.shape[1])
    columns, inside_columns = _span(boxes[:, 1], boxes[:, 3], size[1], images.shape[2])
    cut = values[which[:, None, None], rows[:, :, None], columns[:, None, :]]
    inside = inside_rows[:, :, None] & inside_columns[:, None, :]
    result: NDArray[np.float32] = np.where(inside[..., None], cut, np.float32(0))
    return result


def _span(first: Integers, length: Integers, size: int, side: int) -> tuple[Integers, NDArray[np.bool_]]:
    """Return the pixels (n, size) that crops take along one axis, kept inside the image, and which of them are."""
    first = np.where(length > size, 0, first)  # a field larger than the image: all of the image
    pixels = first[:, None] + np.arange(size)
    return np.clip(pixels, 0, side - 1), (pixels >= 0) & (pixels < side)
