"""A kernel of one's own: what it makes of a picture, and of a network in which it takes a filter's place."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neocog.errors import SettingError
from neocog.explain.control import ReferenceSubject, Reloadable
from neocog.explain.lesson import FILTERS
from neocog.explain.subject import Array, Subject, check_index, image_output, layer_node
from neocog.explain.trace import Trace, trace
from neocog.nn.blocks import Sequential
from neocog.nn.graph import trace as make_graph
from neocog.nn.layers import Conv2d

MOST = 16  # cells of stride, padding and dilation
SIDES = (3, 5)
"""How many rows and columns a kernel may have."""


@dataclass(frozen=True, slots=True)
class OwnKernel:
    """A kernel with what it is slid by.

    Arguments:
        weights: (r, r) its cells; r is one of `SIDES`.
        divide: by what each of them is divided, so that a mean can be written in whole numbers.
        stride, padding, dilation: as of a Conv2d, the same downwards and across.

    Raises:
        SettingError: the kernel has another size, or would be divided by 0.

    >>> OwnKernel(((1, 1, 1), (1, 1, 1), (1, 1, 1)), divide=9).values.sum().round(6)
    np.float64(1.0)
    """

    weights: tuple[tuple[float, ...], ...]
    divide: float = 1.0
    stride: int = 1
    padding: int = 0
    dilation: int = 1

    def __post_init__(self) -> None:
        side = len(self.weights)
        if side not in SIDES or any(len(row) != side for row in self.weights):
            raise SettingError(f"a kernel must have {' or '.join(f'{n} x {n}' for n in SIDES)} weights")
        for name, least in (("stride", 1), ("padding", 0), ("dilation", 1)):
            if not least <= getattr(self, name) <= MOST:
                raise SettingError(f"{name} must be a whole number from {least} to {MOST}, got {getattr(self, name)}")
        if self.divide == 0:
            raise SettingError("divide must be a number other than 0")

    @property
    def values(self) -> Array:
        """Its weights, divided: (r, r), rounded to float32 as a network would hold them."""
        return (np.array(self.weights, np.float64) / self.divide).astype(np.float32).astype(np.float64)


def _whole(weights: tuple[tuple[int, ...], ...], divide: int = 1) -> OwnKernel:
    return OwnKernel(tuple(tuple(map(float, row)) for row in weights), divide)


_BINOMIAL = (1, 4, 6, 4, 1)
PRESETS: Mapping[str, OwnKernel] = MappingProxyType(
    {
        "falling": _whole(FILTERS[0]),
        "upright": _whole(FILTERS[1]),
        "edge": _whole(((-1, -1, -1), (-1, 8, -1), (-1, -1, -1))),
        "blur": _whole(((1, 1, 1),) * 3, 9),
        "smooth": _whole(tuple(tuple(a * b for b in _BINOMIAL) for a in _BINOMIAL), 256),
        "sharpen": _whole(((0, -1, 0), (-1, 5, -1), (0, -1, 0))),
        "emboss": _whole(((-2, -1, 0), (-1, 1, 1), (0, 1, 2))),
    }
)
"""Kernels to begin with: the two of the worked example, and those that image editors offer (Gonzalez and Woods 2018,
Digital image processing, chapter 3; `smooth` is the binomial approximation of a Gaussian).
"""


def filtered(image: NDArray[Any], kernel: OwnKernel) -> Trace:
    """Slide a kernel over a picture, over each of its colours by itself: a depthwise convolution.

    Arguments:
        image: (H, W, C), uint8 or in [0, 1], of any size.
        kernel: what to slide.

    Returns:
        The way of the image through a network of that one layer: `output(0)` is (P, Q, C).

    Raises:
        SettingError: the kernel's window is larger than the image.

    >>> from neocog.explain.lesson import lesson_image
    >>> filtered(lesson_image(), PRESETS["falling"]).output(0)[0, :, 0].tolist()
    [3.0, -1.0, -3.0, -1.0]
    """
    channels = image.shape[2]
    side = len(kernel.weights)
    reach = kernel.dilation * (side - 1) + 1
    if reach > min(image.shape[:2]) + 2 * kernel.padding:
        raise SettingError(
            f"a window of {reach} x {reach} cells is larger than the {image.shape[0]} x {image.shape[1]} picture "
            f"with {kernel.padding} cells of padding on each side",
            hint="take more padding, or less dilation",
        )
    layer = Conv2d(channels, side, kernel.stride, kernel.padding, kernel.dilation, bias=False, groups=channels)
    graph = make_graph(Sequential(layer), (image.shape[0], image.shape[1], channels))
    weight = np.repeat(kernel.values[:, :, None, None], channels, axis=3).astype(np.float32)
    subject = ReferenceSubject(graph, {"0.weight": weight}, tuple(map(str, range(channels))))
    return trace(subject, image)


def replaced(model: Subject, layer: int | str, filter: int, kernel: OwnKernel) -> Subject:
    """Return a network in which a kernel has taken the place of one filter, on every channel that it looks at.

    Arguments:
        model: whose filter; it stays as it is.
        layer: index or name of a Conv2d, which keeps its own stride, padding, dilation and biases.
        filter: which of its filters.
        kernel: as large as the layer's.

    Returns:
        a copy of a `neocog.Model`, on its engine; of any other subject, one that the reference computes.

    Raises:
        SettingError: there is no such layer or filter, or its kernels have another size.
    """
    node = layer_node(model, layer, Conv2d)
    at = check_index("filter", filter, image_output(node).channels)
    name = f"{node.name}.weight"
    weight = np.array(model.parameters[name], np.float32)
    if weight.shape[:2] != kernel.values.shape:
        raise SettingError(
            f"the kernels of {node.title} have {weight.shape[0]} x {weight.shape[1]} cells, "
            f"this one has {len(kernel.weights)} x {len(kernel.weights)}"
        )
    weight[..., at] = kernel.values[:, :, None]
    parameters = {**model.parameters, name: weight}
    if isinstance(model, Reloadable):
        twin = copy.copy(model)
        twin.load_parameters(parameters)
        return twin
    return ReferenceSubject(model.graph, parameters, model.class_names, model.loss)
