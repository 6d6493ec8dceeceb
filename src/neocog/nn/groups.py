"""Which parameters a training treats in their own way: their learning rate, their weight decay, and who stays as it is.

Weight decay is for the weights of convolutions and fully connected layers. Biases are few and set levels, and nothing
is won by pulling them to zero (He et al. 2019, Bag of tricks for image classification, section 3.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from neocog.errors import SettingError
from neocog.nn.graph import Graph
from neocog.nn.limits import check_count, is_number, shown
from neocog.nn.optimizers import Optimizer
from neocog.nn.parameters import Parameter, parameters_of

CLIP_EPSILON = 1e-6  # added to the length of the gradient before it divides the limit, as in PyTorch
MAX_STEPS = 1 << 24  # beyond it float32, in which a program is told the number of its step, has no every integer
_SHOWN = 12  # names that a message lists


@dataclass(frozen=True, slots=True)
class Group:
    """Parameters with a learning rate or a weight decay of their own.

    Arguments:
        pattern: names of parameters ("0.weight", "*.bias") or of layers, which stand for all parameters below them
            ("0", "3.*"); `*`, `?` and `[…]` as in a shell.
        learning_rate: factor on the learning rate of every step, 0 or more.
        weight_decay: in place of the optimizer's, for all parameters that match, biases included; None: as without
            the group.
        steps: the first steps of a training, after which they stay as they are, but for meetings with the slow weights
            of a Lookahead; None: all steps.

    >>> Group("0", learning_rate=0.1)
    Group(pattern='0', learning_rate=0.1, weight_decay=None, steps=None)
    """

    pattern: str
    learning_rate: float = 1.0
    weight_decay: float | None = None
    steps: int | None = field(default=None, metadata={"later": True})

    def __post_init__(self) -> None:
        if not isinstance(self.pattern, str):
            raise SettingError(
                f"Group: pattern must be a text, got {shown(self.pattern)}",
                hint='nc.Group("*.bias", learning_rate=2.0)',
            )
        numbers = {"learning_rate": self.learning_rate}
        if self.weight_decay is not None:
            numbers["weight_decay"] = self.weight_decay
        for name, value in numbers.items():
            if not (is_number(value) and value >= 0.0):
                raise SettingError(f"Group {self.pattern!r}: {name} must be 0 or more, got {shown(value)}")
        if self.steps is not None:
            check_count(f"Group {self.pattern!r}", "steps", self.steps, MAX_STEPS)


@dataclass(frozen=True, slots=True)
class Penalty:
    """What the loss has added for the size of weights, l1 · Σ |w| + l2 / 2 · Σ w²: their gradient gets
    l1 · sign(w) + l2 · w added, whatever the optimizer. Losses are told without it.

    Arguments:
        l1: pulls each weight towards 0 by the same, so that some become 0 but for a step's length (Tibshirani 1996).
        l2: pulls each by its size (Hoerl and Kennard 1970); for SGD the same as a weight decay.
    """

    l1: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        for name, value in (("l1", self.l1), ("l2", self.l2)):
            if not (is_number(value) and value >= 0.0):
                raise SettingError(f"{name} must be 0 or more, got {shown(value)}")


@dataclass(frozen=True, slots=True)
class GradientClip:
    """What no gradient of the loss may exceed; decay and penalties are added behind it.

    Arguments:
        norm: of the gradients of all trained parameters together: those that are longer are scaled down to it, by
            norm / (length + 1e-6), as PyTorch does (Pascanu, Mikolov and Bengio 2013). None: no limit.
        value: of each number, whatever its sign, before the norm is taken; None: no limit.
    """

    norm: float | None = None
    value: float | None = None

    def __post_init__(self) -> None:
        for name, limit in (("clip_norm", self.norm), ("clip_value", self.value)):
            if limit is not None and not (is_number(limit) and limit > 0.0):
                raise SettingError(f"{name} must be above 0, got {shown(limit)}")


NO_PENALTY, NO_CLIP = Penalty(), GradientClip()


@dataclass(frozen=True, slots=True)
class UpdateRule:
    """How a parameter follows its gradient.

    Arguments:
        optimizer: with the weight decay of this parameter.
        learning_rate: factor on the learning rate of every step.
        penalty: on its size.
        steps: the first ones, in which it moves; None: all.
    """

    optimizer: Optimizer
    learning_rate: float = 1.0
    penalty: Penalty = NO_PENALTY
    steps: int | None = None

    def rate(self, step: int) -> float:
        """Return the factor on the learning rate of a step, which counts from 1."""
        return self.learning_rate if self.steps is None or step <= self.steps else 0.0


def rules_of(
    graph: Graph,
    optimizer: Optimizer,
    groups: Sequence[Group] = (),
    frozen: Sequence[str] = (),
    penalty: Penalty = NO_PENALTY,
) -> dict[str, UpdateRule]:
    """Return the rule of each parameter that a training changes, by name, in the order of `parameters_of`.

    Where several groups match a parameter, the last one counts.

    Arguments:
        graph: the network.
        optimizer: its weight decay is for the weights of convolutions and fully connected layers.
        groups: parameters that are treated in their own way.
        frozen: patterns, as in a Group, of parameters that stay as they are.
        penalty: on the weights of convolutions and fully connected layers.

    Raises:
        SettingError: a pattern matches nothing.
    """
    stays = frozen_parameters(graph, frozen)
    every = parameters_of(graph)
    _check_patterns(every, [group.pattern for group in groups], "groups")
    rules: dict[str, UpdateRule] = {}
    for parameter in every:
        if parameter.name in stays:
            continue
        weight = parameter.variable.decay
        own, factor = optimizer.part(weight)
        usual = own.weight_decay if weight else 0.0
        decay, rate, steps = usual, 1.0, None
        for group in groups:
            if _matches(group.pattern, parameter.name):
                decay = usual if group.weight_decay is None else group.weight_decay
                rate, steps = group.learning_rate, group.steps
        of_size = penalty if weight else NO_PENALTY
        rules[parameter.name] = UpdateRule(own.with_decay(decay), rate * factor, of_size, steps)
    return rules


def frozen_parameters(graph: Graph, frozen: Sequence[str]) -> frozenset[str]:
    """Return the names of the parameters that stay as they are.

    Raises:
        SettingError: a pattern matches nothing.
    """
    every = parameters_of(graph)
    _check_patterns(every, frozen, "freeze")
    return frozenset(p.name for p in every if any(_matches(pattern, p.name) for pattern in frozen))


def _matches(pattern: str, name: str) -> bool:
    """Whether a pattern means a parameter: by its name, or by that of a layer or block that it belongs to."""
    parts = name.split(".")
    owners = [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
    return pattern in owners or any(fnmatchcase(owner, pattern) for owner in owners)


def _check_patterns(every: Sequence[Parameter], patterns: Sequence[str], setting: str) -> None:
    for pattern in patterns:
        if not any(_matches(pattern, parameter.name) for parameter in every):
            names = [parameter.name for parameter in every]
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            raise SettingError(
                f"{setting}: no parameter matches {pattern!r}",
                details=(f"parameters: {', '.join(names[:_SHOWN])}{more}",) if names else ("there are none",),
                hint='name a parameter, such as "0.weight", a layer, such as "0", or several, such as "*.bias"',
            )
