"""Which layers run together, and what is left out: a network as the steps that a program takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from neocog.nn.graph import IMAGE, Graph, Node
from neocog.nn.layers import Conv2d, Flatten, Linear, ReLU
from neocog.nn.shapes import ImageShape


@dataclass(frozen=True, slots=True)
class Step:
    """One or two layers that run as one: a convolution or fully connected layer takes the ReLU behind it along.

    Arguments:
        index: its place in the order.
        node, last: its first and last layer.
        inputs: the steps whose outputs it takes; -1 is the image.
    """

    index: int
    node: Node
    last: Node
    inputs: tuple[int, ...]
    relu: bool = False

    @property
    def title(self) -> str:
        """How plans name this step, such as "0:Conv2d+ReLU"."""
        return f"{self.node.name}:{type(self.node.layer).__name__}{'+ReLU' if self.relu else ''}"

    @property
    def is_correlation(self) -> bool:
        """Whether it multiplies by weights."""
        return isinstance(self.node.layer, Conv2d | Linear)

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


@dataclass(frozen=True, slots=True)
class Steps:
    """All steps of a program, in order.

    Arguments:
        steps: themselves.
        sources: for each layer, by its index, the step that gives its output; -1: the image itself.
    """

    steps: tuple[Step, ...]
    sources: dict[int, int]
    _users: dict[int, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for step in self.steps:
            for value in step.inputs:
                self._users[value] = (*self._users.get(value, ()), step.index)

    def users(self, value: int) -> tuple[Step, ...]:
        """Return the steps that take what a step gives, once for each edge."""
        return tuple(self.steps[index] for index in self._users.get(value, ()))


def steps_of(graph: Graph, *, training: bool, peaks: Collection[int] | None = None) -> Steps:
    """Group a network's layers into steps. What drops values at random is a step of training alone.

    Arguments:
        graph: the network.
        training: whether values are dropped.
        peaks: the layers whose maps' largest values are asked for, in place of the network's output; what they do not
            depend on is left out, and a convolution among them takes no ReLU along.
    """
    kept = graph.nodes if peaks is None else _needed(graph.nodes, peaks)
    sources = {IMAGE: IMAGE}
    uses = Counter(value for node in kept for value in node.inputs)
    steps: list[Step] = []
    taken: set[int] = set()
    for node in kept:
        inputs = tuple(sources[value] for value in node.inputs)
        layer = node.layer
        if layer.training_only and (not training or getattr(layer, "rate", 1.0) == 0.0):
            sources[node.index] = inputs[0]
            continue
        before = steps[inputs[0]] if inputs[0] != IMAGE else None
        if isinstance(layer, ReLU) and before is not None:
            if before.relu:
                sources[node.index] = before.index  # a second ReLU changes nothing, forward or backward
                continue
            alone = uses[node.inputs[0]] == 1 and before.index not in taken
            if before.is_correlation and alone and before.last.index not in (peaks or ()):
                steps[before.index] = Step(before.index, before.node, node, before.inputs, relu=True)
                sources[node.index] = before.index
                continue
        taken.update(inputs)
        sources[node.index] = len(steps)
        steps.append(Step(len(steps), node, node, inputs))
    return Steps(tuple(steps), sources)


def _needed(nodes: tuple[Node, ...], peaks: Collection[int]) -> tuple[Node, ...]:
    """Leave out the layers that none of `peaks` depends on."""
    wanted = set(peaks)
    for node in reversed(nodes):
        if node.index in wanted:
            wanted.update(node.inputs)
    return tuple(node for node in nodes if node.index in wanted)
