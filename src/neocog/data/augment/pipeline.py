"""Transforms one after another: what happens to images between memory and the network.

Images that the network takes as floating-point numbers from 0 to 1 are rounded to 256 levels on the way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neocog.data.augment.crop import READ_SHARE, RandomResizedCrop
from neocog.data.augment.draws import Draws
from neocog.data.augment.transform import Mix, Pictures, Targets, Transform
from neocog.data.resize import Images, ImageSize
from neocog.errors import DataError, SettingError


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Transforms, and the seed that they draw with.

    Arguments:
        transforms: in the order in which they are done; those that mix images come last, whatever their place.
        seed: of the training.

    >>> from neocog.data.augment.flip import RandomFlip
    >>> images = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
    >>> Pipeline((RandomFlip(1.0),)).pictures(images, np.array([0]), 0, (2, 2))[0, 0].tolist()
    [[3, 4, 5], [0, 1, 2]]
    """

    transforms: tuple[Transform, ...] = ()
    seed: int = 0

    def __bool__(self) -> bool:
        return bool(self.transforms)

    @property
    def mixes(self) -> bool:
        """Whether images are mixed, so that labels become rows."""
        return any(isinstance(transform, Mix) for transform in self.transforms)

    def read_size(self, size: ImageSize, native: ImageSize | None = None) -> ImageSize:
        """Return the size that images are to be read in: larger than the network's where parts of them are cut out.

        Arguments:
            size: the network's.
            native: that all images have, if they have one: there is nothing to gain above it.
        """
        if not any(isinstance(transform, RandomResizedCrop) for transform in self.transforms):
            return size
        sides = [round(side * READ_SHARE) for side in (size.height, size.width)]
        if native is not None:
            sides = [
                max(side, min(larger, most))
                for side, larger, most in zip(size.shape, sides, native.shape, strict=False)
            ]
        return replace(size, height=sides[0], width=sides[1])

    def pictures(self, images: Images, indices: NDArray[np.int64], epoch: int, sides: tuple[int, int]) -> Pictures:
        """Return changed images; they are new, or those given, which may be written to.

        Arguments:
            images: (n, height, width, channels), of `read_size`.
            indices: (n,) which images they are.
            epoch: from 0.
            sides: height and width that the network takes.
        """
        changed = _bytes_of(images)
        for place, transform in enumerate(self.transforms):
            if len(changed) and not isinstance(transform, Mix):
                changed = transform.apply(changed, Draws(self.seed, epoch, indices, place), sides)
        return changed

    def mixed(
        self, images: Pictures, labels: NDArray[Any], indices: NDArray[np.int64], epoch: int, classes: int
    ) -> tuple[Pictures, NDArray[Any]]:
        """Return one batch mixed, with labels as rows; as it is, where nothing mixes.

        Arguments:
            images, indices, epoch: as for `pictures`.
            labels: (n,) class indices, or (n, classes).
            classes: how many there are.
        """
        if not self.mixes:
            return images, labels
        targets: Targets = np.zeros((len(labels), classes), np.float32)
        if labels.ndim == 1:
            targets[np.arange(len(labels)), labels] = 1
        elif labels.shape == targets.shape:
            targets[...] = labels
        else:
            raise SettingError(
                f"only images with a label, or a row for {classes} classes, can be mixed, got labels of {labels.shape}"
            )
        for place, transform in enumerate(self.transforms):
            if isinstance(transform, Mix):
                images, targets = transform.mix(images, targets, Draws(self.seed, epoch, indices, place))
        return images, targets

    def mixed_apart(
        self,
        images: Pictures,
        labels: NDArray[Any],
        indices: NDArray[np.int64],
        epoch: int,
        classes: int,
        together: int,
    ) -> tuple[Pictures, NDArray[Any]]:
        """Return the same, where each image is mixed with others of the same so many."""
        if not self.mixes or len(images) <= together:
            return self.mixed(images, labels, indices, epoch, classes)
        parts = [slice(start, start + together) for start in range(0, len(images), together)]
        mixed = [self.mixed(images[part], labels[part], indices[part], epoch, classes) for part in parts]
        return np.concatenate([pictures for pictures, _ in mixed]), np.concatenate([rows for _, rows in mixed])


UNCHANGED = Pipeline()
"""Images as they are."""


def _bytes_of(images: Images) -> Pictures:
    if images.dtype == np.uint8:
        return images  # type: ignore[return-value]  # NumPy's types do not follow from a comparison
    if images.size and not (images.min() >= -1e-3 and images.max() <= 1 + 1e-3):
        raise DataError(
            f"augmentation takes images from 0 to 1, or bytes, got values {images.min():g} to {images.max():g}",
            hint="pass images that are not normalised; a model with mean and std does it by itself",
        )
    levels: Pictures = np.rint(np.clip(images.astype(np.float32), 0, 1) * 255).astype(np.uint8)
    return levels
