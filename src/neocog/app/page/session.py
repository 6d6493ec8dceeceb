"""What a page is about: a model, the images that it was shown, a data set to look through, and what came of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neocog.app.page.kept import Kept
from neocog.data.dataset import Dataset
from neocog.data.decode import fit_image, read_image
from neocog.data.resize import DEFAULT_RESIZE, ImageSize, ResizeRule
from neocog.errors import DataError, SettingError
from neocog.explain.gradient import GradientFlow, gradient_flow, read_target
from neocog.explain.observed import observe
from neocog.explain.subject import Subject
from neocog.explain.trace import Trace

READ_BATCH = 256  # images that are read at a time to find those that cannot be
KEPT_INPUTS, INPUT_BYTES = 64, 32 * 2**20  # images that questions may name
KEPT_RESULTS, RESULT_BYTES = 48, 96 * 2**20  # what came of them
MOST_IMAGES = 10_000  # of a data set that are looked through
MOST_BYTES = 64 * 2**20  # of an image file that the page is given
LONGEST = 256  # pixels of a picture that is not for the network
FIRST = "first"
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Input:
    """An image that the network is shown: (H, W, C), uint8 or in [0, 1].

    name: what to call it. note: what was done to it. labels: the index of its class, or those of its labels, as
    far as they are known.
    """

    image: NDArray[Any]
    name: str
    note: str | None = None
    labels: tuple[int, ...] = ()


class Gallery:
    """The images of a data set that patterns are looked for in, at the network's size.

    Arguments:
        dataset: labelled images.
        size, resize: what the network takes.
        class_names: the network's; images of other classes have no label.
        name: what to call the data.
    """

    def __init__(
        self, dataset: Dataset, size: ImageSize, resize: ResizeRule, class_names: tuple[str, ...], name: str
    ) -> None:
        self.name = name
        self._dataset, self._size, self._resize = dataset, size, resize
        count = min(len(dataset), MOST_IMAGES)
        # spread over the whole, since many data sets lie class by class
        chosen = np.linspace(0, len(dataset) - 1, count).astype(np.int64) if count else np.zeros(0, np.int64)
        readable = [
            dataset.read(part, size, resize)[1] for part in np.array_split(chosen, -(-count // READ_BATCH) or 1)
        ]
        self._indices: NDArray[np.int64] = chosen[np.concatenate(readable)]
        self.unreadable: int = count - len(self._indices)
        places = {label: index for index, label in enumerate(class_names)}
        found = [places.get(label, -1) for label in dataset.class_names]
        self._known = found
        # the class of each image; -1 where that is none of the model's, or an image may have several
        self.labels: NDArray[np.int64] = np.full(len(self._indices), -1, np.int64)
        if not dataset.several_labels:
            self.labels = np.array(found, np.int64)[dataset.labels[self._indices]]

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, rows: Any, /) -> NDArray[Any]:
        """Return the images (n, H, W, C) of a slice, or of an array of indices.

        Raises:
            DataError: one cannot be read; which cannot was found out, and left out, when the gallery was made.
        """
        images, readable = self._dataset.read(self._indices[rows], self._size, self._resize)
        if not readable.all():
            bad = int(self._indices[rows][~readable][0])
            raise DataError(self._dataset.unreadable.get(bad, f"image {bad} of {self.name} cannot be read"))
        return images

    def input(self, index: int) -> Input:
        """Return one image as an input.

        Raises:
            SettingError: there is no such image.
        """
        if not 0 <= index < len(self):
            raise SettingError(f"index must be a whole number from 0 to {len(self) - 1}, got {index}")
        place = int(self._indices[index])
        own = self._dataset.labels[place]
        present = np.flatnonzero(own) if self._dataset.several_labels else [own]
        labels = tuple(self._known[label] for label in present if self._known[label] >= 0)
        return Input(self[index : index + 1][0], f"{self.name}: {self._dataset.identifiers[place]}", None, labels)


@dataclass(slots=True)
class Session:
    """All that a page may ask about.

    Arguments:
        model: what is explained.
        title: what to call it.
        gallery: a data set to look through, or None.
        run: the run folder that the model came from, or None.
        lesson: whether this is the worked example.
        engine: what to call the model's own engine.
    """

    model: Subject
    title: str
    gallery: Gallery | None = None
    run: Path | None = None
    lesson: bool = False
    notebook: bool = False
    engine: str = "native"
    inputs: Kept[str, Input] = field(default_factory=lambda: Kept(KEPT_INPUTS, INPUT_BYTES, FIRST))
    _results: Kept[Hashable, Any] = field(default_factory=lambda: Kept(KEPT_RESULTS, RESULT_BYTES))
    _under_way: dict[Hashable, threading.Lock] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _counter: int = 0

    @property
    def size(self) -> ImageSize:
        """What images are resized to."""
        shape = self.model.graph.input
        return ImageSize(shape.height, shape.width, shape.channels)

    @property
    def resize(self) -> ResizeRule:
        """How they are."""
        rule: ResizeRule = getattr(self.model, "resize", DEFAULT_RESIZE)
        return rule

    def add(self, item: Input, name: str | None = None) -> str:
        """Keep an image, under a name of its own; the oldest but the first are forgotten."""
        with self._lock:
            self._counter += 1
            name = name or f"i{self._counter}"
            self.inputs[name] = item
            return name

    def decode(self, body: bytes, name: str, side: int | None = None) -> Input:
        """Read an image file as the network takes it; or in its own shape and in colour, at most `side` pixels long.

        Raises:
            DataError: it is no image, or of too many pixels.
        """
        image = read_image(body, name=name)
        return self._fitted(image, name, side)

    def pixels(self, body: bytes, height: int, width: int, side: int | None = None) -> Input:
        """Take what was drawn: rows of RGBA. side: as in `decode`.

        Raises:
            DataError: there are not as many bytes as pixels.
        """
        if not (0 < height <= 4096 and 0 < width <= 4096) or len(body) != height * width * 4:
            raise DataError(f"a drawing of {height} x {width} pixels needs 4 bytes per pixel, got {len(body):,} bytes")
        return self._fitted(Image.frombytes("RGBA", (width, height), body).convert("RGB"), "drawing", side)

    def _fitted(self, image: Image.Image, name: str, side: int | None) -> Input:
        if side is not None:
            if not 1 <= side <= LONGEST:
                raise SettingError(f"side must be a whole number from 1 to {LONGEST}, got {side}")
            share = min(1.0, side / max(image.height, image.width))
            own = ImageSize(max(1, round(image.height * share)), max(1, round(image.width * share)), 3)
            return Input(fit_image(image, own, DEFAULT_RESIZE, name=name), name)
        size = self.size
        note = None
        if (image.height, image.width) != (size.height, size.width) or not self.resize.keeps:
            note = f"{image.height} x {image.width} pixels, resized to {size.height} x {size.width} by {self.resize}"
        return Input(fit_image(image, size, self.resize, name=name), name, note)

    def input(self, name: str) -> Input:
        """Find an image.

        Raises:
            SettingError: it is not there, or not any more.
        """
        with self._lock:
            found = self.inputs.get(name)
        if found is None:
            raise SettingError(f"there is no image {name!r}", hint="reload the page, or choose an image again")
        return found

    def remember(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        """Return what `compute` returns, from memory if it was asked for lately."""
        with self._lock:
            if key in self._results:
                return cast(Value, self._recall(key))
            under_way = self._under_way.setdefault(key, threading.Lock())
        # Two views that ask for the same have it computed once; if that is cancelled, the next one does it.
        with under_way:
            with self._lock:
                if key in self._results:
                    return cast(Value, self._recall(key))
            try:
                value = compute()
                with self._lock:
                    self._results[key] = value
            finally:
                with self._lock:
                    self._under_way.pop(key, None)
            return value

    def _recall(self, key: Hashable) -> Any:
        self._results.move_to_end(key)
        return self._results[key]

    def trace(self, name: str) -> Trace:
        """Return an image's way through the network, as the model's engine computes it."""
        image = self.input(name).image
        return self.remember(("trace", name), lambda: observe(self.model, image))

    @property
    def control(self) -> int:
        """A seed of random weights that are not those the network began its training with."""
        return int(getattr(self.model, "seed", 0)) + 1

    def flow(self, name: str, target: str) -> GradientFlow:
        """Return the gradient of a target for an image."""
        wanted = read_target(self.model, target)
        return self.remember(("flow", name, wanted), lambda: gradient_flow(self.trace(name), wanted))
