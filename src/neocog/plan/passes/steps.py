"""Which layers run together, and what is left out: a network as the steps that a program takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field, replace

from neocog.nn.graph import IMAGE, Graph, Node
from neocog.nn.layer import Layer, channels_of
from neocog.nn.layers import Activation, Add, Conv2d, ConvTranspose2d, Flatten, Linear, PReLU, ReLU
from neocog.nn.rewrite import ScaleShift
from neocog.nn.shapes import ImageShape
from neocog.nn.window import pair

MOST_SIDE = 32  # pixels of a depthwise filter, whose taps are written out one by one


@dataclass(frozen=True, slots=True)
class PlanStep:
    """Layers that run as one: a convolution or fully connected layer takes along what is done value by value behind it.

    Arguments:
        index: its place in the order.
        node: its first layer.
        inputs: the steps whose outputs that takes; -1 is the image.
        behind: the layers that run where its output is stored, in order.
        added: the step whose output the Add adds; there is at most one Add.
    """

    index: int
    node: Node
    inputs: tuple[int, ...]
    behind: tuple[Node, ...] = ()
    added: tuple[int, ...] = ()

    @property
    def last(self) -> Node:
        """Its last layer."""
        return (self.node, *self.behind)[-1]

    @property
    def title(self) -> str:
        """How plans name this step, such as "0:Conv2d+ReLU"."""
        return f"{self.node.name}:{'+'.join(type(node.layer).__name__ for node in (self.node, *self.behind))}"

    @property
    def activation(self) -> Layer | None:
        """The activation that it ends in, if it took one along."""
        return self.behind[-1].layer if self.behind and isinstance(self.behind[-1].layer, Activation) else None

    @property
    def is_correlation(self) -> bool:
        """Whether it multiplies by weights."""
        return isinstance(self.node.layer, Conv2d | ConvTranspose2d | Linear)

    @property
    def reads_each(self) -> bool:
        """Whether it takes its input value by value, in every pass, whatever lies between pixels."""
        return isinstance(self.node.layer, Conv2d | Linear) and not self.is_depthwise

    @property
    def groups(self) -> int:
        """Groups of channels that it convolves apart from each other; 1 for whatever else."""
        return self.node.layer.groups if isinstance(self.node.layer, Conv2d) else 1

    @property
    def is_depthwise(self) -> bool:
        """Whether it convolves each channel by itself, with one filter of a size that can be written out."""
        return is_depthwise(self.node)

    @property
    def is_flatten(self) -> bool:
        """Whether it only changes how values are counted."""
        return isinstance(self.node.layer, Flatten)

    @property
    def takes_images(self) -> bool:
        """Whether its inputs are images."""
        return isinstance(self.node.input, ImageShape)

    @property
    def gives_images(self) -> bool:
        """Whether its output is an image."""
        return isinstance(self.node.output, ImageShape)

    @property
    def on_images(self) -> bool:
        """Whether it takes and gives images."""
        return self.takes_images and self.gives_images


def is_depthwise(node: Node) -> bool:
    """Whether a layer convolves each channel by itself, with one filter of a size that can be written out."""
    layer = node.layer
    if not isinstance(layer, Conv2d) or layer.groups == 1:
        return False
    return channels_of(node.input) == layer.groups == layer.channels and max(pair(layer.kernel)) <= MOST_SIDE


@dataclass(frozen=True, slots=True)
class PlanSteps:
    """All steps of a program, in order.

    Arguments:
        steps: themselves.
        sources: for each layer, by its index, the step that gives its output; -1: the image itself.
    """

    steps: tuple[PlanStep, ...]
    sources: dict[int, int]
    _users: dict[int, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for step in self.steps:
            for value in (*step.inputs, *step.added):
                self._users[value] = (*self._users.get(value, ()), step.index)

    def users(self, value: int) -> tuple[PlanStep, ...]:
        """Return the steps that take what a step gives, once for each edge."""
        return tuple(self.steps[index] for index in self._users.get(value, ()))


def steps_of(graph: Graph, *, training: bool, wanted: Collection[int] | None = None) -> PlanSteps:
    """Group a network's layers into steps. What drops values at random is a step of training alone.

    Arguments:
        graph: the network.
        training: whether values are dropped, and gradients taken.
        wanted: the layers whose output somebody asks for; default: the last one. What they do not depend on is left
            out, and none of them takes a layer along.
    """
    wanted = {len(graph.nodes) - 1} if wanted is None else wanted
    kept = _needed(graph.nodes, wanted)
    grouping = _Grouping(training, set(wanted), _uses(kept, training=training))
    for node in kept:
        grouping.add(node)
    return PlanSteps(tuple(grouping.steps), grouping.sources)


def _is_left_out(node: Node, *, training: bool) -> bool:
    """Whether a layer changes nothing."""
    return node.layer.training_only and (not training or getattr(node.layer, "rate", 1.0) == 0.0)


def _uses(nodes: tuple[Node, ...], *, training: bool) -> Counter[int]:
    """Count how often the output of each layer is taken, those that are left out aside."""
    standing: dict[int, int] = {}
    uses: Counter[int] = Counter()
    for node in nodes:
        if _is_left_out(node, training=training):
            standing[node.index] = standing.get(node.inputs[0], node.inputs[0])
        else:
            uses.update(standing.get(value, value) for value in node.inputs)
    return uses


@dataclass(slots=True)
class _Grouping:
    """The steps so far, while one layer after another is added."""

    training: bool
    wanted: set[int]
    uses: Counter[int]
    steps: list[PlanStep] = field(default_factory=list)
    sources: dict[int, int] = field(default_factory=lambda: {IMAGE: IMAGE})

    def add(self, node: Node) -> None:
        """Add a layer: to a step that takes it along, or as one of its own."""
        inputs = tuple(self.sources[value] for value in node.inputs)
        if _is_left_out(node, training=self.training):
            self.sources[node.index] = inputs[0]
            if node.index in self.wanted and inputs[0] != IMAGE:
                self.wanted.add(self.steps[inputs[0]].last.index)
            return
        before = max(inputs)  # when that is computed, all inputs are there
        if before != IMAGE:
            step = self.steps[before]
            if isinstance(node.layer, ReLU) and isinstance(step.activation, ReLU):
                self.sources[node.index] = before  # a second ReLU changes nothing, forward or backward
                self.uses[step.last.index] += self.uses[node.index] - 1  # its readers, in place of itself
                return
            if self._takes_along(step, node):
                added = tuple(value for value in inputs if value != before)
                self.steps[before] = replace(step, behind=(*step.behind, node), added=(*step.added, *added))
                self.sources[node.index] = before
                return
        self.sources[node.index] = len(self.steps)
        self.steps.append(PlanStep(len(self.steps), node, inputs))

    def _takes_along(self, step: PlanStep, node: Node) -> bool:
        """Whether a layer can run where the output of the step is stored, whose only reader it must be.

        In training, a gradient must find its way back from what is stored: through one activation, by what came out.
        """
        if not step.is_correlation or self.uses[step.last.index] != 1 or step.last.index in self.wanted:
            return False
        if self.training:
            return isinstance(node.layer, Activation) and node.layer.from_output and not step.behind
        if isinstance(node.layer, Add):
            return len(node.inputs) == 2 and not step.added and not (node.is_pixel(0) or node.is_pixel(1))
        return isinstance(node.layer, Activation | PReLU | ScaleShift)


def _needed(nodes: tuple[Node, ...], asked: Collection[int]) -> tuple[Node, ...]:
    """Leave out the layers that none of those asked for depends on."""
    wanted = set(asked)
    for node in reversed(nodes):
        if node.index in wanted:
            wanted.update(node.inputs)
    return tuple(node for node in nodes if node.index in wanted)
