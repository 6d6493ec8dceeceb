"""Which places of a layer's maps speak for a class, weighted by the gradient.

Source: Selvaraju et al. 2017, Grad-CAM: visual explanations from deep networks via gradient-based localization.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neocog.errors import DataError, SettingError
from neocog.explain.gradient import GradientTarget, inner_gradient, read_target
from neocog.explain.quick import quick_inner_slopes
from neocog.explain.response import usable, usable_parameters
from neocog.explain.rules import RULES
from neocog.explain.subject import Array, ProgressListener, Subject, layer_node, no_progress
from neocog.explain.trace import Trace, trace
from neocog.nn.answer import only_consumer
from neocog.nn.graph import Graph, Node
from neocog.nn.layers import Conv2d
from neocog.nn.shapes import ImageShape

DEFAULT_LAYER = -1
AT_ONCE = 16  # images, which then stay in the processor's cache
GOES_ON = ("activation", "normalization", "join")  # views of layers that keep maps what they are


@dataclass(frozen=True, slots=True)
class GradCam:
    """What speaks for a target, place by place; 0 where nothing does.

    grid: (P, Q) as computed, on the layer's own grid: max(0, sum over maps of weight × map).
    heat: (H, W): the grid stretched over the image, bilinear.
    weights: (K,): the mean of the target's gradient over each map.
    layer: index of the layer. name: as in `model.summary()`, with its kind. choices: indices that `layer` may be.
    all_zero: whether nothing speaks for the target.
    text: what to read off it, in a sentence.
    """

    grid: Array
    heat: Array
    weights: Array
    layer: int
    name: str
    choices: tuple[int, ...]
    all_zero: bool
    text: str


def default_layer(graph: Graph) -> int:
    """Return the layer whose maps know places and shapes alike, and no later one more: the last convolution, and what
    treats its maps place by place, such as an activation, a normalization, or the Add at the end of a Residual.

    Raises:
        SettingError: the network has no convolution.
    """
    convolutions = [node.index for node in graph.nodes if isinstance(node.layer, Conv2d)]
    if not convolutions:
        raise SettingError(
            "Grad-CAM needs feature maps; this network has no convolution",
            hint="name a layer with maps, if there is one",
        )
    return _end_of(graph, convolutions[-1])


def placing_layer(graph: Graph, sides: int) -> int:
    """Return the last layer behind a convolution whose maps still tell places apart: of at least so many rows and
    columns. The `default_layer`, where there is none: its maps know most of shapes, but may be of 2 x 2 cells.

    Raises:
        SettingError: the network has no convolution.
    """
    last = default_layer(graph)
    for node in reversed(graph.nodes[: last + 1]):
        if isinstance(node.layer, Conv2d):
            end = graph.nodes[_end_of(graph, node.index)].output
            if isinstance(end, ImageShape) and min(end.height, end.width) >= sides:
                return _end_of(graph, node.index)
    return last


def _end_of(graph: Graph, index: int) -> int:
    """Return the last layer that treats a convolution's maps place by place, and gives them to nobody else."""
    while (behind := only_consumer(graph, index)) is not None and _goes_on(graph.nodes[behind]):
        index = behind
    return index


def _goes_on(node: Node) -> bool:
    rule = RULES.get(type(node.layer))
    return rule is not None and rule.view in GOES_ON and isinstance(node.output, ImageShape)


def gradcam(
    model: Subject,
    image: NDArray[Any],
    target: str | int,
    *,
    layer: int | str | None = DEFAULT_LAYER,
    traced: Trace | None = None,
    progress: ProgressListener = no_progress,
) -> GradCam:
    """Weight each map of a layer by the mean of its gradient, add them up, and keep what is above 0.

    The gradient goes back as far as the layer, in float64.

    Arguments:
        model: any neocog model.
        image: (H, W, C), uint8 or in [0, 1].
        target: as in `neocog.explain.gradient.read_target`.
        layer: index or name of a layer with maps, taken as it is, before an activation behind it; -1 or None for
            `default_layer`.
        traced: the image's way through the network where that is known, such as the engine's (`observe`); default:
            the reference's.
        progress: told after each layer that the gradient has gone through; what it raises ends the work.

    Raises:
        SettingError: there is no such layer, or it gives no maps. ShapeError, DataError: the image does not fit.
        DataError: the network answers with NaN.

    >>> from neocog.explain.lesson import lesson_image, lesson_model
    >>> found = gradcam(lesson_model(), lesson_image(), 0)
    >>> found.name, found.grid.shape, found.heat.shape
    ('layer 0 (Conv2d)', (4, 4), (6, 6))
    """
    graph = model.graph
    automatic = layer is None or layer == DEFAULT_LAYER
    node = graph.nodes[default_layer(graph)] if automatic else layer_node(model, layer or 0)
    choices = tuple(n.index for n in graph.nodes if isinstance(n.output, ImageShape))
    if node.index not in choices:
        raise SettingError(
            f"Grad-CAM needs feature maps; {node.title} gives {node.output}",
            hint=f"layers with maps: {', '.join(graph.nodes[index].name for index in choices) or 'none'}",
        )
    aim = read_target(model, target)
    traced = usable(trace(model, image) if traced is None else traced)
    weights = inner_gradient(traced, aim, node.index, progress).mean(axis=(0, 1))
    grid = np.maximum(traced.output(node.index) @ weights, 0.0)
    if not np.isfinite(grid).all():
        raise DataError(f"{node.title}: its maps, weighted by the gradient, overflow: there is no Grad-CAM")
    all_zero = not grid.any()
    text = _text(node.title, _told(aim, model.class_names), grid, weights)
    heat = stretch(grid, graph.input.height, graph.input.width)
    return GradCam(grid, heat, weights, node.index, node.title, choices, all_zero, text)


def quick_gradcams(
    model: Subject, images: NDArray[Any], classes: Sequence[int], *, layer: int | None = None
) -> NDArray[np.float32]:
    """Return the grids (N, P, Q) of many images at once, in float32: what `gradcam` gives for the logit of a class of
    each, within rounding, in a fraction of the time.

    Arguments:
        model: any neocog model.
        images: (N, H, W, C), uint8 or in [0, 1].
        classes: (N,) index of the class that each image is asked about.
        layer: index of a layer with maps; default: `default_layer`.

    Raises:
        SettingError: the network has no convolution. DataError: its weights are NaN or infinite.

    >>> from neocog.explain.lesson import lesson_image, lesson_model
    >>> quick_gradcams(lesson_model(), lesson_image()[None], [0]).shape
    (1, 4, 4)
    """
    graph = model.graph
    layer = default_layer(graph) if layer is None else layer
    parameters = usable_parameters(model, len(graph.nodes) - 1, np.float32)
    grids = []
    for start in range(0, len(images), AT_ONCE):
        chosen = np.asarray(classes[start : start + AT_ONCE])

        def of_class(logits: NDArray[Any], chosen: NDArray[Any] = chosen) -> NDArray[Any]:
            hot = chosen.reshape(-1, *[1] * (logits.ndim - 1)) == np.arange(logits.shape[-1])
            pixels = logits[0].size // logits.shape[-1]  # of a network that answers for each; else one
            slope: NDArray[Any] = np.broadcast_to(hot, logits.shape).astype(logits.dtype) / logits.dtype.type(pixels)
            return slope

        maps, slopes = quick_inner_slopes(graph, parameters, images[start : start + AT_ONCE], layer, of_class)
        grids.append(np.maximum(np.einsum("npqk,nk->npq", maps, slopes.mean(axis=(1, 2))), 0))
    found: NDArray[np.float32] = np.concatenate(grids).astype(np.float32)
    return found


def stretch(grid: Array, height: int, width: int) -> Array:
    """Bring a grid (P, Q) to (height, width) with bilinear interpolation between the centres of its cells.

    As torch.nn.functional.interpolate(mode="bilinear", align_corners=False); beyond the outermost centres the value
    stays.

    >>> stretch(np.array([[0.0, 4.0]]), 1, 4).tolist()
    [[0.0, 1.0, 3.0, 4.0]]
    """
    result: Array = _blend(grid.shape[0], height) @ grid @ _blend(grid.shape[1], width).T
    return result


def _blend(cells: int, pixels: int) -> Array:
    """Return the share (pixels, cells) that each cell has in each pixel."""
    place = np.clip((np.arange(pixels) + 0.5) * cells / pixels - 0.5, 0, cells - 1)
    low = np.minimum(place.astype(np.int64), max(0, cells - 2))
    share = place - low
    matrix = np.zeros((pixels, cells))
    matrix[np.arange(pixels), low] = 1.0 - share
    matrix[np.arange(pixels), np.minimum(low + 1, cells - 1)] += share
    return matrix


def _told(aim: GradientTarget, names: tuple[str, ...]) -> str:
    return f"class {names[aim.index]}" if aim.kind == "class" else f"the loss of class {names[aim.index]}"


def _text(title: str, told: str, grid: Array, weights: Array) -> str:
    if grid.any():
        row, column = divmod(int(grid.argmax()), grid.shape[1])
        size = f"{len(grid)} x {len(grid[0])}"
        return f"{title}: the strongest evidence for {told} is at row {row}, column {column} of its {size} grid"
    if not weights.any():
        return f"all zero: the gradient of {told} does not reach {title}, so no map of it counts"
    return f"all zero: no weighted map of {title} speaks for {told}; they are silent or speak against it"
