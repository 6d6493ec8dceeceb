"""What an output cell of a layer sees of the image: its receptive field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from neocog.errors import SettingError
from neocog.explain.subject import check_index
from neocog.nn.graph import IMAGE, Graph, Node
from neocog.nn.layers import AdaptiveAvgPool2d
from neocog.nn.shapes import ImageShape
from neocog.nn.window import Window


@dataclass(frozen=True, slots=True)
class Field:
    """The receptive field of a layer's output cells, in pixels of the image; each entry is (vertical, horizontal).

    Output (p, q) sees the rows start[0] + p · stride[0] … + size[0] - 1, and the columns likewise. They may reach into
    the padding around the image, and with a dilation or a stride beyond the kernel not every pixel between the first
    and the last counts. Where several paths lead to a layer, it is the smallest rectangle around what each sees.
    """

    size: tuple[int, int]
    stride: tuple[int, int]
    start: tuple[int, int]

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """Return (top, left, height, width) of what output (row, column) sees, before it is cut at the border."""
        return (
            self.start[0] + row * self.stride[0],
            self.start[1] + column * self.stride[1],
            self.size[0],
            self.size[1],
        )


@dataclass(frozen=True, slots=True)
class _Span:
    """The same along one axis, with the layer from which on cells see no rectangles at even distances, if any."""

    size: int
    stride: int
    start: int
    split: Node | None = None


PIXEL = _Span(1, 1, 0)


def receptive_field(graph: Graph, layer_index: int) -> Field:
    """Follow the windows from the image to a layer, along all paths.

    Arguments:
        graph: the network.
        layer_index: `Node.index` of a layer with feature maps.

    Raises:
        SettingError: there is no such layer; or it gives a vector, each of whose values sees the whole image; or paths
            with different strides meet in front of it, or something there enlarges maps, so that neighbouring cells do
            not see neighbouring rectangles.

    Source: Araujo, Norris and Sim 2019, Computing receptive fields of convolutional neural networks, Distill.

    >>> from neocog.nn.graph import trace
    >>> from neocog.nn.blocks import Residual, Sequential
    >>> from neocog.nn.layers import Conv2d, Flatten, MaxPool2d
    >>> graph = trace(Sequential(Conv2d(2, 3), MaxPool2d(2), Residual(Conv2d(2, 3, padding=1)), Flatten()), (12, 12, 1))
    >>> receptive_field(graph, 1)
    Field(size=(4, 4), stride=(2, 2), start=(0, 0))
    >>> receptive_field(graph, 3)
    Field(size=(8, 8), stride=(2, 2), start=(-2, -2))
    """
    target = graph.nodes[check_index("layer_index", layer_index, len(graph.nodes))]
    if not isinstance(target.output, ImageShape):
        raise SettingError(
            f"{target.title} gives {target.output}: it has no receptive field",
            hint="choose a layer in front of Flatten",
        )
    spans = _spans(graph, target.index)[target.index]
    split = next((span.split for span in spans if span.split is not None), None)
    if split is not None:
        raise SettingError(
            f"{target.title} has no receptive field of one size: {split.title} {_why(split)}",
            hint="choose a layer in front of it",
        )
    vertical, horizontal = spans
    return Field(
        (vertical.size, horizontal.size), (vertical.stride, horizontal.stride), (vertical.start, horizontal.start)
    )


def receptive_fields(graph: Graph) -> tuple[Field | None, ...]:
    """Return the receptive field of every layer, in their order; None where there is none of one size."""
    spans = _spans(graph, len(graph.nodes) - 1)
    fields: list[Field | None] = []
    for node in graph.nodes:
        found = spans.get(node.index)
        if found is None or any(span.split for span in found):
            fields.append(None)
            continue
        v, h = found
        fields.append(Field((v.size, h.size), (v.stride, h.stride), (v.start, h.start)))
    return tuple(fields)


def field_or_whole(graph: Graph, layer_index: int) -> Field:
    """Return a layer's receptive field; where it has none of one size, the whole image for every cell."""
    image = graph.input
    return receptive_fields(graph)[layer_index] or Field((image.height, image.width), (0, 0), (0, 0))


def _spans(graph: Graph, last: int) -> dict[int, tuple[_Span, _Span]]:
    """Return what the cells of each value with maps see along both axes, up to layer number `last`."""
    spans: dict[int, tuple[_Span, _Span]] = {IMAGE: (PIXEL, PIXEL)}
    for node in graph.nodes[: last + 1]:
        if not isinstance(node.output, ImageShape):
            continue
        paths = []
        for place, value in enumerate(node.inputs):
            shape = node.shapes[place]
            assert isinstance(shape, ImageShape)  # maps come of maps alone
            window = node.layer.window_over(shape)
            uneven = window is None and isinstance(node.layer, AdaptiveAvgPool2d)
            through, apart = _through(window, spans[value]), uneven or node.layer.enlarges or node.is_pixel(place)
            paths.append(_split_at(node, through) if apart else through)
        extents = node.output.height, node.output.width
        vertical, horizontal = (_joined([path[axis] for path in paths], extents[axis], node) for axis in (0, 1))
        spans[node.index] = vertical, horizontal
    return spans


def _why(split: Node) -> str:
    """Say what a layer does behind which neighbouring cells do not see neighbouring rectangles."""
    if split.layer.enlarges:
        return "gives several pixels for one"
    joins = len(split.inputs) > 1
    return "is where paths with different strides meet" if joins else "has windows of several sizes"


def _split_at(node: Node, spans: tuple[_Span, _Span]) -> tuple[_Span, _Span]:
    vertical, horizontal = (replace(span, split=span.split or node) for span in spans)
    return vertical, horizontal


def _through(window: Window | None, spans: tuple[_Span, _Span]) -> tuple[_Span, _Span]:
    """Return what a window sees whose cells see `spans`."""
    if window is None:
        return spans
    vertical, horizontal = (
        _Span(
            span.size + (axis.reach - 1) * span.stride,
            span.stride * axis.stride,
            span.start - axis.before * span.stride,
            span.split,
        )
        for span, axis in zip(spans, (window.vertical, window.horizontal), strict=True)
    )
    return vertical, horizontal


def _joined(paths: Sequence[_Span], extent: int, node: Node) -> _Span:
    """Return the smallest span around those of several paths that meet in a layer."""
    start = min(path.start for path in paths)
    end = max(path.start + path.size for path in paths)
    strides = {path.stride for path in paths}
    split = next((path.split for path in paths if path.split is not None), None)
    if split is None and len(strides) > 1 and extent > 1:  # a single cell has no neighbour
        split = node
    return _Span(end - start, max(strides), start, split)
