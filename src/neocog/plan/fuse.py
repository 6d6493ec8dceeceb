"""Which layers run together: a network as the steps that a program takes."""

from __future__ import annotations

from dataclasses import dataclass

from neocog.nn.graph import Graph, Node
from neocog.nn.layers import Conv2d, Dropout, Flatten, Linear, ReLU


@dataclass(frozen=True, slots=True)
class Step:
    """One or two layers that run as one: a convolution or fully connected layer takes the ReLU behind it along."""

    node: Node
    last: Node
    relu: bool = False

    @property
    def title(self) -> str:
        """How plans name this step, such as "0:Conv2d+ReLU"."""
        return f"{self.node.name}:{type(self.node.layer).__name__}{'+ReLU' if self.relu else ''}"


def fuse(graph: Graph, *, training: bool, across_dropouts: bool = True) -> tuple[Step, ...]:
    """Group a network's layers into steps. A Dropout is a step of training alone.

    Arguments:
        graph: the network.
        training: whether Dropouts drop.
        across_dropouts: whether a layer takes a ReLU along that stands behind a Dropout which is left out.
    """
    steps: list[Step] = []
    for node in graph.nodes:
        if isinstance(node.layer, Dropout) and (not training or node.layer.rate == 0.0):
            continue
        previous = steps[-1] if steps else None
        if (
            isinstance(node.layer, ReLU)
            and previous is not None
            and isinstance(previous.node.layer, Conv2d | Linear)
            and not previous.relu
            and (across_dropouts or node.index == previous.last.index + 1)
        ):
            steps[-1] = Step(previous.node, node, relu=True)
        elif isinstance(node.layer, ReLU) and previous is not None and previous.relu:
            continue  # a second ReLU changes nothing, forward or backward
        else:
            steps.append(Step(node, node))
    return tuple(steps)


def is_correlation(step: Step) -> bool:
    """Whether a step has weights."""
    return isinstance(step.node.layer, Conv2d | Linear)


def is_flatten(step: Step) -> bool:
    """Whether a step only changes how values are counted."""
    return isinstance(step.node.layer, Flatten)
