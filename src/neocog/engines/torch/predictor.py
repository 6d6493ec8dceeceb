"""A network that answers, by PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from neocog.engines.base import (
    Array,
    Images,
    check_images,
    check_layers,
    output_shape,
    peak_sources,
    room_for_peaks,
)
from neocog.engines.torch.held import HeldNetwork, Means, in_our_layout
from neocog.engines.torch.network import restricted
from neocog.nn.graph import Graph

CHUNK = 256  # images that a prediction takes at a time


class TorchPredictor(HeldNetwork):
    """A network that answers, by PyTorch."""

    def __init__(self, graph: Graph, parameters: Mapping[str, Array], means: Means, threads: int | None) -> None:
        super().__init__(graph, parameters, means, threads)
        self._programs: dict[tuple[int, ...], Any] = {}

    def logits(self, images: Images, batch_size: int | None = None) -> Array:
        """Return the answers to images (N, H, W, C), uint8 or float32 in [0, 1]; see engines/base.py."""
        answers = self._outputs(images, len(self.graph.nodes) - 1)
        return answers.reshape(len(answers), *self.graph.answer_shape)

    def features(self, images: Images) -> Array:
        """Return (N, features): the flattened output of the convolutional part, in (row, column, channel) order."""
        return self._outputs(images, self.graph.feature_node)

    def peaks(self, images: Images) -> dict[int, Array]:
        """Return the largest value of every feature map; see engines/base.py."""
        images = check_images(self.graph, images)
        result, sources = room_for_peaks(self.graph, len(images)), peak_sources(self.graph)
        if not sources:
            return result

        def keep(chunk: slice, maps: tuple[Any, ...]) -> None:
            for index, found in zip(sources, maps, strict=True):
                result[index][chunk] = found.amax((2, 3)).cpu().numpy()

        self._compute(images, tuple(sources.values()), keep)
        return result

    def outputs(self, images: Images, layers: Sequence[int]) -> dict[int, Array]:
        """Return what some layers give; see engines/base.py."""
        images, layers = check_images(self.graph, images), check_layers(self.graph, layers)
        result = {index: np.empty((len(images), *output_shape(self.graph, index)), np.float32) for index in layers}

        def keep(chunk: slice, values: tuple[Any, ...]) -> None:
            for index, found in zip(layers, values, strict=True):
                mine = in_our_layout(found, self.graph.nodes[index]).cpu().numpy()
                result[index][chunk] = mine.reshape(result[index][chunk].shape)

        if layers:
            self._compute(images, layers, keep)
        return result

    def _outputs(self, images: Images, index: int) -> Array:
        """Return what a layer gives, flattened in our order."""
        images = check_images(self.graph, images)
        node = self.graph.nodes[index]
        result = np.empty((len(images), node.output.size), np.float32)

        def keep(chunk: slice, found: tuple[Any, ...]) -> None:
            result[chunk] = in_our_layout(found[0], node).flatten(1).cpu().numpy()

        self._compute(images, (index,), keep)
        return result

    def _compute(self, images: Images, wanted: tuple[int, ...], keep: Callable[[slice, tuple[Any, ...]], None]) -> None:
        """Compute some layers' values for some images at a time, and hand them on with the place of these images."""
        if wanted not in self._programs:
            self._programs[wanted] = restricted(self.module, self.graph, wanted).eval()
        with self.running(), torch.inference_mode(), self.means.rounding():
            for start in range(0, len(images), CHUNK):
                chunk = slice(start, start + CHUNK)
                found = self._programs[wanted](self.tensor(images[chunk]))
                keep(chunk, tuple(part.to(self.dtype) for part in found))
