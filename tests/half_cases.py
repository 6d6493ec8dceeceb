"""What tests of bfloat16 share: its values, the sums of tiles in NumPy, and cases that bfloat16 represents."""

from __future__ import annotations

import numpy as np

from conformance_cases import Case
from neocog.nn.graph import Graph
from neocog.nn.losses import CrossEntropy
from neocog.nn.parameters import variables_of
from neocog.reference.network import forward

TINY = np.float32(2.0**-126)  # the least normal number


def to_words(values: np.ndarray) -> np.ndarray:
    """Round float32 to bfloat16, to nearest with ties to even; numbers below the least normal one become zero."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    nearest = bits + 0x7FFF + ((bits >> 16) & 1)
    nearest = np.where(bits & 0x7F800000 == 0, bits & 0x80000000, nearest)
    nearest = np.where(np.isnan(values), bits | 0x400000, nearest)
    return (nearest >> 16).astype(np.uint16)


def from_words(words: np.ndarray) -> np.ndarray:
    """Return bfloat16 as float32."""
    return (words.astype(np.uint32) << 16).view(np.float32)


def rounded(values: np.ndarray) -> np.ndarray:
    """Return the float32 that bfloat16 can represent, nearest to each value."""
    return from_words(to_words(values))


def tile_products(sums: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return sums (M, N) + a (M, 32) · b (32, N), as the tile registers of processors add them up.

    Two chains from zero, over even and over odd k, each step a multiply-add in one rounding; then even + odd, and that
    added to the sums. A product of two bfloat16 is exact in float64, and so is its sum with a float32 that is not too
    far from it; so tests keep to numbers of similar size. Denormal numbers count as zero.
    """
    a, b = flushed(rounded(a)).astype(np.float64), flushed(rounded(b)).astype(np.float64)
    chains = []
    for parity in range(2):
        chain = np.zeros(sums.shape, np.float32)
        for k in range(parity, a.shape[1], 2):
            chain = flushed((a[:, k : k + 1] * b[k] + chain.astype(np.float64)).astype(np.float32))
        chains.append(chain)
    return flushed(flushed(sums) + flushed(chains[0] + chains[1]))


def flushed(values: np.ndarray) -> np.ndarray:
    """Return zeros in place of denormal numbers."""
    return np.where(np.abs(values) < TINY, np.copysign(np.float32(0), values), values).astype(np.float32)


def representable_case(graph: Graph, count: int, seed: int) -> Case | None:
    """Return a case without rounding whose values, layer by layer, bfloat16 represents too; None if there is none.

    There are fewer numbers that are not zero, until it is one. Weights are -1, 0 and 1.
    """
    for share in (1.0, 0.5, 0.25, 0.125, 0.06):
        rng = np.random.default_rng(seed)
        parameters = {}
        for variable in variables_of(graph):
            values = rng.integers(-1, 2, variable.shape) * (rng.random(variable.shape) < share)
            parameters[variable.name] = values.astype(np.float32)
        sides = (graph.input.height, graph.input.width, graph.input.channels)
        images = rng.integers(-1, 3, (count, *sides)).astype(np.float32)
        run = forward(graph, {name: value.astype(np.float64) for name, value in parameters.items()}, images)
        values = [run.image, *(run.outputs[node.index] for node in graph.nodes)]
        if all((rounded(value.astype(np.float32)) == value).all() for value in values):
            return Case(graph, parameters, images, np.zeros(count, np.int32), CrossEntropy(), count, seed)
    return None
