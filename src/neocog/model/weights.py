"""The weights of a network: named arrays with one owner."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from neocog.engines.base import Array, State
from neocog.model.statedict import as_arrays, check_finite
from neocog.nn.graph import Graph
from neocog.nn.parameters import check_parameters, variables_of


class Weights:
    """The arrays of a network by name, in memory layout; nobody writes into them.

    They have one owner at a time: this object, or a training program that keeps them in its own memory
    (`follow`), and from which they are copied when they are first read after a step.

    Arguments:
        graph: the network, which says what arrays there are.
        initial: makes them, when they are first read.
    """

    def __init__(self, graph: Graph, initial: Callable[[], State]) -> None:
        self._graph = graph
        self._source = initial
        self._arrays: Mapping[str, Array] | None = None
        self._version = 0

    @property
    def arrays(self) -> Mapping[str, Array]:
        """Name → read-only array."""
        if self._arrays is None:
            self._arrays = _read_only(self._source())
        return self._arrays

    @property
    def version(self) -> int:
        """A number that changes whenever the weights do."""
        return self._version

    def follow(self, source: Callable[[], State]) -> int:
        """Note that the weights changed, and that `source` gives them on request; return the new version."""
        self._source, self._arrays = source, None
        self._version += 1
        return self._version

    def replace(self, values: Mapping[str, NDArray[np.generic]], *, allow_nonfinite: bool = False) -> None:
        """Take other weights, in memory layout; they are copied.

        Raises:
            ShapeError: the names or shapes are not those of the network.
            SettingError: values are NaN, infinite or no numbers; the message names the arrays.
        """
        arrays = as_arrays(values)
        check_parameters(self._graph, arrays)
        if not allow_nonfinite:
            check_finite(arrays)
        # The network's order, whatever order they came in: what lists parameters looks the same for the same network.
        with np.errstate(over="ignore"):  # it was asked for
            copies = {p.name: np.array(arrays[p.name], np.float32, order="C") for p in variables_of(self._graph)}
        self.follow(lambda: copies)
        self._arrays = _read_only(copies)

    def __getstate__(self) -> dict[str, object]:
        # A source may be a program in compiled code, which no other process has: the arrays go there instead.
        return {**self.__dict__, "_arrays": dict(self.arrays), "_source": None}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self.replace(self._arrays or {}, allow_nonfinite=True)


def _read_only(values: State) -> Mapping[str, Array]:
    for value in values.values():
        value.flags.writeable = False
    return MappingProxyType(values)
