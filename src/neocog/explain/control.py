"""The random-weights control: does a picture change when the network knows nothing?

A picture that looks the same for freshly drawn weights shows the image and the architecture, not what was learned.

Source: Adebayo et al. 2018, Sanity checks for saliency maps.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from neocog.errors import ShapeError
from neocog.explain.response import response_index
from neocog.explain.subject import Subject, exact_parameters
from neocog.nn.graph import Graph
from neocog.nn.layers import Conv2d
from neocog.nn.losses import CrossEntropy, Loss
from neocog.nn.parameters import initial_parameters
from neocog.reference.network import ForwardPass, forward

CHUNK = 64  # images that the reference takes at a time: float64 activations are large


@runtime_checkable
class Reloadable(Subject, Protocol):
    """A subject that takes new parameters, as `neocog.Model` does, and can be copied."""

    def load_parameters(self, values: Mapping[str, NDArray[np.generic]]) -> None:
        """Take new parameters, in memory layout."""


@dataclass(frozen=True, slots=True)
class ReferenceSubject:
    """A network that answers by the reference: slow, and without an engine.

    graph: the network. parameters: name → array, in memory layout. class_names: one for each output. loss: what it is
    trained with.
    """

    graph: Graph
    parameters: Mapping[str, NDArray[np.float32]]
    class_names: tuple[str, ...]
    loss: Loss = field(default_factory=CrossEntropy)

    def __call__(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Return the logits (N, outputs)."""
        pieces = [run.logits for run in self._runs(images)]
        return np.concatenate(pieces).astype(np.float32)

    def peaks(self, images: NDArray[Any]) -> dict[int, NDArray[np.float32]]:
        """Return, for each convolution, the largest value (N, filters) of each map at `response_index`."""
        read = {n.index: response_index(self.graph, n.index) for n in self.graph.nodes if isinstance(n.layer, Conv2d)}
        runs = [{index: run.outputs[at].max(axis=(1, 2)) for index, at in read.items()} for run in self._runs(images)]
        return {index: np.concatenate([run[index] for run in runs]).astype(np.float32) for index in read}

    def outputs(self, images: NDArray[Any], layers: Sequence[int]) -> dict[int, NDArray[np.float32]]:
        """Return what some layers give."""
        runs = self._runs(images)
        return {index: np.concatenate([run.outputs[index] for run in runs]).astype(np.float32) for index in layers}

    def _runs(self, images: NDArray[Any]) -> list[ForwardPass]:
        parameters = exact_parameters(self)
        starts = range(0, max(1, len(images)), CHUNK)
        with np.errstate(all="ignore"):  # NaN and infinite weights give such answers; who asks says so
            return [forward(self.graph, parameters, images[start : start + CHUNK]) for start in starts]


def randomised(model: Subject, seed: int = 0) -> Subject:
    """Return the same network with freshly drawn parameters, as before a training.

    Arguments:
        model: whose network; it stays as it is.
        seed: of `neocog.nn.parameters.initial_parameters`. One that the model itself began with gives its beginning.

    Returns:
        a copy of a `neocog.Model`, on its engine, whose programs are the same and need no compiling; of any other
        subject, one that the reference computes.

    Raises:
        SettingError: the seed is out of its range.

    >>> import neocog as nc
    >>> model = nc.Model(nc.Sequential(nc.Flatten(), nc.Linear(2)), (1, 1, 1), seed=1)
    >>> drawn = randomised(model, seed=2)
    >>> bool((drawn.parameters["1.weight"] == model.parameters["1.weight"]).any())
    False
    """
    parameters = initial_parameters(model.graph, seed)
    if isinstance(model, Reloadable):
        twin = copy.copy(model)
        twin.load_parameters(parameters)
        return twin
    return ReferenceSubject(model.graph, parameters, model.class_names, model.loss)


def rank_correlation(a: NDArray[Any], b: NDArray[Any]) -> float | None:
    """Return Spearman's rank correlation of two arrays of the same shape: 1 same order, 0 none, -1 the reverse.

    Equal values share the mean of their ranks. None where there is no order: an array is constant, holds NaN, or has
    fewer than two values.

    Raises:
        ShapeError: the shapes differ.

    >>> rank_correlation(np.array([1.0, 2.0, 3.0]), np.array([10.0, 30.0, 20.0]))
    0.5
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        raise ShapeError(f"a rank correlation needs two arrays of the same shape, got {a.shape} and {b.shape}")
    if a.size < 2 or np.isnan(a).any() or np.isnan(b).any():
        return None
    one, other = (ranks - ranks.mean() for ranks in (_ranks(a.ravel()), _ranks(b.ravel())))
    scale = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / scale if scale else None


def rank_correlations(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """Return the rank correlation of each column of two arrays (N, K): (K,), NaN where there is no order.

    For the largest values of K maps on N images: how far two networks put the images in the same order.
    """
    if a.ndim != 2 or a.shape != b.shape:
        raise ShapeError(f"rank correlations need two arrays of the same shape (N, K), got {a.shape} and {b.shape}")
    found = [rank_correlation(one, other) for one, other in zip(a.T, b.T, strict=True)]
    return np.array([np.nan if value is None else value for value in found], np.float64)


def _ranks(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return the rank of each value, from 0; equal values share the mean of theirs."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    means: NDArray[np.float64] = (last - (counts + 1) / 2)[group]
    return means
