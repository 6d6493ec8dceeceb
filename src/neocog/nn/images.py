"""What images a network takes, and what is said of arrays that it does not.

Engines and explanations both ask here, each on the way to the type that it computes with.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from neocog.errors import DataError, ShapeError
from neocog.nn.graph import Graph
from neocog.nn.normalisation import UNKNOWN_LIMIT

AnyArray = TypeVar("AnyArray", bound=NDArray[Any])


def check_batch(graph: Graph, images: NDArray[Any]) -> NDArray[Any]:
    """Return images as (N, H, W, C), uint8 or floating-point; grey ones may come as (N, H, W).

    Raises:
        ShapeError: they are not of the network's size.
        DataError: they are neither uint8 nor floating-point.
    """
    height, width, channels = want = (graph.input.height, graph.input.width, graph.input.channels)
    images = np.asarray(images)
    if images.ndim == 3 and channels == 1 and images.shape[1:] == want[:2]:
        images = images[..., None]
    if images.ndim != 4 or images.shape[1:] != want:
        one = images.shape in (want, want[:2] if channels == 1 else want)
        raise ShapeError(
            f"images must have the shape (N, {height}, {width}, {channels}), got {images.shape}",
            hint="pass a batch: images[None] makes one of a single image" if one else _hint(want, images, "images"),
        )
    _check_type(images)
    return images


def check_image(graph: Graph, image: NDArray[Any]) -> NDArray[Any]:
    """Return one image (H, W, C), (H, W) if grey, or a batch of one, as a batch (1, H, W, C), as `check_batch` does.

    Raises:
        ShapeError, DataError: as `check_batch`.
    """
    want = (graph.input.height, graph.input.width, graph.input.channels)
    image = np.asarray(image)
    if image.shape == want[:2] and want[2] == 1:
        image = image[..., None]
    if image.shape == want:
        image = image[None]
    if image.shape != (1, *want):
        several = image.ndim == 4 and image.shape[1:] == want
        raise ShapeError(
            f"the image must have the shape {want}, got {image.shape}",
            hint="pass one image of the batch, such as images[0]" if several else _hint(want, image, "image"),
        )
    _check_type(image)
    return image


def check_values(graph: Graph, images: AnyArray) -> AnyArray:
    """Return floating-point images back if they can be what the network takes: in [0, 1], where it normalises them
    itself; else also normalised by the caller.

    Raises:
        DataError: they hold NaN, run to 255, or are normalised already where the network does it: it would answer, and
            mean nothing.
    """
    if images.dtype == np.uint8 or not images.size:
        return images
    low, high = float(images.min()), float(images.max())
    if not np.isfinite(low + high):
        raise DataError("the images hold NaN or infinite values")
    lowest, highest = graph.normalisation.value_limits
    if lowest <= low and high <= highest:
        return images
    value = f"down to {low:g}" if low < lowest else f"up to {high:g}"
    if max(-low, high) > UNKNOWN_LIMIT or graph.normalisation.is_identity:
        raise DataError(
            f"floating-point images must run from 0 to 1, got values {value}",
            hint="pass them as uint8, or divide them by 255",
        )
    raise DataError(
        f"floating-point images must run from 0 to 1, since this model normalises them by itself, got values {value}",
        hint="pass them as they were before they were normalised; images.clip(0, 1) cuts off what resizing overshot",
    )


def _check_type(images: NDArray[Any]) -> None:
    if images.dtype.kind != "f" and images.dtype != np.uint8:
        raise DataError(
            f"images must be uint8 or floating-point, got {images.dtype}",
            hint="uint8 runs from 0 to 255, floating-point from 0 to 1",
        )


def _hint(want: tuple[int, int, int], images: NDArray[Any], name: str) -> str | None:
    """Return what to do about an array of another shape, whatever its number of images."""
    height, width, channels = want
    shape = images.shape[1:] if images.ndim == 4 else images.shape
    if shape == (channels, height, width):
        axes = "0, 2, 3, 1" if images.ndim == 4 else "1, 2, 0"
        layout = "(N, channels, height, width)" if images.ndim == 4 else "(channels, height, width)"
        return f"these look like {layout}: pass {name}.transpose({axes})"
    if images.ndim in (2, 3, 4) and images.size and images.dtype != object:
        return (
            f"a path or a Pillow image is brought to the shape {want}, an array is not: "
            "pass Image.fromarray(array), or use neocog.data.resize_array"
        )
    return None
