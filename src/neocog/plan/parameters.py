"""Where the parameters lie: in groups that are treated alike, matrices as panels and, apart from them, vectors."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from neocog.nn.graph import Graph, Node
from neocog.nn.groups import UpdateRule
from neocog.nn.layers import Conv2d, Linear
from neocog.nn.parameters import Parameter, variables_of
from neocog.plan.blocked import Precision
from neocog.plan.correlation import column_panels, output_rows
from neocog.plan.layout import Panels, Space, Vectors
from neocog.plan.ops.update import ParameterRange
from neocog.plan.rounded import Rounding
from neocog.plan.rounded_parameters import RoundedWeights, lay_out_scales, lay_out_weights
from neocog.target.processor import Target

PARAMETERS = "parameters"
BUFFERS = "buffers"
GRADIENTS = "gradients"
LARGE = 1 << 15
"""Elements of weights that are worth an update of their own, as soon as their gradient is known.

Its memory is then free for what comes after: the gradients of all weights together are as large as the weights. Smaller
ones are updated together at the end of a step, since threads wait for each other before and after an update.
"""

ParameterPlace = Panels | Vectors


def memory_of(slot: str, block: str) -> str:
    """Return the name of the memory in which a slot beside the variables of a block lies."""
    return f"memory {slot}" if block == PARAMETERS else f"memory {slot} of {block}"


@dataclass(frozen=True, slots=True)
class ParameterLayout:
    """Where each variable of a network lies, by its name, and which portions of the parameters are trained alike.

    Arguments:
        places: of every variable. Buffers lie in memory of their own where a program trains, since layers change them.
        ranges: of the parameters that are trained together, one behind another from the beginning; behind them lie
            those that are trained one by one, and then what is frozen.
        early: the parameters that are trained one by one, each as soon as its gradient is known.
        trained: elements that the optimizer's memory needs.
        sizes: elements of each named memory.
        rounded: of a program that multiplies 8-bit integers, where the weights of a layer lie, by its name.
        roundings: and how a value is rounded, by its number.
        batch: of the only programs that use it, which panels suit; None: of any batch.
    """

    places: dict[str, ParameterPlace]
    ranges: tuple[ParameterRange, ...]
    early: dict[str, UpdateRule]
    trained: int
    sizes: dict[str, int]
    rounded: dict[str, RoundedWeights] = field(default_factory=dict)
    roundings: dict[int, Rounding] = field(default_factory=dict)
    batch: int | None = None

    @property
    def size(self) -> int:
        """Elements of the memory in which parameters lie."""
        return self.sizes[PARAMETERS]

    @property
    def together(self) -> int:
        """Elements of the parameters that are trained together."""
        return self.ranges[-1].end if self.ranges else 0

    def gradient(self, name: str) -> ParameterPlace:
        """Return where the gradient of a parameter lies: like the parameter, beside those that are trained together, or
        in memory of its own.
        """
        place = self.places[name]
        if place.offset < self.together:
            return replace(place, name=GRADIENTS, space=Space.ARENA)
        return replace(place, name=f"gradient of {name}", offset=0, space=Space.ARENA)

    def weights(self, node: Node) -> Panels:
        """Return the weights of a convolution or a fully connected layer."""
        place = self.places[f"{node.name}.weight"]
        assert isinstance(place, Panels)
        return place

    def vectors(self, node: Node, variable: str) -> Vectors | None:
        """Return one of a layer's variables that hold one value for each channel, if it has it."""
        place = self.places.get(f"{node.name}.{variable}")
        assert not isinstance(place, Panels)
        return place

    def bias(self, node: Node) -> Vectors | None:
        """Return the biases of a layer, if it has any."""
        return self.vectors(node, "bias")

    def weight_gradient(self, node: Node) -> Panels:
        """Return where the gradient of a layer's weights lies."""
        place = self.gradient(f"{node.name}.weight")
        assert isinstance(place, Panels)
        return place

    def vectors_gradient(self, node: Node, variable: str) -> Vectors | None:
        """Return where the gradient of one of a layer's vectors lies."""
        if self.vectors(node, variable) is None:
            return None
        place = self.gradient(f"{node.name}.{variable}")
        assert isinstance(place, Vectors)
        return place

    def bias_gradient(self, node: Node) -> Vectors | None:
        """Return where the gradient of a layer's biases lies."""
        return self.vectors_gradient(node, "bias")


def lay_out_parameters(
    graph: Graph,
    target: Target,
    rules: Mapping[str, UpdateRule] | None = None,
    early: Collection[str] = (),
    precision: Precision = "float32",
    batch: int | None = None,
) -> ParameterLayout:
    """Choose a place for every variable.

    Arguments:
        graph: the network.
        target: the processor.
        rules: how each parameter is trained; those without a rule are frozen. None: for a program that only answers.
        early: parameters that are trained one by one.
        precision: of products.
        batch: of the only programs that will use it; None: any.
    """
    multiplied = [node for node in graph.nodes if precision == "int8" and isinstance(node.layer, Conv2d | Linear)]
    apart = {node.index for node in multiplied}
    rules_known = rules or {}
    together = [name for name in rules_known if name not in early]
    groups: dict[UpdateRule | str | None, list[Parameter]] = {rules_known[name]: [] for name in together}
    groups |= {name: [] for name in early}
    groups[None] = []
    for variable in variables_of(graph):
        name = variable.name
        if variable.node.index in apart:
            continue
        groups[name if name in early else rules_known.get(name)].append(variable)
    places: dict[str, ParameterPlace] = {}
    ranges = []
    sizes = {PARAMETERS: 0, BUFFERS: 0}
    trained = 0
    for rule, group in groups.items():
        first = sizes[PARAMETERS]
        for variable in sorted(group, key=lambda variable: variable.is_vector):
            block = PARAMETERS if variable.trainable or rules is None else BUFFERS
            place = places[variable.name] = _place(variable, block, sizes[block], target, batch)
            sizes[block] += place.size
        if isinstance(rule, UpdateRule):
            ranges.append(ParameterRange(first, sizes[PARAMETERS] - first, rule))
        if rule is not None:
            trained = sizes[PARAMETERS]
    rounded = {}
    for node in multiplied:
        rounded[node.name], sizes[PARAMETERS] = lay_out_weights(graph, node, target, PARAMETERS, sizes[PARAMETERS])
    roundings = lay_out_scales(graph, PARAMETERS, sizes[PARAMETERS]) if precision == "int8" else {}
    sizes[PARAMETERS] += target.round_up(2 * len(roundings))
    return ParameterLayout(
        {v.name: places[v.name] for v in variables_of(graph) if v.name in places},
        tuple(ranges),
        {name: rules_known[name] for name in early},
        trained,
        sizes,
        rounded,
        roundings,
        batch,
    )


def _place(variable: Parameter, block: str, offset: int, target: Target, batch: int | None) -> ParameterPlace:
    *receptive, columns = variable.shape
    if not receptive:
        return Vectors(block, columns, target.round_up(columns), offset, Space.STATE)
    rows = math.prod(receptive)
    if getattr(variable.node.layer, "groups", 1) > 1:  # vectors of filters are taken apart or worked with one by one
        return Panels(block, rows, columns, target.lanes, offset, Space.STATE)
    made = matrix_panels(block, rows, columns, variable.node, target, batch)
    return replace(made, offset=offset, space=Space.STATE)


def matrix_panels(name: str, rows: int, columns: int, node: Node, target: Target, batch: int | None) -> Panels:
    """Lay out the weights of a convolution or a fully connected layer as a matrix that suits a batch, or any."""
    usual = column_panels(columns, output_rows(node), rows, target) * target.lanes
    if batch is None:
        return Panels(name, rows, columns, usual)
    width = column_panels(columns, output_rows(node, batch), rows, target) * target.lanes
    return Panels(name, rows, columns, width, usual=usual)
