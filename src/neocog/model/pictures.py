"""What callers hand a model to look at: arrays, or pictures (see `neocog.data.picture`), in pieces.

A picture becomes pixels by the one decoder, `neocog.data.decode`, at the model's size and by its resize rule.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neocog.data.decode import decode_image
from neocog.data.parallel import map_in_order, worker_count
from neocog.data.picture import Picture, is_picture
from neocog.data.resize import ImageSize, ResizeRule
from neocog.engines.base import Images, check_images, check_values
from neocog.errors import DataError
from neocog.nn.graph import Graph
from neocog.nn.limits import memory_values, shown
from neocog.nn.shapes import ImageShape

AnyImages: TypeAlias = NDArray[np.generic] | Picture | Sequence[Picture]
"""What a model can be asked about."""

PIECES = (256, 64, 8)
"""Images that an engine gets at a time: 256, so that memory stays bounded for any number of images; of large images,
fewer. The native engine makes its programs for 64, 8 and 1 images."""

PIECE_VALUES = 1 << 28
"""Values between two layers that a piece may have, padded as engines do, unless one image alone has more."""


def piece_size(graph: Graph) -> int:
    """Return how many images an engine shall get at a time.

    >>> from neocog.nn.graph import trace
    >>> from neocog.nn.blocks import Sequential
    >>> from neocog.nn.layers import Flatten, Linear, MaxPool2d
    >>> net = Sequential(MaxPool2d(7), Flatten(), Linear(2))
    >>> piece_size(trace(net, (28, 28, 1))), piece_size(trace(net, (4095, 4095, 3)))
    (256, 1)
    """
    shapes = (graph.input, *(node.output for node in graph.nodes))
    widest = max(
        memory_values(shape.height, shape.width, shape.channels) if isinstance(shape, ImageShape) else shape.size
        for shape in shapes
    )
    return next((size for size in PIECES if size * widest <= PIECE_VALUES), 1)


def in_pieces(
    graph: Graph, resize: ResizeRule, images: AnyImages | Iterator[Picture], size: int
) -> tuple[int, Iterator[Images]]:
    """Return how many images there are, and the images as engines take them, at most `size` at a time.

    Arrays are checked before the first piece; pictures are decoded piece by piece.

    Raises:
        ShapeError, DataError: arrays that are not of the network's size, or not in its range; also, when its piece is
            due, a picture that cannot be read.
    """
    pictures = _pictures(images)
    if pictures is None:
        x = checked_arrays(graph, images)
        return len(x), (x[start : start + size] for start in range(0, len(x), size))
    return len(pictures), _decoded(graph, resize, pictures, size)


def checked_arrays(graph: Graph, images: Any) -> Images:
    """Return images that must be arrays as engines take them.

    Raises:
        ShapeError: they are not of the network's size.
        DataError: they are pictures, or their values are not in the network's range.
    """
    if _pictures(images) is not None:
        raise DataError(
            "an array of images was needed, got image files",
            hint="neocog.data.decode.decode_image makes an array of one; neocog train takes folders",
        )
    return check_values(graph, check_images(graph, images))


def _pictures(images: Any) -> list[Picture] | None:
    """Return the pictures that were handed in; None where it is an array."""
    if isinstance(images, np.ndarray) and images.ndim > 1:  # the usual case, and quick
        return None
    if is_picture(images):
        return [images]
    if isinstance(images, Iterator):  # such as Path.glob gives
        images = list(images)
    elif isinstance(images, np.ndarray) and images.ndim == 1 and images.dtype.kind in "UO":
        images = images.tolist()
    if not isinstance(images, list | tuple) or not images or not any(map(is_picture, images)):
        return None
    for place, image in enumerate(images):
        if not is_picture(image):
            raise DataError(
                f"images must all be files, or all be arrays, got {shown(type(image).__name__)} at place {place}"
            )
    return list(images)


def _decoded(graph: Graph, resize: ResizeRule, pictures: list[Picture], size: int) -> Iterator[Images]:
    wanted = ImageSize(graph.input.height, graph.input.width, graph.input.channels)
    # The same file object or image twice: two threads would read from one position.
    shared = len(set(map(id, pictures))) < len(pictures)
    workers = 0 if len(pictures) == 1 or shared else worker_count()

    def decode(item: tuple[int, Picture]) -> NDArray[np.uint8]:
        place, picture = item
        named = len(pictures) == 1 or isinstance(picture, str | os.PathLike)
        return decode_image(picture, wanted, resize, name=None if named else f"image {place}")

    numbered = list(enumerate(pictures))
    for start in range(0, len(pictures), size):
        piece = numbered[start : start + size]
        yield np.stack(list(map_in_order(decode, piece, workers=workers, ahead=size)))
