"""What happens to parameters and their gradients as flat arrays: transposed copies, sums of slices, the optimizer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from neocog.nn.followers import Follower
from neocog.nn.groups import NO_CLIP, GradientClip, UpdateRule
from neocog.plan.layout import Operand, Panels
from neocog.plan.ops.op import Op, Part, Reach, present, walked
from neocog.plan.ops.portion import Portion, chunks_of

Followed = tuple[Follower, Operand]


@dataclass(frozen=True, slots=True)
class Transpose(Op):
    """Write a layer's weights with inputs and outputs swapped, tap by tap, for the gradient of its input."""

    weights: Panels
    transposed: Panels
    taps: int
    inputs: int

    @property
    def items(self) -> int:
        """One panel of one tap each."""
        return self.taps * self.transposed.count

    def reads(self) -> tuple[Part, ...]:
        """Return the weights."""
        return (self.weights,)

    def writes(self) -> tuple[Part, ...]:
        """Return their copy."""
        return (self.transposed,)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all panels."""
        yield from walked("weights", self.weights)
        yield from walked("transposed", self.transposed)


@dataclass(frozen=True, slots=True)
class Reduced(Portion):
    """A portion of each partial gradient, and where the sums of it go."""

    out: Operand


def side_by_side(*sums: tuple[Operand, int]) -> tuple[Reduced, ...]:
    """Return portions that lie one behind another in a partial gradient.

    Arguments:
        sums: for each, where its sums go, and its size, elements.
    """
    parts: list[Reduced] = []
    for out, size in sums:
        parts.append(Reduced(parts[-1].end if parts else 0, size, out))
    return tuple(parts)


@dataclass(frozen=True, slots=True)
class ReducePartials(Op):
    """Add up partial gradients in a fixed order: the parts = sum over copies, one copy behind another.

    Arguments:
        copies: where the first one begins.
        count: how many there are.
        parts: what a copy consists of, and where the sums go: a matrix of weights and perhaps biases.
    """

    copies: Operand
    count: int
    parts: tuple[Reduced, ...]

    @property
    def size(self) -> int:
        """Elements of a copy."""
        return self.parts[-1].end

    @property
    def items(self) -> int:
        """A chunk of the gradient each."""
        return chunks_of(self.size)

    def reads(self) -> tuple[Part, ...]:
        """Return the partial gradients."""
        return (self.copies,)

    def writes(self) -> tuple[Part, ...]:
        """Return their sums."""
        return tuple(part.out for part in self.parts)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all of both."""
        yield Reach("copies", self.copies, 0, self.count * self.size - 1)
        for part in self.parts:
            yield Reach("part", part.out, 0, part.size - 1)

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield parts off whole vectors."""
        if any(part.size % lanes for part in self.parts):
            yield f"{self.name}: a part is no whole number of vectors"


@dataclass(frozen=True, slots=True)
class ParameterRange(Portion):
    """A portion of the parameters that follows its gradients by one rule."""

    rule: UpdateRule


@dataclass(frozen=True, slots=True)
class Update(Op):
    """One step of the optimizer over all parameters at once, each range of them by its rule.

    Arguments:
        ranges: one behind another.
        parameters, gradients: where they begin.
        slots, memory: what is kept beside parameters, by name, and where it begins.
        scalars: how many numbers of the step the rules need.
        followed: what follows the parameters, and where it begins.
        clip: what gradients may not exceed.
        length: of the gradients of all parameters, where that is limited.
        directions: where parameters that move as a whole leave their directions, in place of taking a step.
    """

    ranges: tuple[ParameterRange, ...]
    parameters: Operand
    gradients: Operand
    slots: tuple[str, ...]
    memory: tuple[Operand, ...]
    scalars: int
    followed: tuple[Followed, ...] = ()
    clip: GradientClip = NO_CLIP
    length: Operand | None = None
    directions: Operand | None = None

    @property
    def size(self) -> int:
        """Elements in all."""
        return self.ranges[-1].end

    @property
    def items(self) -> int:
        """A chunk of the parameters each."""
        return chunks_of(self.size)

    def reads(self) -> tuple[Part, ...]:
        """Return parameters, gradients, and what is kept beside them."""
        return (self.parameters, *self._kept(), self.gradients, *present(self.length))

    def writes(self) -> tuple[Part, ...]:
        """Return parameters, what is kept beside them, and directions."""
        return (self.parameters, *self._kept(), *present(self.directions))

    def _kept(self) -> tuple[Operand, ...]:
        return (*self.memory, *(operand for _, operand in self.followed))

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all of them."""
        for operand in (self.parameters, self.gradients, *self._kept()):
            yield Reach("update", operand, 0, self.size - 1)
        if self.directions is not None:
            yield Reach("directions", self.directions, 0, self.size - 1)
        if self.length is not None:
            yield Reach("length", self.length, 0, lanes - 1)

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield ranges off whole vectors, and gaps between them."""
        ends = [0, *(range_.end for range_ in self.ranges)]
        if any(end % lanes for end in ends) or [range_.first for range_ in self.ranges] != ends[:-1]:
            yield f"{self.name}: ranges do not lie one behind another, in whole vectors"

    def details(self) -> Iterator[str]:
        """Yield the rule of each range."""
        for range_ in self.ranges:
            rate = "" if range_.rule.learning_rate == 1.0 else f", learning rate x {range_.rule.learning_rate:g}"
            yield f"elements {range_.first:,} to {range_.end - 1:,}: {range_.rule.optimizer}{rate}"
        for follower, _ in self.followed:
            yield f"followed by {follower}"
        if self.clip != NO_CLIP:
            yield f"of gradients within {self.clip}"


@dataclass(frozen=True, slots=True)
class Follow(Op):
    """What follows buffers takes its next step.

    Arguments:
        values: where the buffers begin.
        size: elements of them all.
        followed: what follows them, and where it begins.
    """

    values: Operand
    size: int
    followed: tuple[Followed, ...]

    @property
    def items(self) -> int:
        """A chunk of the buffers each."""
        return chunks_of(self.size)

    def reads(self) -> tuple[Part, ...]:
        """Return the buffers, and what follows them."""
        return (self.values, *self.writes())

    def writes(self) -> tuple[Part, ...]:
        """Return what follows."""
        return tuple(operand for _, operand in self.followed)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all of them."""
        for operand in (self.values, *(operand for _, operand in self.followed)):
            yield Reach("follow", operand, 0, self.size - 1)
