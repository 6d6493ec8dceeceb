"""A network on as much of the image as one of its units sees: what is asked about that unit costs that much only."""

from __future__ import annotations

from dataclasses import dataclass

from neocog.errors import ShapeError
from neocog.explain.quick import needed
from neocog.explain.receptive import Field, receptive_fields
from neocog.explain.subject import image_output
from neocog.nn.graph import IMAGE, Graph
from neocog.nn.shapes import ImageShape
from neocog.nn.wiring import Wiring


@dataclass(frozen=True, slots=True)
class Cropped:
    """A network up to a layer, on a part of the image.

    graph: the layers up to that one, under their names; it is the last.
    unit: (row, column) on its maps of a unit that computes what the one in the middle does on the whole image: what it
        sees lies inside the part, so that no zero around the part reaches it.
    corner: (top, left) of the part on the image.
    whole: whether the part is the whole image.
    """

    graph: Graph
    unit: tuple[int, int]
    corner: tuple[int, int]
    whole: bool


def cropped(graph: Graph, layer: int) -> Cropped:
    """Cut a network down to what the unit in the middle of a layer's maps sees.

    It is the whole image where the unit sees as much, where its receptive field is not of one size, and where a layer
    in front looks at all pixels of an image.

    >>> from neocog.nn.blocks import Sequential
    >>> from neocog.nn.graph import trace
    >>> from neocog.nn.layers import Conv2d, MaxPool2d
    >>> graph = trace(Sequential(Conv2d(2, 3, padding=1), MaxPool2d(2), Conv2d(4, 3, padding=1)), (32, 32, 3))
    >>> part = cropped(graph, 2)
    >>> part.graph.input, part.unit, part.corner
    (ImageShape(height=9, width=9, channels=3), (2, 2), (12, 12))
    """
    shape, image = image_output(graph.nodes[layer]), graph.input
    middle = shape.height // 2, shape.width // 2
    run = needed(graph, [layer])
    field = receptive_fields(graph)[layer]
    everything = Cropped(_up_to(graph, layer, image), middle, (0, 0), True)
    if field is None or any(graph.nodes[index].layer.whole_image for index in run):
        return everything
    rows, columns = (_cut(field, axis, middle[axis], (image.height, image.width)[axis]) for axis in (0, 1))
    if rows is None and columns is None:
        return everything
    (unit_row, top, height) = rows or (middle[0], 0, image.height)
    (unit_column, left, width) = columns or (middle[1], 0, image.width)
    try:
        part = _up_to(graph, layer, ImageShape(height, width, image.channels))
    except ShapeError:
        return everything
    if receptive_fields(part)[-1] != field:  # padding that hangs on the size of the image
        return everything
    return Cropped(part, (unit_row, unit_column), (top, left), False)


def _cut(field: Field, axis: int, middle: int, side: int) -> tuple[int, int, int] | None:
    """Return along one axis the place of the unit on the part's maps, where the part begins, and its pixels; None:
    what the unit sees reaches beyond the image.
    """
    size, stride, start = field.size[axis], field.stride[axis], field.start[axis]
    first = start + middle * stride
    if first < 0 or first + size > side:
        return None
    place = -(start // stride)  # the first whose field begins inside
    return place, (middle - place) * stride, start + place * stride + size


def _up_to(graph: Graph, layer: int, image: ImageShape) -> Graph:
    wiring, values = Wiring(image), {IMAGE: IMAGE}
    for index in needed(graph, [layer]):
        node = graph.nodes[index]
        values[index] = wiring.add(node.layer, node.name, tuple(values[value] for value in node.inputs))
    return Graph.of(wiring, values[layer], graph.normalisation)
