"""What an output cell of a layer sees of the image: its receptive field."""

from __future__ import annotations

from dataclasses import dataclass

from neocog.errors import SettingError
from neocog.explain.subject import check_index
from neocog.nn.graph import Graph
from neocog.nn.layers import AvgPool2d, Conv2d, MaxPool2d
from neocog.nn.shapes import ImageShape


@dataclass(frozen=True, slots=True)
class Field:
    """The receptive field of a layer's output cells, in pixels of the image; each entry is (vertical, horizontal).

    Output (p, q) sees the rows start[0] + p · stride[0] … + size[0] - 1, and the columns likewise. They may reach into
    the padding around the image, and with a dilation or a stride beyond the kernel not every pixel between the first
    and the last counts.
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


def receptive_field(graph: Graph, layer_index: int) -> Field:
    """Follow the windows from the image to a layer.

    Arguments:
        graph: the network.
        layer_index: `Node.index` of a layer with feature maps.

    Raises:
        SettingError: there is no such layer, or it gives a vector, each of whose values sees the whole image.

    Source: Araujo, Norris and Sim 2019, Computing receptive fields of convolutional neural networks, Distill.

    >>> from neocog.nn.graph import trace
    >>> from neocog.nn.blocks import Sequential
    >>> from neocog.nn.layers import Flatten
    >>> graph = trace(Sequential(Conv2d(2, 3), MaxPool2d(2), Conv2d(2, 3, padding=1), Flatten()), (12, 12, 1))
    >>> receptive_field(graph, 2)
    Field(size=(8, 8), stride=(2, 2), start=(-2, -2))
    """
    target = graph.nodes[check_index("layer_index", layer_index, len(graph.nodes))]
    if not isinstance(target.output, ImageShape):
        raise SettingError(
            f"{target.title} gives {target.output}: it has no receptive field",
            hint="choose a layer in front of Flatten",
        )
    size, stride, start = [1, 1], [1, 1], [0, 0]
    for node in graph.nodes[: target.index + 1]:
        assert isinstance(node.input, ImageShape)  # nothing in front of feature maps gives a vector
        if isinstance(node.layer, Conv2d | MaxPool2d | AvgPool2d):
            window = node.layer.window_over(node.input)
        else:
            continue
        for side, axis in enumerate((window.vertical, window.horizontal)):
            start[side] -= axis.before * stride[side]
            size[side] += (axis.reach - 1) * stride[side]
            stride[side] *= axis.stride
    return Field((size[0], size[1]), (stride[0], stride[1]), (start[0], start[1]))
