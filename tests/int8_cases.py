"""What tests of int8 have in common: a normalisation of photographs, and scales of drawn parameters."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from neocog.nn.graph import IMAGE, Graph, Normalisation
from neocog.nn.rewrite import Folded, fold_norms
from neocog.nn.scales import Scales, limits_of, rounded_values
from neocog.reference.network import forward

PHOTOS = Normalisation((0.5, 0.4, 0.3), (0.2, 0.3, 0.25))


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
