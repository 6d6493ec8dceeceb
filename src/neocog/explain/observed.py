"""One image on its way through a network as the model's own engine computes it, layer by layer.

The same `Trace` as `neocog.explain.trace` gives, whose values come of the reference in float64: here they are the
engine's, in float32. What is worked out from them (products, argmaxes, gradients) is worked out in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from neocog.explain.judgement import Judgement
from neocog.explain.subject import Array, Subject, one_image
from neocog.explain.trace import Trace, check_room
from neocog.nn.graph import Graph
from neocog.nn.layers import Maxout, MaxPool2d
from neocog.reference.network import ForwardPass, forward_node, normalise


@dataclass(frozen=True, slots=True, eq=False)
class ExactParameters(Mapping[str, Array]):
    """A model's parameters in float64, each converted when it is asked for: nothing of them is kept twice."""

    stored: Mapping[str, NDArray[np.float32]]

    def __getitem__(self, name: str) -> Array:
        return np.asarray(self.stored[name], np.float64)

    def __iter__(self) -> Iterator[str]:
        return iter(self.stored)

    def __len__(self) -> int:
        return len(self.stored)


@dataclass(frozen=True, slots=True, eq=False)
class _Items(Sequence[Any]):
    """A sequence whose items are made when they are asked for; `held` is what they are made of."""

    held: Any
    length: int
    make: Callable[[int], Any]

    def __len__(self) -> int:
        return self.length

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Any, ...]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return tuple(self.make(place) for place in range(*index.indices(self.length)))
        if not -self.length <= index < self.length:
            raise IndexError(index)
        return self.make(index % self.length)


def observe(model: Subject, image: NDArray[Any]) -> Trace:
    """Run one image through a network by its engine, and keep what every layer gave.

    Arguments:
        model: any neocog model.
        image: (H, W, C), uint8 or in [0, 1]; (H, W) if grey.

    Raises:
        ShapeError, DataError: the image does not fit the network.
        SettingError: the network gives too many values to keep.

    >>> import numpy as np, neocog as nc
    >>> model = nc.Model(nc.Sequential(nc.Conv2d(2, 3), nc.ReLU(), nc.Flatten()), (6, 6, 1))
    >>> observe(model, np.zeros((6, 6, 1))).output(0).shape
    (4, 4, 2)
    """
    batch, graph = one_image(model, image), model.graph
    check_room(graph)
    found = model.outputs(batch, range(len(graph.nodes)))
    parameters = ExactParameters(model.parameters)
    pixels = batch[0] / 255.0 if batch.dtype == np.uint8 else batch[0]
    run = _forward_pass(graph, parameters, batch, [found[node.index] for node in graph.nodes])
    return Trace(
        graph, pixels.astype(np.float64), parameters, run, Judgement.of(model), _mean_logits(model, batch).astype(float)
    )


def _forward_pass(
    graph: Graph, parameters: Mapping[str, Array], batch: NDArray[Any], outputs: Sequence[NDArray[np.float32]]
) -> ForwardPass:
    exact = _Items(outputs, len(outputs), lambda index: outputs[index].astype(np.float64))
    image = normalise(graph, batch, np.dtype(np.float64))

    def choice(index: int) -> Array | None:
        node = graph.nodes[index]
        if not isinstance(node.layer, MaxPool2d | Maxout):
            return None
        with np.errstate(all="ignore"):
            inputs = [image if value < 0 else exact[value] for value in node.inputs]
            return forward_node(node, parameters, inputs, None).choice

    return ForwardPass(graph, image, exact, _Items(None, len(outputs), choice), {}, None)  # type: ignore[arg-type]


def _mean_logits(model: Subject, batch: NDArray[Any]) -> NDArray[np.float32]:
    """Return the logits that the answer is made of: as `predict` computes them, the mean over all views."""
    logits = getattr(model, "logits", model)
    found: NDArray[np.float32] = logits(batch)[0]
    return found
