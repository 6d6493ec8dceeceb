"""Labelled images in an array."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neocog.data.cache import ImageCache
from neocog.data.dataset import Dataset, ImageFacts, ReadProgress
from neocog.data.near import thumbnail
from neocog.data.resize import DEFAULT_RESIZE, Images, ImageSize, ResizeRule, check_rule, resize_array
from neocog.errors import DataError, SettingError

Layout = Literal["auto", "NHWC", "NCHW"]

MAX_CLASSES = 10_000  # that labels without names may number; more is a slip, such as identifiers for labels
_CHANNELS = (1, 3, 4)  # grey, RGB, RGBA: what "auto" takes for a channel axis
_ROUNDING = 1e-5  # float images may miss [0, 1] by what arithmetic on them leaves
_SHOWN = 5  # class names in a message before "and n others"
_KINDS = {1: "grey", 3: "RGB", 4: "RGBA"}


class ArrayDataset(Dataset):
    """Labelled images in an array.

    Arguments:
        images: (N, H, W, C), (N, C, H, W) or (N, H, W) for grey; uint8, or floating-point in [0, 1], which is kept as
            float32.
        labels: (N,) or (N, 1) integers in 0..classes-1.
        class_names: the name of each label; by default "0", "1", ... up to the largest label.
        layout: "auto" takes four axes for (N, H, W, C), unless the last is none of 1, 3, 4 and the second is. Given
            "NHWC" or "NCHW", any number of channels is accepted.
        limits: lowest and highest value allowed in float images; None allows every finite number.
        prefix: identifiers are "prefix/0", "prefix/1", ...
        memory_budget: bytes that images resized to another size may take, see ImageCache.

    Raises:
        DataError: the arrays do not fit together, or hold values out of range.

    Example:
        >>> data = ArrayDataset(np.zeros((2, 28, 28), np.uint8), [0, 1], ["cat", "dog"])
        >>> data.native_size.shape, data.identifiers[1]
        ((28, 28, 1), 'images/1')
    """

    def __init__(
        self,
        images: ArrayLike,
        labels: ArrayLike,
        class_names: Sequence[str] | None = None,
        *,
        layout: Layout = "auto",
        limits: tuple[float, float] | None = (0.0, 1.0),
        prefix: str = "images",
        memory_budget: int | None = None,
    ) -> None:
        self._images = _check_values(_to_nhwc(_as_array(images, "images"), layout), limits)
        self.labels = check_labels(_as_array(labels, "labels"), len(self._images), class_names)
        if class_names is None:
            class_names = [str(label) for label in range(int(self.labels.max()) + 1)]
        self.class_names = tuple(str(name) for name in class_names)
        self.identifiers = [f"{prefix}/{i}" for i in range(len(self._images))]
        self._size = ImageSize(*self._images.shape[1:])
        self._cache = ImageCache(len(self._images), memory_budget)
        self._digests: list[bytes] | None = None

    @property
    def array(self) -> Images:
        """All images, (N, H, W, C); not to be written to."""
        return self._images

    @property
    def native_size(self) -> ImageSize:
        return self._size

    @property
    def channels(self) -> int:
        return self._size.channels

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._images.dtype

    def read(
        self, indices: NDArray[np.int64], size: ImageSize, resize: ResizeRule = DEFAULT_RESIZE
    ) -> tuple[Images, NDArray[np.bool_]]:
        indices, resize = np.asarray(indices, np.int64), check_rule(resize)
        if size == self._size and resize.keeps:
            # take copies whole images where plain indexing would walk through elements
            return cast(Images, np.take(self._images, indices, axis=0)), np.ones(len(indices), bool)
        if len(indices):
            resize_array(self._images[indices[0]], size, resize)  # a conversion that cannot be is no unreadable image
        return self._cache.read(
            indices, size, resize, self.dtype, lambda i: resize_array(self._images[i], size, resize)
        )

    def resident(self, indices: NDArray[np.int64], size: ImageSize, resize: ResizeRule = DEFAULT_RESIZE) -> bool:
        resize = check_rule(resize)
        return (size == self._size and resize.keeps) or self._cache.holds(indices, size, resize)

    def fits(self, size: ImageSize, resize: ResizeRule = DEFAULT_RESIZE) -> bool:
        resize = check_rule(resize)
        return (size == self._size and resize.keeps) or self._cache.fits(size, resize, self.dtype)

    def digests(self, progress: ReadProgress | None = None) -> list[bytes]:
        if self._digests is None:
            self._digests = array_digests(self._images)
        if progress is not None:
            progress(len(self), len(self))
        return self._digests

    def digests_of(self, indices: NDArray[np.int64]) -> list[bytes | None]:
        return list(array_digests(self._images[indices]))

    def facts(self, index: int) -> ImageFacts:
        height, width, channels = self._size.shape
        mode = f"{self.dtype} {_KINDS.get(channels, f'{channels} channels')}"
        return ImageFacts(height, width, mode, self.digests()[index], thumbnail(self._images[index]).tobytes())


def array_digests(images: Images) -> list[bytes]:
    """Return the 16 bytes by which each image of an array (N, height, width, channels) is known.

    Equal bytes in another shape or type are another picture.
    """
    kind = f"{ImageSize(*images.shape[1:])} {images.dtype}".encode()
    return [hashlib.blake2b(image.data, digest_size=16, key=kind[:64]).digest() for image in images]


def check_labels(labels: NDArray[Any], count: int, class_names: Sequence[str] | None) -> NDArray[np.int64]:
    """Return labels as (N,) int64.

    Arguments:
        labels: (N,) or (N, 1) integers.
        count: images that they belong to.
        class_names: names of the labels, or None to allow any label from 0 on.

    Raises:
        DataError: another shape, type, number or range.
    """
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]  # the shape that Keras serves
    if labels.ndim != 1:
        one_hot = labels.ndim == 2 and labels.shape[0] == count
        raise DataError(
            f"labels need the shape (N,), got {labels.shape}",
            hint="one-hot labels become integers with labels.argmax(axis=1)" if one_hot else None,
        )
    if labels.dtype.kind not in "iu":
        raise DataError(
            f"labels need integers, got {labels.dtype}",
            hint="number the classes: class_names, labels = np.unique(labels, return_inverse=True)",
        )
    if len(labels) != count:
        raise DataError(f"images and labels need the same length, got {count:,} images and {len(labels):,} labels")
    if class_names is not None:
        check_class_names(class_names)
    if class_names is None and len(labels):
        check_class_count(int(labels.max()) + 1)
    highest = len(class_names) - 1 if class_names is not None else np.iinfo(np.int64).max
    wrong = np.flatnonzero((labels < 0) | (labels > highest))
    if len(wrong):
        allowed = f"0..{highest}" if class_names is not None else "0 and up"
        raise DataError(
            f"labels must be in {allowed}, got {labels[wrong[0]]} for image {wrong[0]}",
            details=(f"{len(wrong):,} of {count:,} labels are out of range",),
            hint="labels count from 0, one for each class name",
        )
    return labels.astype(np.int64)


def check_class_names(names: Sequence[str]) -> None:
    """Refuse class names that do not tell classes apart.

    Raises:
        DataError: some are the same.
    """
    if len(set(names)) != len(names):
        doubled = sorted(name for name, times in Counter(names).items() if times > 1)
        more = f" and {len(doubled) - _SHOWN:,} others" if len(doubled) > _SHOWN else ""
        raise DataError(
            f"class names need to differ, got {', '.join(map(repr, doubled[:_SHOWN]))}{more} more than once"
        )


def check_image(image: NDArray[Any]) -> Images:
    """Return one array image as (H, W, C), uint8 or float32, by the rules of ArrayDataset's arguments.

    Raises:
        DataError: another shape, type or range.
    """
    if image.ndim not in (2, 3):
        raise DataError(
            f"an image needs the shape (H, W), (H, W, C) or (C, H, W), got {image.shape}",
            hint="for several images at once use ArrayDataset" if image.ndim == 4 else None,
        )
    return cast(Images, _check_values(_to_nhwc(image[None], "auto"), (0.0, 1.0))[0])


def check_class_count(classes: int, limit: int = MAX_CLASSES) -> None:
    """Refuse labels that number more classes than there can be.

    Raises:
        DataError: more classes than `limit`.
    """
    if classes > limit:
        raise DataError(
            f"labels must be in 0..{limit - 1:,} where classes have no names, got {classes - 1:,}",
            hint="number the classes without gaps: class_names, labels = np.unique(labels, return_inverse=True)",
        )


def _to_nhwc(images: NDArray[Any], layout: Layout) -> NDArray[Any]:
    if layout not in ("auto", "NHWC", "NCHW"):
        raise SettingError(f"layout must be one of auto, NHWC, NCHW, got {layout!r}")
    if images.ndim == 3:
        images, layout = images[:, :, :, None], "NHWC"
    if images.ndim != 4:
        raise DataError(
            f"images need the shape (N, H, W, C), (N, C, H, W) or (N, H, W), got {images.shape}",
            hint="flat rows become images with images.reshape(-1, height, width)" if images.ndim == 2 else None,
        )
    if 0 in images.shape:
        raise DataError(f"images need at least one image of at least 1 x 1 pixels, got the shape {images.shape}")
    if layout == "auto":
        if images.shape[3] in _CHANNELS:
            layout = "NHWC"
        elif images.shape[1] in _CHANNELS:
            layout = "NCHW"
        else:
            raise DataError(
                f"images of shape {images.shape} have no axis of 1, 3 or 4 channels, neither the last nor the second",
                hint='say where the channels are: layout="NHWC" or layout="NCHW"',
            )
    return _interleave(images) if layout == "NCHW" else images


def _as_array(values: ArrayLike, what: str) -> NDArray[Any]:
    try:
        return np.asarray(values)
    except (ValueError, TypeError, OverflowError) as error:  # lists of different lengths, among others
        raise DataError(f"{what} cannot become one array: {error}") from None


def _interleave(planes: NDArray[Any]) -> NDArray[Any]:
    """(N, C, H, W) to (N, H, W, C), plane by plane: on 50,000 CIFAR images several times faster than transposing."""
    n, c, h, w = planes.shape
    flat = planes.reshape(n, c, h * w)
    out = np.empty((n, h * w, c), planes.dtype)
    for channel in range(c):
        out[:, :, channel] = flat[:, channel]
    return out.reshape(n, h, w, c)


def _check_values(images: NDArray[Any], limits: tuple[float, float] | None) -> Images:
    if images.dtype == np.uint8:
        return np.ascontiguousarray(images)
    if images.dtype.kind != "f":
        raise DataError(
            f"images need to be uint8, or floating-point in [0, 1], got {images.dtype}",
            hint="use images.astype(np.uint8) if the values are 0..255",
        )
    lowest, highest = float(images.min()), float(images.max())  # NaN comes through both
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        bad = np.flatnonzero(~np.isfinite(images).all(axis=(1, 2, 3)))
        raise DataError(f"images need finite numbers, got NaN or infinity in image {bad[0]} and {len(bad) - 1:,} more")
    if limits is not None and (lowest < limits[0] - _ROUNDING or highest > limits[1] + _ROUNDING):
        raise DataError(
            f"floating-point images need values in [{limits[0]:g}, {limits[1]:g}], got {lowest:g} to {highest:g}",
            hint="divide by 255, or pass uint8; the model normalises by itself" if highest > 1 else None,
        )
    return np.ascontiguousarray(images, np.float32)
