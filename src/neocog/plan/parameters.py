"""Where the parameters lie: in groups that are treated alike, matrices as panels and, apart from them, vectors."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from neocog.nn.graph import Graph, Node
from neocog.nn.groups import Rule
from neocog.nn.parameters import Parameter, parameters_of
from neocog.nn.shapes import ImageShape
from neocog.plan.contraction import Axis
from neocog.plan.correlation import column_panels
from neocog.plan.layout import Panels, Space, Vectors
from neocog.plan.target import Target

PARAMETERS = "parameters"
GRADIENTS = "gradients"
NOMINAL_BATCH = 64  # panels must suit every batch size; this one is typical

Place = Panels | Vectors


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of the parameters that follows its gradients by one rule: where it begins and ends, elements."""

    first: int
    end: int
    rule: Rule


@dataclass(frozen=True, slots=True)
class ParameterLayout:
    """Where each parameter lies, by its name, and which stretches are trained alike.

    Arguments:
        places: of every parameter.
        segments: of those that are trained, one behind another from the beginning; what is frozen lies behind them.
        size: elements in all.
    """

    places: dict[str, Place]
    segments: tuple[Segment, ...]
    size: int

    @property
    def trained(self) -> int:
        """Elements that gradients and the optimizer's memory need."""
        return self.segments[-1].end if self.segments else 0

    def weights(self, node: Node) -> Panels:
        """Return the weights of a convolution or a fully connected layer."""
        place = self.places[f"{node.name}.weight"]
        assert isinstance(place, Panels)
        return place

    def bias(self, node: Node) -> Vectors | None:
        """Return the biases of a layer, if it has any."""
        place = self.places.get(f"{node.name}.bias")
        assert not isinstance(place, Panels)
        return place

    def weight_gradient(self, node: Node) -> Panels:
        """Return where the gradient of a layer's weights lies: like the weights, in memory of its own."""
        return replace(self.weights(node), name=GRADIENTS, space=Space.WORK)

    def bias_gradient(self, node: Node) -> Vectors | None:
        """Return where the gradient of a layer's biases lies."""
        bias = self.bias(node)
        return bias and replace(bias, name=GRADIENTS, space=Space.WORK)


def lay_out_parameters(graph: Graph, target: Target, rules: dict[str, Rule] | None = None) -> ParameterLayout:
    """Choose a place for every parameter.

    Arguments:
        graph: the network.
        target: the processor.
        rules: how each parameter is trained; those without a rule are not, and without rules none is.
    """
    rules = rules or {}
    groups: dict[Rule | None, list[Parameter]] = {rule: [] for rule in rules.values()}
    groups[None] = []
    for parameter in parameters_of(graph):
        groups[rules.get(parameter.name)].append(parameter)
    places: dict[str, Place] = {}
    segments = []
    offset = 0
    for rule, group in groups.items():
        first = offset
        for parameter in sorted(group, key=lambda parameter: parameter.is_bias):
            place = places[parameter.name] = _place(parameter, offset, target)
            offset += place.size
        if rule is not None:
            segments.append(Segment(first, offset, rule))
    return ParameterLayout({p.name: places[p.name] for p in parameters_of(graph)}, tuple(segments), offset)


def _place(parameter: Parameter, offset: int, target: Target) -> Place:
    *receptive, columns = parameter.shape
    if not receptive:
        return Vectors(PARAMETERS, columns, target.round_up(columns), offset, Space.STATE)
    rows = math.prod(receptive)
    width = column_panels(columns, _output_rows(parameter.node), rows, target) * target.lanes
    return Panels(PARAMETERS, rows, columns, width, offset, Space.STATE)


def _output_rows(node: Node) -> tuple[Axis, ...]:
    if isinstance(node.output, ImageShape):
        # Steps that do not divide keep the axes apart, as they are where the input has a halo.
        return (Axis(NOMINAL_BATCH, 7), Axis(node.output.height, 5), Axis(node.output.width, 3))
    return (Axis(NOMINAL_BATCH, 1),)
