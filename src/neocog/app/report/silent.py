"""Filters that never fire: their maps are 0 wherever one looks, on all images of a part."""

from __future__ import annotations

import numpy as np

from neocog.app.report.answers import BATCH
from neocog.data.dataset import Dataset
from neocog.data.resize import ImageSize
from neocog.model.network import Network
from neocog.nn.answer import ACTIVATIONS, peak_sources

MOST_IMAGES = 2000
"""Images that are looked at, spread over the part: more would take longer than a report may."""


def silent_filters(model: Network, part: Dataset) -> dict[str, object]:
    """Look for filters whose maps never exceed 0, behind the activation of their convolution.

    A convolution without an activation says nothing by that, and is left out.

    Returns:
        {"images": how many were looked at, "of": of how many, "layers": [{"layer": index, "name", "filters": their
        number, "silent": [which]}]}: every convolution with an activation, those without silent filters too.
    """
    graph, size = model.graph, ImageSize(*model.input_shape)
    looked = [index for index, last in peak_sources(graph).items() if isinstance(graph.nodes[last].layer, ACTIVATIONS)]
    chosen = np.unique(np.linspace(0, len(part) - 1, min(len(part), MOST_IMAGES)).astype(np.int64))
    largest: dict[int, np.ndarray] = {}
    images = 0
    for start in range(0, len(chosen) if looked else 0, BATCH):
        pixels, readable = part.read(chosen[start : start + BATCH], size, model.resize)
        if not readable.any():
            continue
        images += int(readable.sum())
        for layer, peaks in model.peaks(pixels[readable]).items():
            most = peaks.max(axis=0)
            largest[layer] = np.maximum(largest[layer], most) if layer in largest else most
    layers = [
        {
            "layer": layer,
            "name": graph.nodes[layer].name,
            "filters": len(largest[layer]),
            "silent": np.flatnonzero(~(largest[layer] > 0)).tolist(),
        }
        for layer in looked
        if layer in largest
    ]
    return {"images": images, "of": len(part), "layers": layers}
