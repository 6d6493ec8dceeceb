"""A program: everything that will happen, in order, and where everything lies.

A program trains, or it answers: with logits and features, the peaks of feature maps, or the output of any layer; or it
finds the gradient of a value, for one that the caller gives of the last layer's output.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from neocog.nn.followers import Follower
from neocog.nn.graph import Graph
from neocog.nn.groups import NO_CLIP, NO_PENALTY, GradientClip, Group, Penalty, UpdateRule, rules_of
from neocog.nn.losses import Loss
from neocog.nn.optimizers import Optimizer
from neocog.nn.slicing import Slicing
from neocog.plan.layout import Space, Tensor
from neocog.plan.memory import Allocation, Scheduled
from neocog.plan.ops.exchange import EXCHANGES, Exchange
from neocog.plan.ops.op import Op
from neocog.plan.parameters import ParameterLayout
from neocog.target.processor import Target

LOGITS, FEATURES, PEAKS = "logits", "features", "peaks"  # what outputs of programs are called
GRADIENT = "gradient"  # and what that of the sought value is
FIRST_KEY_SLOT = 16  # where the keys of Dropout layers begin in a program's arguments; see emit/program.py


@dataclass(frozen=True, slots=True)
class Training:
    """What a training program is for.

    Arguments:
        loss: what each step makes smaller.
        optimizer: how parameters follow their gradients.
        groups, frozen: of parameters, see nn/groups.py.
        followers: of parameters and buffers, see nn/followers.py.
        clip, penalty: of gradients, see nn/groups.py.
        keeps_gradients: whether all gradients can be read after a step; else large ones give their memory up.
        slicing: how a step is cut into slices; None: it is not. A program is made for one of them.
    """

    loss: Loss
    optimizer: Optimizer
    groups: tuple[Group, ...] = ()
    frozen: tuple[str, ...] = ()
    followers: tuple[Follower, ...] = ()
    clip: GradientClip = NO_CLIP
    penalty: Penalty = NO_PENALTY
    keeps_gradients: bool = True
    slicing: Slicing | None = None

    def rules(self, graph: Graph) -> dict[str, UpdateRule]:
        """Return how each parameter of a network is trained, by name; those that are frozen are left out."""
        return rules_of(graph, self.optimizer, self.groups, self.frozen, self.penalty)


@dataclass(frozen=True, slots=True)
class ProgramPhase:
    """Stages that run without a break, as a function of this name, and the exchange that the next ones wait for."""

    function: str
    stages: range
    exchange: Exchange | None = None


@dataclass(frozen=True, slots=True)
class Program:
    """Everything that will happen, in order, and where everything lies."""

    graph: Graph
    target: Target
    batch: int
    training: Training | None
    stages: tuple[Scheduled, ...]
    allocations: dict[tuple[Space, str], Allocation]
    parameters: ParameterLayout
    input: Tensor
    outputs: dict[str, Tensor]  # by name: what was asked for
    losses: Tensor | None
    peaks: dict[int, Tensor]  # by layer, where they were asked for: (images, 1, 1, filters)
    preparation: tuple[Op, ...]  # what a program that predicts does once after its parameters changed
    dropouts: tuple[int, ...]  # the layers whose keys fill the slots from FIRST_KEY_SLOT on
    given: Tensor | None = None  # where the caller writes the gradient of the last layer's output

    @property
    def purpose(self) -> str:
        """What it is for, in a word."""
        if self.given is not None:
            return "gradient"
        if self.training is not None:
            return "training"
        return "peaks" if self.peaks and not self.outputs else "prediction"

    def phases(self) -> tuple[ProgramPhase, ...]:
        """Return the stages between exchanges; where there is none, all are one phase."""
        cuts = [index for index, scheduled in enumerate(self.stages) if isinstance(scheduled.stage, EXCHANGES)]
        if not cuts:
            return (ProgramPhase("run", range(len(self.stages))),)
        found, first = [], 0
        for number, cut in enumerate((*cuts, len(self.stages))):
            exchange = self.stages[cut].stage if cut < len(self.stages) else None
            assert exchange is None or isinstance(exchange, EXCHANGES)
            found.append(ProgramPhase(f"run_{number}", range(first, cut), exchange))
            first = cut + 1
        return tuple(found)

    def every_stage(self) -> Iterator[Op]:
        """Return all stages in order, those inside chains one by one."""
        for stage, _ in self.every_stage_with_times():
            yield stage

    def every_stage_with_times(self) -> Iterator[tuple[Op, int]]:
        """Return all stages, and how often each runs: once, or in a chain for every block of images."""
        for scheduled in self.stages:
            for inner in scheduled.stage.inner_stages():
                yield inner, scheduled.stage.times

    def size(self, space: Space) -> int:
        """Bytes that a program needs of a kind of memory."""
        return max((p.end for (where, _), p in self.allocations.items() if where is space), default=0)
