"""Gradients of pixels by whoever finds them sooner: the model's own engine, or NumPy where it takes less time than a
compiler would.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from neocog.explain.quick import quick_slopes
from neocog.explain.subject import Subject
from neocog.nn.graph import IMAGE, Graph
from neocog.nn.shapes import ImageShape

COMPILED = 100_000_000
"""Multiply-adds from which the engine is asked. It compiles for half a second and more: NumPy is done by then.
"""

Values = NDArray[np.float32]
Choose = Callable[[Values], Values]
Slopes = Callable[[Values, Choose], tuple[Values, Values]]
"""From an image (1, H, W, C) in [0, 1], and from what the last layer gives to the gradient of it, to what that layer
gives and the gradient of the pixels."""


class Back(Protocol):
    """A `neocog.engines.base.GradientProgram`, as far as explanations know it."""

    def run(self, images: NDArray[Any], gradient: Values) -> tuple[Values, Values]:
        """Return what the last layer gives to an image, and the gradient of the value."""


@runtime_checkable
class Differentiable(Subject, Protocol):
    """A subject whose engine finds gradients, as `neocog.Model` is with most engines."""

    def gradient_program(self, graph: Graph, parameters: Mapping[str, Values], value: int, last: int) -> Back | None:
        """Make a way back from layer number `last` to a value; -1 is the image. None: the engine has none."""


def slopes_by(model: Subject, graph: Graph, parameters: Mapping[str, Values], work: int) -> Slopes:
    """Return what finds, for images, the gradient of something that the last layer of a network gives.

    Arguments:
        model: whose engine may be asked.
        graph, parameters: the network, or a part of it.
        work: multiply-adds that will be asked for in all.
    """
    last = len(graph.nodes) - 1
    back = None
    if work >= COMPILED and isinstance(model, Differentiable) and not _is_numpy(model):
        back = model.gradient_program(graph, parameters, IMAGE, last)
    if back is None:
        return lambda image, choose: quick_slopes(graph, parameters, image, last, choose)
    return _ByEngine(graph, back).slopes


def _is_numpy(model: Subject) -> bool:
    """Whether a model's engine is the reference, which takes longer than `quick_slopes`."""
    engine = getattr(model, "engine", None)
    return "reference" in (engine, getattr(engine, "name", None))


class _ByEngine:
    """Asks an engine, which goes back with a gradient that it must be given beforehand: that of the image before, which
    is the same as a rule; if not, it is asked once more.
    """

    def __init__(self, graph: Graph, back: Back) -> None:
        shape = graph.nodes[-1].output
        assert isinstance(shape, ImageShape)
        self._back = back
        self._gradient = np.zeros((1, shape.height, shape.width, shape.channels), np.float32)
        _, std = graph.normalisation.per_channel(graph.input.channels)
        self._std = np.array(std, np.float32)

    def slopes(self, image: Values, choose: Choose) -> tuple[Values, Values]:
        """Return what the last layer gives, and the gradient of the pixels on the scale from 0 to 1."""
        output, gradient = self._back.run(image, self._gradient)
        wanted = choose(output)
        if (wanted != self._gradient).any():
            self._gradient = wanted
            output, gradient = self._back.run(image, wanted)
        return output, gradient / self._std
