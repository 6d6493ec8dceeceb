"""Features of images, computed once: what the body of a network gives for each, and for its mirror image.

They are kept in a file, under a key of all that they follow from: the pixels that the network takes, so how they were
brought to its size too; their order and labels; the body, its weights and what it does to pixels. Whatever of these is
another, they are computed anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from neocog.engines.base import Array
from neocog.errors import FormatError
from neocog.model.files import read_tensor_file, tensor_bytes
from neocog.model.network import Network
from neocog.model.nodes import nodes_to_json
from neocog.model.remade import remade
from neocog.model.views import PLAIN
from neocog.model.writing import write_atomically
from neocog.nn.transfer import head_of, up_to
from neocog.train.source import ArraySource, BatchSource

FORMAT = 1
MAX_BYTES = 1 << 34  # of a file
FeatureProgress: TypeAlias = Callable[[int, int], None]
"""Called with how many images are done, and how many there are."""


@dataclass(frozen=True, slots=True)
class Features:
    """The features of images.

    Arguments:
        values: (N, features) float32. Where mirror images count too, all of these follow behind all images.
        labels: (N,) or (N, outputs), in the same order.
    """

    values: Array
    labels: NDArray[np.generic]

    def source(self, scale: float, *, batch_size: int, shuffle: bool, seed: int = 0) -> ArraySource:
        """Return batches of them, as images of 1 x 1 pixels; each value times `scale`."""
        images = (self.values * np.float32(scale))[:, None, None, :]
        return ArraySource(images, self.labels, batch_size=batch_size, shuffle=shuffle, seed=seed)


def features_of(
    network: Network,
    source: BatchSource,
    *,
    mirrored: bool = False,
    kept_in: Path | None = None,
    progress: FeatureProgress = lambda done, total: None,
) -> Features:
    """Return the features of all images of a source, from a file where they are there.

    Arguments:
        network: with a head, as `neocog.model.remade.for_classes` gives it.
        source: in an order of its own, which does not change.
        mirrored: whether mirror images count too.
        kept_in: the file; None: they are computed anew.
        progress: is told how far it is.

    Cost: a forward pass of the body for each image; where they are kept, one pass over the pixels.
    """
    body = remade(network, up_to(network.graph, head_of(network.graph).body))
    body.views = PLAIN
    begun = _key_of(body, mirrored)
    if kept_in is not None and kept_in.exists():
        key, labels = begun.copy(), []
        for x, y in source.batches(0):
            _add(key, x, y)
            labels.append(y)
        values = _read(kept_in, key.hexdigest())
        if values is not None:
            progress(source.images, source.images)
            return _features(np.split(values, 2) if mirrored else [values], labels)
    straight, turned, labels, key, done = [], [], [], begun.copy(), 0
    for x, y in source.batches(0):
        _add(key, x, y)
        labels.append(y)
        straight.append(body(x))
        if mirrored:
            turned.append(body(np.ascontiguousarray(x[:, :, ::-1])))
        done += len(x)
        progress(done, source.images)
    views = [np.concatenate(views) for views in (straight, turned) if views]
    if kept_in is not None:
        document = {"format": FORMAT, "key": key.hexdigest()}
        write_atomically(kept_in, tensor_bytes(document, {"features": np.concatenate(views)}), forced=False)
    return _features(views, labels)


def _features(views: list[Array], labels: list[NDArray[np.generic]]) -> Features:
    every = np.concatenate(labels)
    return Features(np.concatenate(views), np.concatenate([every] * len(views)))


def _key_of(body: Network, mirrored: bool) -> hashlib.blake2b:
    normalisation = body.graph.normalisation
    said = {
        "format": FORMAT,
        "nodes": nodes_to_json(body.graph),
        "mean": normalisation.mean,
        "std": normalisation.std,
        "mirrored": mirrored,
        "engine": body.engine if isinstance(body.engine, str) else body.engine.name,  # which round differently
        **({} if body.precision == "float32" else {"precision": body.precision}),
    }
    key = hashlib.blake2b(json.dumps(said, sort_keys=True).encode(), digest_size=32)
    for name, value in body.parameters.items():
        key.update(name.encode())
        key.update(np.ascontiguousarray(value).data)
    return key


def _add(key: hashlib.blake2b, images: NDArray[np.generic], labels: NDArray[np.generic]) -> None:
    for array in (images, labels):
        key.update(f"{array.dtype.str}{array.shape}".encode())
        key.update(np.ascontiguousarray(array).data)


def _read(path: Path, key: str) -> Array | None:
    """Return what a file holds, if it has this key, and is whole."""
    try:
        content = read_tensor_file(path, most_bytes=MAX_BYTES)
    except FormatError:
        return None
    if content.document.get("format") != FORMAT or content.document.get("key") != key:
        return None
    return content.tensors.get("features")
