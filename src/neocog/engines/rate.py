"""How many images a second a network answers on this machine."""

from __future__ import annotations

import time
from statistics import median

import numpy as np

from neocog.engines import get_engine
from neocog.nn.graph import Graph
from neocog.nn.parameters import initial_parameters

LEAST_TURNS, LEAST_SECONDS = 3, 0.5


def images_per_second(graph: Graph, batch: int, threads: int | None = None) -> float:
    """Compile a network with initial weights for predictions of `batch` images, and measure it: median of some turns.

    Arguments:
        graph: the network.
        batch: images of a prediction.
        threads: default: as many as this process may use.
    """
    predictor = get_engine("native").predictor(graph, initial_parameters(graph), threads)
    shape = (batch, graph.input.height, graph.input.width, graph.input.channels)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    predictor.logits(images)  # compiles, and touches all memory
    seconds: list[float] = []
    while len(seconds) < LEAST_TURNS or sum(seconds) < LEAST_SECONDS:
        start = time.perf_counter()
        predictor.logits(images)
        seconds.append(time.perf_counter() - start)
    return batch / median(seconds)
