"""filters.safetensors: what a training made of its filters, and of what they answer to one image. See docs/formats.md.

They are there to be looked at: no training depends on them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neocog.engines.base import Array, Images, check_images
from neocog.errors import FormatError
from neocog.model.fields import check_integer, check_keys
from neocog.model.files import MAX_HEADER, read_tensor_file, tensor_bytes
from neocog.model.json_values import listed, shown_value
from neocog.model.network import Network
from neocog.model.writing import write_atomically
from neocog.nn.graph import Graph
from neocog.nn.layers import Conv2d
from neocog.nn.shapes import ImageShape
from neocog.reading import expanded
from neocog.train.source import BatchSource, epoch_of

FORMAT = 2
MOST_LAYERS = 512
MOST_EPOCHS = 24
WEIGHT_BYTES = 1 << 20  # of all filters after one epoch
MAP_BYTES = 1 << 20  # of all maps after one epoch
MOST_MAPS = 64  # of a layer
LONGEST_SIDE = 64  # cells of a map; of longer ones every second, third, ... cell is kept
IMAGE_BYTES = 16 << 20  # of the image, which is else left out
MAX_BYTES = MOST_EPOCHS * (WEIGHT_BYTES + MAP_BYTES) + IMAGE_BYTES + MAX_HEADER  # of a file

_KEYS = ("format", "layers", "epochs", "maps")
_IMAGE = "image"


@dataclass(frozen=True, slots=True)
class Snapshots:
    """Filters, epoch by epoch.

    Arguments:
        epochs: which, rising; the first is before training. See `is_kept`.
        filters: name of a layer ("0") → (epochs, kernel rows, kernel columns, input channels, filters): the first
            filters of each convolution, as many as there is room for.
        image: (H, W, C) in [0, 1], one that the training did not change; None: none was kept.
        maps: name of a layer → (epochs, rows, columns, maps): what its first filters gave for the image, in front of
            a normalization and an activation. Of long sides every second, third, ... cell.
    """

    epochs: tuple[int, ...]
    filters: dict[str, Array]
    image: Array | None = None
    maps: dict[str, Array] | None = None


def load_snapshots(path: str | Path) -> Snapshots:
    """Read a filters.safetensors.

    Raises:
        FormatError: there is no such file, it is damaged, or it holds something else.
    """
    path = expanded(path)
    content = read_tensor_file(path, most_bytes=MAX_BYTES)
    tensors = content.tensors
    try:
        epochs, layers, mapped = _read_document(content.document)
        wanted = {_weight_name(epoch, layer) for epoch in epochs for layer in layers}
        wanted |= {_map_name(epoch, layer) for epoch in epochs for layer in mapped} | ({_IMAGE} if mapped else set())
        if set(tensors) != wanted:
            raise FormatError(
                "the tensors are not those of its epochs and layers", details=listed(sorted(wanted ^ set(tensors)))
            )
        filters = {
            layer: _stacked(f"the weights of layer {layer}", [tensors[_weight_name(epoch, layer)] for epoch in epochs])
            for layer in layers
        }
        maps = {
            layer: _stacked(f"the maps of layer {layer}", [tensors[_map_name(epoch, layer)] for epoch in epochs], 3)
            for layer in mapped
        }
        if mapped and tensors[_IMAGE].ndim != 3:
            raise FormatError(f"the image must have 3 sides, got the shape {tensors[_IMAGE].shape}")
    except FormatError as error:
        raise FormatError(f"{path}: {error.message}", details=error.details, hint=error.hint) from None
    return Snapshots(epochs, filters, tensors[_IMAGE] if mapped else None, maps)


def _stacked(what: str, values: Sequence[Array], sides: int = 4) -> Array:
    shapes = {value.shape for value in values}
    if len(shapes) > 1 or values[0].ndim != sides:
        raise FormatError(f"{what} must have one shape of {sides} sides, got {sorted(shapes)}")
    return np.stack(values)


def _read_document(document: dict[str, Any]) -> tuple[tuple[int, ...], tuple[str, ...], tuple[str, ...]]:
    version = document.get("format")
    if "class_names" in document:
        raise FormatError("this is a model file, not filter snapshots", hint="name a filters.safetensors")
    if type(version) is not int or version != FORMAT:
        hint = None
        if type(version) is int:
            newer = "a newer neocog wrote this file: upgrade with pip install -U neocog"
            hint = newer if version > FORMAT else "an older neocog wrote this file: the next training writes a new one"
        raise FormatError(f"format must be {FORMAT}, got {shown_value(version)}", hint=hint)
    entries = check_keys("the neocog metadata", document, _KEYS)
    epochs = entries["epochs"]
    if not isinstance(epochs, list) or not epochs:
        raise FormatError(f"epochs must be a list that is not empty, got {shown_value(epochs)}")
    if len(epochs) > MOST_EPOCHS:
        raise FormatError(f"epochs may be at most {MOST_EPOCHS}, got {len(epochs):,}")
    epochs = [check_integer(f"epochs[{place}]", epoch) for place, epoch in enumerate(epochs)]
    if epochs != sorted(set(epochs)):
        raise FormatError(f"epochs must rise, got {shown_value(epochs)}")
    layers, maps = (_names(key, entries[key]) for key in ("layers", "maps"))
    if not layers or not set(maps) <= set(layers):
        raise FormatError(f"maps must be those of some of the layers, got {shown_value(entries['maps'])}")
    return tuple(epochs), layers, maps


def _names(key: str, names: object) -> tuple[str, ...]:
    if isinstance(names, list) and len(names) > MOST_LAYERS:
        raise FormatError(f"{key} may be at most {MOST_LAYERS}, got {len(names):,}")
    named = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not isinstance(names, list) or not named or len(set(names)) < len(names):
        raise FormatError(f"{key} must be a list of names that differ, got {shown_value(names)}")
    return tuple(names)


@dataclass(frozen=True, slots=True)
class _Shot:
    filters: Mapping[str, Array]
    maps: Mapping[str, Array]


class FilterSnapshots:
    """The snapshots of a training that is under way.

    Arguments:
        path: the file; it is written with the first `save`, so that a training which ends before leaves what was there.
        model: as it is before the first epoch to come.
        epoch: the epochs done. Snapshots of these are taken over from the file where they fit the network; those of
            later ones, of a training that was killed, are not.
        image: (1, H, W, C), uint8 or in [0, 1], whose maps are kept; None: no maps are.
    """

    def __init__(self, path: Path, model: Network, epoch: int, image: Images | None = None) -> None:
        self._path = path
        self._layers = kept_filters(model.graph)
        self._image: Array | None = None
        if image is not None and 4 * image.size <= IMAGE_BYTES:
            self._image = (image / np.float32(255) if image.dtype == np.uint8 else image).astype(np.float32)
        self._maps = {} if self._image is None else kept_maps(model.graph)
        self._shots: dict[int, _Shot] = self._earlier(model, epoch) if epoch and self._layers else {}
        if not self._shots:
            self._shots[epoch] = self._shot(model)

    def save(self, model: Network, epoch: int) -> None:
        """Add the filters after an epoch, if that is one that is kept, and write the file.

        Raises:
            NeocogError: it cannot be written; the old one is as it was.
        """
        if not self._layers:
            if self._path.is_file():
                self._path.unlink()  # of a training that this one replaces
            return
        if not is_kept(epoch - min(self._shots)) or len({*self._shots, epoch}) > MOST_EPOCHS:
            return
        self._shots[epoch] = self._shot(model)
        tensors = {
            name: value
            for kept, shot in self._shots.items()
            for name, value in (
                *((_weight_name(kept, layer), filters) for layer, filters in shot.filters.items()),
                *((_map_name(kept, layer), maps) for layer, maps in shot.maps.items()),
            )
        }
        if self._image is not None and self._maps:
            tensors[_IMAGE] = self._image[0]
        document = {
            "format": FORMAT,
            "layers": list(self._layers),
            "epochs": list(self._shots),
            "maps": list(self._maps),
        }
        write_atomically(self._path, tensor_bytes(document, tensors), forced=False)  # nothing depends on it

    def _shot(self, model: Network) -> _Shot:
        weights = model.parameters
        filters = {layer: weights[f"{layer}.weight"][..., :count].copy() for layer, count in self._layers.items()}
        if self._image is None or not self._maps:
            return _Shot(filters, {})
        found = model.outputs(self._image, list(self._maps))
        names = {node.index: node.name for node in model.graph.nodes}
        maps = {}
        for index, output in found.items():
            step, count = map_step(output.shape[1:3]), self._maps[names[index]]
            maps[names[index]] = output[0, ::step, ::step, :count].copy()  # the rest need not stay in memory
        return _Shot(filters, {layer: maps[layer] for layer in self._maps})

    def _earlier(self, model: Network, epoch: int) -> dict[int, _Shot]:
        # Without a usable file the training goes on all the same, and its snapshots begin here.
        with contextlib.suppress(FormatError):
            found, now = load_snapshots(self._path), self._shot(model)
            maps = found.maps or {}
            before = np.zeros(0) if found.image is None else found.image
            same = np.array_equal(before, np.zeros(0) if self._image is None else self._image[0])
            if same and _shapes(found.filters, 1) == _shapes(now.filters) and _shapes(maps, 1) == _shapes(now.maps):
                return {
                    kept: _Shot(
                        {layer: values[place] for layer, values in found.filters.items()},
                        {layer: values[place] for layer, values in maps.items()},
                    )
                    for place, kept in enumerate(found.epochs)
                    if kept <= epoch
                }
        return {}


def first_image(model: Network, source: BatchSource) -> Images | None:
    """Return the first image of a source (1, H, W, C), whose maps can be kept; None where the network has none."""
    if not kept_maps(model.graph):
        return None
    with epoch_of(source, 0) as batches:
        images, _ = next(batches)
    return check_images(model.graph, images[:1].copy())


def _shapes(values: Mapping[str, Array], first: int = 0) -> dict[str, tuple[int, ...]]:
    return {layer: value.shape[first:] for layer, value in values.items()}


def is_kept(epoch: int) -> bool:
    """Whether a snapshot is kept that many epochs after the first: 0, 1, 2, 3, 4, 6, 8, 12, 16, 24, ...: often at the
    beginning, when most happens, and about a dozen in all. That hangs on the number alone, so that a training which was
    killed leaves the same as one which was not.

    >>> [epoch for epoch in range(60) if is_kept(epoch)]
    [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48]
    """
    while epoch > 3 and epoch % 2 == 0:
        epoch //= 2
    return 0 <= epoch <= 3


def kept_filters(graph: Graph) -> dict[str, int]:
    """Return how many filters of each convolution are kept, by the name of the layer: as many as `WEIGHT_BYTES` hold,
    where large layers share what small ones leave. Layers of which that is none are left out.
    """
    nodes = _convolutions(graph)
    sizes = {node.name: 4 * int(np.prod((node.weight_shape or ())[:-1])) for node, _ in nodes}
    return _shared({node.name: (sizes[node.name], shape.channels) for node, shape in nodes}, WEIGHT_BYTES)


def kept_maps(graph: Graph) -> dict[str, int]:
    """Return of how many filters of each convolution maps are kept, likewise, out of `MAP_BYTES`."""
    sizes = {}
    for node, shape in _convolutions(graph):
        step = map_step((shape.height, shape.width))
        sizes[node.name] = 4 * -(-shape.height // step) * -(-shape.width // step), min(MOST_MAPS, shape.channels)
    return _shared(sizes, MAP_BYTES)


def map_step(sides: tuple[int, ...]) -> int:
    """Return which cells of a map are kept: every one, every second, ..., so that no side is too long."""
    return -(-max(sides) // LONGEST_SIDE)


def _convolutions(graph: Graph) -> list[tuple[Any, ImageShape]]:
    found = [(node, node.output) for node in graph.nodes if isinstance(node.layer, Conv2d)]
    return [(node, shape) for node, shape in found[:MOST_LAYERS] if isinstance(shape, ImageShape)]


def _shared(wanted: Mapping[str, tuple[int, int]], room: int) -> dict[str, int]:
    """Share bytes out: name → (bytes of a piece, pieces) gives name → pieces, in the order given.

    >>> _shared({"a": (10, 2), "b": (10, 100), "c": (500, 1)}, 120)
    {'a': 2, 'b': 5}
    """
    found = {}
    left = len(wanted)
    for name in sorted(wanted, key=lambda name: wanted[name][0] * wanted[name][1]):
        size, count = wanted[name]
        found[name] = min(count, room // left // size)
        room -= found[name] * size
        left -= 1
    return {name: found[name] for name in wanted if found[name]}


def _weight_name(epoch: int, layer: str) -> str:
    return f"{epoch}/{layer}.weight"


def _map_name(epoch: int, layer: str) -> str:
    return f"{epoch}/{layer}.maps"
