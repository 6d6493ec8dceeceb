"""filters.safetensors: the first filters of a network as they were after each epoch. See docs/formats.md.

They are there to be looked at: no training depends on them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neocog.engines.base import Array
from neocog.errors import FormatError
from neocog.model.fields import check_integer, check_keys
from neocog.model.files import MAX_HEADER, listed, read_tensor_file, shown_value, tensor_bytes, write_atomically
from neocog.model.network import Network
from neocog.nn.graph import Graph
from neocog.nn.layers import Conv2d
from neocog.reading import expanded

FORMAT = 1
MOST_LAYERS = 2
MOST_EPOCHS = 64
SMALL_BYTES = 64 << 10  # of a layer's weights, up to which it is kept, and the next one may be
LARGEST_BYTES = 1 << 20  # of the first layer's
MAX_BYTES = MOST_EPOCHS * (LARGEST_BYTES + SMALL_BYTES) + MAX_HEADER  # of a file

_KEYS = ("format", "layers", "epochs")


@dataclass(frozen=True, slots=True)
class Snapshots:
    """Filters, epoch by epoch.

    Arguments:
        epochs: which, rising; 0 is before training. After more than 64 epochs only every second, fourth, ... is there,
            and the last.
        filters: name of a layer ("0") → (epochs, kernel rows, kernel columns, input channels, filters).
    """

    epochs: tuple[int, ...]
    filters: dict[str, Array]


def load_snapshots(path: str | Path) -> Snapshots:
    """Read a filters.safetensors.

    Raises:
        FormatError: there is no such file, it is damaged, or it holds something else.
    """
    path = expanded(path)
    content = read_tensor_file(path, most_bytes=MAX_BYTES)
    try:
        epochs, layers = _read_document(content.document)
        wanted = {_tensor_name(epoch, layer) for epoch in epochs for layer in layers}
        if set(content.tensors) != wanted:
            different = sorted(wanted ^ set(content.tensors))
            raise FormatError("the tensors are not those of its epochs and layers", details=listed(different))
        filters = {layer: [content.tensors[_tensor_name(epoch, layer)] for epoch in epochs] for layer in layers}
        for layer, values in filters.items():
            shapes = {value.shape for value in values}
            if len(shapes) > 1 or values[0].ndim != 4:
                raise FormatError(f"the weights of layer {layer} must have one shape of 4 sides, got {sorted(shapes)}")
    except FormatError as error:
        raise FormatError(f"{path}: {error.message}", details=error.details, hint=error.hint) from None
    return Snapshots(epochs, {layer: np.stack(values) for layer, values in filters.items()})


def _read_document(document: dict[str, Any]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    version = document.get("format")
    if "class_names" in document:
        raise FormatError("this is a model file, not filter snapshots", hint="name a filters.safetensors")
    if type(version) is not int or version != FORMAT:
        newer = type(version) is int and version > FORMAT
        hint = "a newer neocog wrote this file: upgrade with pip install -U neocog" if newer else None
        raise FormatError(f"format must be {FORMAT}, got {shown_value(version)}", hint=hint)
    entries = check_keys("the neocog metadata", document, _KEYS)
    epochs, layers = entries["epochs"], entries["layers"]
    if not isinstance(epochs, list) or not epochs:
        raise FormatError(f"epochs must be a list that is not empty, got {shown_value(epochs)}")
    if len(epochs) > MOST_EPOCHS:
        raise FormatError(f"epochs may be at most {MOST_EPOCHS}, got {len(epochs):,}")
    epochs = [check_integer(f"epochs[{place}]", epoch) for place, epoch in enumerate(epochs)]
    if epochs != sorted(set(epochs)):
        raise FormatError(f"epochs must rise, got {shown_value(epochs)}")
    if isinstance(layers, list) and len(layers) > MOST_LAYERS:
        raise FormatError(f"layers may be at most {MOST_LAYERS}, got {len(layers):,}")
    named = isinstance(layers, list) and all(isinstance(layer, str) for layer in layers)
    if not named or not layers or len(set(layers)) < len(layers):
        raise FormatError(f"layers must be a list of names that differ, got {shown_value(layers)}")
    return tuple(epochs), tuple(layers)


class FilterSnapshots:
    """The snapshots of a training that is under way.

    Arguments:
        path: the file; it is written with the first `save`, so that a training which ends before leaves what was there.
        model: as it is before the first epoch to come.
        epoch: the epochs done. Snapshots of these are taken over from the file where they fit the network; those of
            later ones, of a training that was killed, are not.
    """

    def __init__(self, path: Path, model: Network, epoch: int) -> None:
        self._path = path
        self._layers = kept_layers(model.graph)
        self._shots: dict[int, dict[str, Array]] = {}
        if epoch and self._layers:
            self._shots = self._earlier(model, epoch)
        self._shots[epoch] = self._shot(model)

    def save(self, model: Network, epoch: int) -> None:
        """Add the filters after an epoch, and write the file.

        Raises:
            NeocogError: it cannot be written; the old one is as it was.
        """
        if not self._layers:
            if self._path.is_file():
                self._path.unlink()  # of a training that this one replaces
            return
        self._shots[epoch] = self._shot(model)
        self._shots = {kept: self._shots[kept] for kept in kept_epochs(self._shots)}
        tensors = {
            _tensor_name(kept, layer): filters
            for kept, layers in self._shots.items()
            for layer, filters in layers.items()
        }
        document = {"format": FORMAT, "layers": list(self._layers), "epochs": list(self._shots)}
        write_atomically(self._path, tensor_bytes(document, tensors), forced=False)  # nothing depends on it

    def _shot(self, model: Network) -> dict[str, Array]:
        # Parameters are read-only and made anew after each step, so that nobody changes these.
        return {layer: model.parameters[f"{layer}.weight"] for layer in self._layers}

    def _earlier(self, model: Network, epoch: int) -> dict[int, dict[str, Array]]:
        # Without a usable file the training goes on all the same, and its snapshots begin here.
        with contextlib.suppress(FormatError):
            found = load_snapshots(self._path)
            shapes = {layer: values.shape[1:] for layer, values in found.filters.items()}
            if shapes == {layer: value.shape for layer, value in self._shot(model).items()}:
                return {
                    kept: {layer: values[place] for layer, values in found.filters.items()}
                    for place, kept in enumerate(found.epochs)
                    if kept < epoch
                }
        return {}


def kept_layers(graph: Graph) -> tuple[str, ...]:
    """Name the convolutions whose filters are kept: the first, unless it is very large, and a small one behind it."""
    names: list[str] = []
    for node in [node for node in graph.nodes if isinstance(node.layer, Conv2d)][:MOST_LAYERS]:
        size = 4 * int(np.prod(node.weight_shape or ()))
        if size <= (SMALL_BYTES if names else LARGEST_BYTES):
            names.append(node.name)
        if size > SMALL_BYTES:
            break
    return tuple(names)


def kept_epochs(epochs: Iterable[int]) -> list[int]:
    """Choose which snapshots stay: those of every epoch, or of every second, fourth, ..., and the latest.

    That hangs on the latest epoch's number alone, so that a training which was killed leaves the same as one which was
    not.
    """
    epochs = sorted(epochs)
    latest, step = epochs[-1], 1
    while len(range(0, latest, step)) + 1 > MOST_EPOCHS:
        step *= 2
    return [epoch for epoch in epochs if epoch % step == 0 or epoch == latest]


def _tensor_name(epoch: int, layer: str) -> str:
    return f"{epoch}/{layer}.weight"
