"""What flows between tasks, and tasks: stages that are decided but for the images that they take at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from neocog.nn.layer import Layer
from neocog.nn.layers import ReLU
from neocog.plan.layout import Space, Tensor
from neocog.plan.ops.op import Op
from neocog.plan.ops.pointwise import Expression

Where = Literal["before", "inside", "behind"]
"""Where a task stands: inside the chain of its segment, or before or behind it with the whole batch."""


@dataclass(slots=True, eq=False)
class Value:
    """A tensor of a program.

    Arguments:
        tensor: as it lies for the whole batch.
        maker: the task that writes it, or writes it first.
        activation: the one that its maker ended in, if any: its gradient passes that first, by what came out.
        kept: whether a caller reads it.
        dirty: whether its halo holds anything but zeros.
        formula: how it follows from others, value by value, where it does.
        base: the value that it is another view of.
    """

    tensor: Tensor
    maker: Task | None = None
    activation: Layer | None = None
    kept: bool = False
    dirty: bool = False
    formula: Expression | None = None
    base: Value | None = None
    users: list[Task] = field(default_factory=list)

    @property
    def clamped(self) -> bool:
        """Whether it comes out of a ReLU: then a gradient passes where it is above zero, and nowhere else."""
        return isinstance(self.activation, ReLU)

    @property
    def root(self) -> Value:
        """The value whose memory it lies in."""
        return self if self.base is None else self.base.root

    @property
    def level(self) -> int:
        """That of its maker."""
        assert self.root.maker is not None
        return self.root.maker.level

    @property
    def stored(self) -> bool:
        """Whether it is there for later segments than that which made it."""
        return self.root.kept or any(user.level != self.level for user in self.root.users)


@dataclass(slots=True, eq=False)
class Task:
    """Work of one segment.

    Arguments:
        title: of the step that it belongs to.
        level: its segment: even ones take a few images at a time where that pays, odd ones the whole batch.
        build: makes its stages, once it is known how many images they see.
        where: before, inside or behind the segment's chain.
        images: so many at a time fill its kernels.
        slices: the most slices that its partial sums allow; 0: it has none.
        sums: whether its result must be added up over slices of a chain.
        correlates: whether it multiplies by weights: what is worth a chain backward.
        on_images: whether it takes and gives images.
        backward: whether it belongs to the backward pass.
        last_title: of the step that it ends with, where that is another one.
        weights: bytes of weights that it reads for each block of a chain.
    """

    title: str
    level: int
    build: Callable[[Segment], Iterable[Op]]
    where: Where = "inside"
    images: int = 1
    slices: int = 0
    sums: bool = False
    correlates: bool = False
    on_images: bool = False
    backward: bool = False
    last_title: str = ""
    weights: int = 0


@dataclass(slots=True, eq=False)
class Segment:
    """Tasks that run together, and how: `block` images at a time, or all of them where it is None."""

    level: int
    backward: bool
    batch: int
    tasks: list[Task] = field(default_factory=list)
    block: int | None = None
    slices: int = 0
    passing: frozenset[str] = frozenset()

    def settle(self, tensor: Tensor) -> Tensor:
        """Return a tensor as the segment's stages see it: what is only passed on inside lies in scratch memory."""
        if self.block is None:
            return tensor
        if tensor.name in self.passing:
            return replace(tensor, images=self.block, space=Space.SCRATCH)
        return replace(tensor, images=self.block)

    @property
    def blocks(self) -> int:
        """Blocks of the batch; 1 without a chain."""
        return self.batch // self.block if self.block else 1


@dataclass(frozen=True, slots=True)
class Contribution:
    """A part of the gradient of a value: an expression, and whether it has passed the activation behind it."""

    expression: Expression
    past_activation: bool = False


def is_bare(expression: Expression) -> bool:
    """Whether an expression is a tensor as it is."""
    return not expression.steps
