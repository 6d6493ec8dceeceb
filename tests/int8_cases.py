"""What tests of int8 have in common: a normalisation of photographs, and scales of drawn parameters."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np

from neocog.engines.reference import ReferenceEngine
from neocog.nn.blocks import Residual, Sequential
from neocog.nn.graph import IMAGE, Graph, Normalisation, trace
from neocog.nn.layers import Conv2d, Flatten, LeakyReLU, Linear, MaxPool2d, ReLU
from neocog.nn.parameters import variables_of
from neocog.nn.rewrite import Folded, fold_norms
from neocog.nn.scales import Scales, limits_of, rounded_values
from neocog.reference.network import forward

PHOTOS = Normalisation((0.5, 0.4, 0.3), (0.2, 0.3, 0.25))
IN_TILES = trace(
    Sequential(
        *(Conv2d(40, 3, padding=1), ReLU(), Conv2d(33, 3, padding=1), LeakyReLU(0.1), MaxPool2d(2)),
        *(Residual(Sequential(Conv2d(33, 3, padding=1))), Conv2d(70, (3, 2), 2, ((2, 1), (0, 2)), 2), ReLU()),
        *(Conv2d(36, 1), ReLU(), Conv2d(36, 1, 2), ReLU(), MaxPool2d(3, 1, 1)),
        *(Flatten(), Linear(50), LeakyReLU(0.2), Linear(40), ReLU(), Linear(10)),
    ),
    (13, 12, 3),
    PHOTOS,
)
"""Values with and without a sign, channels that fill no tile and more than one, poolings, strides, holes in windows,
and fully connected layers behind images and behind each other."""


def scales_of(graph: Graph, parameters: Mapping[str, np.ndarray], images: np.ndarray) -> Scales:
    """Return scales by which the largest value of some images just fits."""
    folded = fold_norms(graph)
    run = forward(graph, {name: value.astype(np.float64) for name, value in parameters.items()}, images)
    found = {}
    for value in rounded_values(folded.graph):
        given = run.image if value == IMAGE else run.outputs[_in_source(folded, value)]
        found[value] = float(np.abs(given).max()) / limits_of(folded.graph, value)[1]
    image = found.pop(IMAGE, 1.0)
    return Scales(image, {folded.graph.nodes[value].name: scale for value, scale in found.items()})


def _in_source(folded: Folded, value: int) -> int:
    """Return which layer of the network as it was gives what one of the folded network gives."""
    norm = folded.norms.get(folded.graph.nodes[value].name)
    return folded.index_in_source(value) if norm is None else norm.index


@cache
def tiles_case() -> tuple[dict[str, np.ndarray], Scales, np.ndarray, np.ndarray]:
    """Return parameters, scales and images for `IN_TILES`, and what the oracle answers to them."""
    rng = np.random.default_rng(8)
    parameters = {v.name: (rng.normal(size=v.shape) * 0.3).astype(np.float32) for v in variables_of(IN_TILES)}
    images = rng.integers(0, 256, (9, 13, 12, 3), dtype=np.uint8)
    scales = scales_of(IN_TILES, parameters, images[:4])
    wanted = ReferenceEngine().int8_predictor(IN_TILES, parameters, scales).logits(images)
    return parameters, scales, images, wanted
