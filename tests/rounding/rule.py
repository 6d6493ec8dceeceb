"""How far float32 may stray in one layer, forward and backward: what a rule is. Beside this file lie those of each kind
of layer, and all of them in rules.py; conformance_bounds.py uses them.

Everywhere x is the exact input and e its bound, so that |x| + e bounds what an engine computes with.

An engine may sum in any order, and may start a sum from what is added to it later: the shortcut of a residual block,
or the gradient that another consumer sent. So beside each value runs the `Mass` of the sum that it came from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from neocog.nn.graph import Node
from neocog.nn.layers import Layer

U = 2.0**-24  # half the distance from 1 to the next float32
EXP = 4  # roundings granted to an exponential or a logarithm: 4 units in the last place are 8 of u


def gamma(n: int) -> float:
    """Bound the relative error that n roundings leave."""
    return n * U / (1 - n * U)


SMOOTH = gamma(2 * EXP + 4)  # what a function of one value may round: an exponential, and some operations around it


@dataclass(frozen=True)
class Mass:
    """The sum that a value came from: the sum of its terms' sizes, and how many roundings it took."""

    size: np.ndarray
    roundings: int = 0


@dataclass(frozen=True)
class Use:
    """One layer in a run of the reference.

    parameters: what it stores, by its own names.
    inputs, errors, masses: what it takes, bounds of them, and where they came from.
    output, error: what it gives, and its bound, for backward rules.
    """

    node: Node
    parameters: Mapping[str, np.ndarray]
    inputs: tuple[np.ndarray, ...]
    errors: tuple[np.ndarray, ...]
    masses: tuple[Mass, ...]
    choice: np.ndarray | None
    training: bool
    output: np.ndarray
    error: np.ndarray | None = None

    @property
    def layer(self) -> Layer:
        """The layer itself."""
        return self.node.layer

    @property
    def x(self) -> np.ndarray:
        """The first input."""
        return self.inputs[0]

    @property
    def e(self) -> np.ndarray:
        """Its bound."""
        return self.errors[0]

    @property
    def sizes(self) -> tuple[np.ndarray, ...]:
        """The most that each input may be, in magnitude, as an engine has it."""
        return tuple(np.abs(x) + e for x, e in zip(self.inputs, self.errors, strict=True))


@dataclass(frozen=True)
class Stray:
    """How far what a layer gives may stray, the sum that it is, and how far new buffers may stray."""

    error: np.ndarray
    mass: Mass | None = None
    buffers: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Back:
    """How far gradients may stray: of each input, and of each parameter by the layer's own names."""

    inputs: tuple[np.ndarray, ...]
    parameters: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Rule:
    """The rules of one kind of layer. `backward` takes the gradient of the output and its bound."""

    forward: Callable[[Use], Stray]
    backward: Callable[[Use, np.ndarray, np.ndarray], Back]
