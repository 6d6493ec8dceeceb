"""What a rule is: how the reference computes one kind of layer, and how a gradient goes back through it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from neocog.nn.layer import Layer
from neocog.reference.arrays import Array

L = TypeVar("L", bound=Layer)


@dataclass(frozen=True, slots=True)
class Draw:
    """A training step: which values its Dropouts keep. Without one, as in prediction, they keep all."""

    seed: int
    step: int


@dataclass(frozen=True, slots=True)
class Call(Generic[L]):
    """One use of a layer.

    Arguments:
        layer: which, with its settings.
        inputs: what it takes, each for all images of the batch.
        variables: what it stores, by its own names: "weight", "running_mean".
        stream: which of all random streams is the layer's (`Node.stream`).
        draw: the training step; None for prediction.
        choice: in a backward pass, what the forward pass chose.
    """

    layer: L
    inputs: tuple[Array, ...]
    variables: Mapping[str, Array]
    stream: int
    draw: Draw | None
    choice: Array | None = None

    @property
    def x(self) -> Array:
        """The first input; most layers have no other."""
        return self.inputs[0]

    @property
    def chosen(self) -> Array:
        """The choice of the forward pass, for rules that always make one."""
        assert self.choice is not None
        return self.choice


@dataclass(frozen=True, slots=True)
class LayerResult:
    """What a layer gave.

    output: its value.
    choice: what its backward pass cannot see from the inputs: the argmax of windows, the mask of a Dropout.
    buffers: new values of what it stores without learning it, by its own names.
    """

    output: Array
    choice: Array | None = None
    buffers: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sent:
    """What a layer sends back: a gradient for each input, and for each trainable variable by its own name."""

    inputs: tuple[Array, ...]
    variables: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReferenceRule:
    """How one kind of layer is computed.

    forward: from a call to what it gives.
    backward: from the same call, with the choice, and the gradient of its output to what it sends back.
    """

    forward: Callable[[Call[Any]], LayerResult]
    backward: Callable[[Call[Any], Array], Sent]


Rules = dict[type[Layer], ReferenceRule]
