"""Where the parameters lie: one block of panels, the same for every program of a network on a target."""

from __future__ import annotations

from dataclasses import dataclass

from neocog.nn.graph import Graph, Node
from neocog.nn.layers import Conv2d, Linear
from neocog.nn.shapes import ImageShape
from neocog.plan.correlation import column_panels
from neocog.plan.layout import Panels, Space
from neocog.plan.loops import Axis
from neocog.plan.target import Target

PARAMETERS = "parameters"
GRADIENTS = "gradients"
NOMINAL_BATCH = 64  # panels must suit every batch size; this one is typical


@dataclass(frozen=True, slots=True)
class ParameterLayout:
    """The panels of each layer with weights, by the layer's index, one behind another."""

    panels: dict[int, Panels]
    size: int

    def gradient(self, index: int) -> Panels:
        """Return the panels of a layer's gradient: laid out like the parameters, in memory of their own."""
        p = self.panels[index]
        return Panels(GRADIENTS, p.rows, p.columns, p.width, p.offset, Space.WORK)


def lay_out_parameters(graph: Graph, target: Target) -> ParameterLayout:
    """Choose panels for every layer with weights. A bias is one more row, behind those of its layer's weights."""
    panels: dict[int, Panels] = {}
    offset = 0
    for node in graph.nodes:
        layer = node.layer
        shape = node.weight_shape
        if shape is None or not isinstance(layer, Conv2d | Linear):
            continue
        *receptive, columns = shape
        rows = 1
        for extent in receptive:
            rows *= extent
        width = column_panels(columns, _output_rows(node), rows, target) * target.lanes
        placed = Panels(PARAMETERS, rows + layer.bias, columns, width, offset, Space.STATE)
        panels[node.index] = placed
        offset += placed.size
    return ParameterLayout(panels, offset)


def _output_rows(node: Node) -> tuple[Axis, ...]:
    if isinstance(node.output, ImageShape):
        # Steps that do not divide keep the axes apart, as they are where the input has a halo.
        return (Axis(NOMINAL_BATCH, 7), Axis(node.output.height, 5), Axis(node.output.width, 3))
    return (Axis(NOMINAL_BATCH, 1),)
