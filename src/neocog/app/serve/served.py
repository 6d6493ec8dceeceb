"""A model as it is served: read from its file, made ready to answer, and known by a digest of that file."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neocog.app.cli import models
from neocog.app.cli.errors import CommandLineError
from neocog.app.serve.settings import BATCH
from neocog.data.decode import decode_image
from neocog.data.resize import Images, ImageSize
from neocog.engines.base import Array
from neocog.engines.precision import Precision
from neocog.interop.hub.repository import names_a_hub

if TYPE_CHECKING:
    from neocog.model.network import Network

_CHUNK = 1 << 20
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")

Identity = tuple[int, int, int, int]
"""What tells that a file is another one: device, inode, size and time of its last change."""


@dataclass(frozen=True, slots=True)
class ModelPlace:
    """Where a model comes from.

    Arguments:
        path: as the command line has it: a model file, a run folder, an ONNX file, or hub:OWNER/NAME.
        name: that it is served under.
        precision: what it computes with.
    """

    path: Path
    name: str
    precision: Precision = "float32"

    def identity(self) -> Identity | None:
        """Return what tells whether the file has changed; None where it cannot, or where there is none now."""
        if names_a_hub(str(self.path)):
            return None
        try:
            status = models.find_model(self.path).stat()
        except (OSError, CommandLineError):  # it is being replaced
            return None
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

    def open(self, threads: int) -> ServedModel:
        """Read the model; it computes nothing yet.

        Raises:
            CommandLineError, NeocogError: there is none, or it is no classifier.
        """
        before = self.identity()
        network = models.open_model(self.path, "native", threads)
        network.precision = self.precision
        network.graph.check_classifies("neocog serve")
        return ServedModel(self, network, before, _digest(models.find_model(self.path)))


def locations_of(paths: tuple[Path, ...], precision: Precision = "float32") -> tuple[ModelPlace, ...]:
    """Return where models come from, each with a name that an address may hold, and what all compute with.

    Raises:
        CommandLineError: two would have the same name.

    >>> [location.name for location in locations_of((Path("runs/my cats"), Path("b.onnx")))]
    ['my-cats', 'b']
    """
    found: dict[str, Path] = {}
    for path in paths:
        plain = Path(os.path.abspath(path)) if path.name in ("", "..") else path  # noqa: PTH100 - links stay
        stem = plain.name if plain.is_dir() or names_a_hub(str(plain)) else plain.stem
        if stem == "model" and not plain.is_dir():  # the file of a run folder is known by its folder
            stem = Path(os.path.abspath(plain)).parent.name  # noqa: PTH100
        name = _UNSAFE.sub("-", stem).strip("-.") or "model"
        if name in found:
            raise CommandLineError(
                f"{found[name]} and {path} would both be served as {name}",
                hint="give the files other names, or serve them from two processes",
            )
        found[name] = path
    return tuple(ModelPlace(path, name, precision) for name, path in found.items())


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_CHUNK):
            digest.update(block)
    return digest.hexdigest()[:12]


class ServedModel:
    """A model that answers.

    Arguments:
        location: where it came from.
        network: what answers.
        identity: of the file that it was read from.
        version: a digest of that file.
    """

    def __init__(self, location: ModelPlace, network: Network, identity: Identity | None, version: str) -> None:
        self.location, self.network = location, network
        self.identity, self.version = identity, version
        self.name = location.name
        self.size = ImageSize(*network.input_shape)
        self.batch = min(BATCH, network.images_at_once)
        self.version_header = (b"x-model-version", version.encode())

    @property
    def labels(self) -> tuple[str, ...]:
        """What an answer may say, in the order of the outputs."""
        return tuple(self.network.class_names)

    def warm_up(self) -> None:
        """Compile what answers, or find it in the cache, and compute once."""
        self.answer(np.zeros((1, *self.network.input_shape), np.uint8))

    def decode(self, picture: bytes, name: str, max_pixels: int) -> Images:
        """Return the pixels that the network takes of an image file's bytes.

        Raises:
            TooManyPixelsError: it has more pixels. DataError: it cannot be read. MemoryError: there is not enough.
        """
        return decode_image(picture, self.size, self.network.resize, name=name, max_pixels=max_pixels)

    def answer(self, images: Images) -> Array:
        """Return the probabilities (N, outputs) of images, to the bit as `neocog predict` finds them."""
        return self.network.predict_proba(images, batch_size=self.batch)
