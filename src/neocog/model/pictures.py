"""What callers hand a model to look at: arrays, or pictures (see `neocog.data.picture`), in pieces.

A picture becomes pixels by the one decoder, `neocog.data.decode`, at the model's size and by its resize rule. So does
an array of one image in a list, where pictures or images of other sizes are with it. A batch, one array of many images,
must be of the model's size: of another, it is more likely a mistake.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, TypeAlias, cast

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

AnyPicture: TypeAlias = Picture | NDArray[np.generic]
"""One image: a picture, or an array (H, W), (H, W, C) or (C, H, W), uint8 or floating-point in [0, 1]."""

AnyImages: TypeAlias = NDArray[np.generic] | Picture | Sequence[AnyPicture]
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
    pictures = _pictures(images, graph.input)
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
    if is_picture(images) or (isinstance(images, list | tuple) and any(map(is_picture, images))):
        raise DataError(
            "an array of images was needed, got image files",
            hint="neocog.data.decode.decode_image makes an array of one; neocog train takes folders",
        )
    return check_values(graph, check_images(graph, images))


def decode(picture: AnyPicture, image: ImageShape, resize: ResizeRule, *, name: str | None = None) -> Images:
    """Return one picture as a network takes it, (height, width, channels): uint8, or float32 of a floating-point array.

    Arguments:
        picture: of any size.
        image: what the network takes.
        resize: how it is brought to that.
        name: what errors call it, unless it is a path.

    Raises:
        DataError: it cannot be read, or is no picture.
    """
    if not is_picture(picture) and not isinstance(picture, np.ndarray):
        raise DataError(
            f"{name or 'image'}: a picture was needed, got {shown(type(picture).__name__)}",
            hint="a path, the bytes of a file, a file object, a Pillow image, or an array",
        )
    size = ImageSize(image.height, image.width, image.channels)
    return decode_image(picture, size, resize, name=None if isinstance(picture, str | os.PathLike) else name)


def _pictures(images: Any, size: ImageShape) -> list[AnyPicture] | None:
    """Return the pictures that were handed in; None where it is an array, or becomes one."""
    if isinstance(images, np.ndarray) and images.ndim > 1:  # the usual case, and quick
        return None
    if is_picture(images):
        return [images]
    if isinstance(images, Iterator):  # such as Path.glob gives
        images = list(images)
    elif isinstance(images, np.ndarray) and images.ndim == 1 and images.dtype.kind in "UO":
        images = images.tolist()
    if not isinstance(images, list | tuple) or not images:
        return None
    if not any(map(is_picture, images)) and not _of_other_sizes(images, size):
        return None
    for place, image in enumerate(images):
        if not is_picture(image) and not _is_image(image):
            raise DataError(
                f"images must be files or arrays of one image each, got {shown(type(image).__name__)} at place {place}"
            )
    return list(images)


def _is_image(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.ndim in (2, 3)


def _of_other_sizes(images: Sequence[Any], size: ImageShape) -> bool:
    """Whether all are arrays of one image each, and some not of a network's size."""
    fitting = {(size.height, size.width, size.channels), *([(size.height, size.width)] if size.channels == 1 else [])}
    return all(map(_is_image, images)) and any(image.shape not in fitting for image in images)


def _decoded(graph: Graph, resize: ResizeRule, pictures: list[AnyPicture], size: int) -> Iterator[Images]:
    # The same file object or image twice: two threads would read from one position.
    shared = len(set(map(id, pictures))) < len(pictures)
    workers = 0 if len(pictures) == 1 or shared else worker_count()

    def read(item: tuple[int, AnyPicture]) -> Images:
        place, picture = item
        return decode(picture, graph.input, resize, name=None if len(pictures) == 1 else f"image {place}")

    numbered = list(enumerate(pictures))
    for start in range(0, len(pictures), size):
        piece = numbered[start : start + size]
        images = map_in_order(read, piece, workers=workers, ahead=size)
        yield from stacked(images)


def stacked(images: Iterable[Images]) -> Iterator[Images]:
    """Yield single images as batches, in order: an engine takes uint8 or float32, and these may be mixed.

    >>> [len(batch) for batch in stacked([np.zeros((1, 1, 1), kind) for kind in (np.uint8, np.uint8, np.float32)])]
    [2, 1]
    """
    for _, same in groupby(images, key=lambda image: image.dtype):
        yield cast(Images, np.stack(list(same)))
