"""What a normalization assumes of its channels, its running averages, against what images bring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neocog.explain.response import run_to, usable_parameters
from neocog.explain.subject import Array, Subject, layer_node
from neocog.nn.images import check_batch
from neocog.nn.layers import BatchNorm2d


@dataclass(frozen=True, slots=True)
class ComparedStatistics:
    """Mean and variance of each channel, (C,) each.

    running_mean, running_variance: what the layer stores, and predicts with.
    mean, variance: of what comes to it for some images, over all of them and all of their pixels; the variance divides
        by the number of values, as a training step does where it normalises.
    images: how many these are.
    """

    running_mean: Array
    running_variance: Array
    mean: Array
    variance: Array
    images: int


def batch_statistics(model: Subject, images: NDArray[Any], layer: int | str) -> ComparedStatistics:
    """Hold the running averages of a BatchNorm2d to the statistics of a batch of images.

    The layers in front work as they do in a prediction: with running averages, and without Dropout.

    Arguments:
        model: any neocog model.
        images: (N, H, W, C), uint8 or in [0, 1].
        layer: index or name of a BatchNorm2d.

    Raises:
        SettingError: there is no such layer. DataError: weights are NaN or infinite.

    >>> import neocog as nc
    >>> model = nc.Model(nc.Sequential(nc.BatchNorm2d()), (1, 2, 1), engine="reference")
    >>> found = batch_statistics(model, np.array([[[[0.0], [1.0]]]]), 0)
    >>> found.mean.tolist(), found.variance.tolist(), found.running_mean.tolist()
    ([0.5], [0.25], [0.0])
    """
    node = layer_node(model, layer, BatchNorm2d)
    return all_batch_statistics(model, images, node.index)[node.index]


def all_batch_statistics(
    model: Subject, images: NDArray[Any], last: int | None = None
) -> dict[int, ComparedStatistics]:
    """Return the same for every BatchNorm2d, up to the layer number `last`, by its index; in one pass."""
    graph = model.graph
    images = check_batch(graph, images)
    last = len(graph.nodes) - 1 if last is None else last
    parameters = usable_parameters(model, last, np.float64)
    run = run_to(graph, parameters, images, last)
    found = {}
    for node in graph.nodes[: last + 1]:
        if isinstance(node.layer, BatchNorm2d):
            x = run.input(node.index)
            axes = tuple(range(x.ndim - 1))
            stored = [parameters[f"{node.name}.{name}"] for name in ("running_mean", "running_var")]
            found[node.index] = ComparedStatistics(
                stored[0], stored[1], x.mean(axis=axes), x.var(axis=axes), len(images)
            )
    return found
