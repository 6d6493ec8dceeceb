"""The data sets of the comparison as arrays: what is trained on, and what is measured on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neocog.data.dataset import Dataset, Source
from neocog.data.resize import ImageSize
from neocog.data.sources import read_source

CIFAR_HELD_OUT = 5  # the last of so many parts of the training images is held out: the file data_batch_5.bin
SIDE = 96  # pixels, of photographs


@dataclass(frozen=True, slots=True)
class Parts:
    """Images (N, height, width, channels) of bytes, and classes (N,).

    Arguments:
        train: what is trained on. held_out: what is measured on, which chooses nothing.
        mirrors: whether an experienced person would mirror the images.
    """

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    held_out: NDArray[np.uint8]
    held_out_labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    mirrors: bool = True

    @property
    def mean(self) -> tuple[float, ...]:
        """Of each channel, on values in [0, 1]."""
        return tuple((self.images.mean((0, 1, 2)) / 255).round(4).tolist())

    @property
    def std(self) -> tuple[float, ...]:
        """The standard deviation of each channel."""
        return tuple((self.images.std((0, 1, 2)) / 255).round(4).tolist())


def read_parts(location: Path) -> Parts:
    """Read a data set and say what is held out: of CIFAR-10 the last fifth of the training images, else the test part,
    with the validation part where there is one.
    """
    source = read_source(str(location))
    assert source.train is not None, f"{location} holds no training images"
    name, train = source.name, source.train
    if train.native_size == ImageSize(32, 32, 3):
        images, labels = _arrays(train)
        learnt = len(images) * (CIFAR_HELD_OUT - 1) // CIFAR_HELD_OUT
        return Parts(name, images[:learnt], labels[:learnt], images[learnt:], labels[learnt:], train.class_names)
    held_out = [_arrays(part) for part in _held_out(source)]
    images, labels = _arrays(train)
    rest, rest_labels = (np.concatenate(values) for values in zip(*held_out, strict=True))
    return Parts(name, images, labels, rest, rest_labels, train.class_names, mirrors=images.shape[-1] > 1)


def _held_out(source: Source) -> list[Dataset]:
    parts = [part for part in (source.validation, source.test) if part is not None]
    assert parts, f"{source.name} holds no images to measure on"
    return parts


def _arrays(data: Dataset) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    native = data.native_size
    size = native if native is not None and native.height <= SIDE else ImageSize(SIDE, SIDE, data.channels)
    return np.asarray(data.images(size=size), np.uint8), np.asarray(data.labels, np.int64)
