"""Steps that hang on many values at once: lengths of gradients, weights and directions, and what is done with them.

Sums of squares are taken chunk by chunk, and the chunks are cut by the sizes of parameters alone; so they are the same
on any number of threads. A length fills a vector, since all that is done with it is done to vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from neocog.plan.layout import Operand, Panels
from neocog.plan.ops.op import Op, Part, Reach, present, walked
from neocog.plan.ops.portion import Portion, all_chunks
from neocog.plan.ops.update import Followed, ParameterRange


def _reach(what: str, operand: Operand, portions: Sequence[Portion]) -> Reach:
    first = min(portion.first for portion in portions)
    return Reach(what, operand, first, max(portion.end for portion in portions) - 1)


def _off_vectors(name: str, portions: Sequence[Portion], lanes: int) -> Iterator[str]:
    if any(portion.first % lanes or portion.size % lanes for portion in portions):
        yield f"{name}: a portion is no whole number of vectors"


@dataclass(frozen=True, slots=True)
class Squares(Op):
    """Σ x² of each chunk of each portion: a vector for each, whose lanes are still to be added up.

    Arguments:
        values: where the flat array begins.
        limit: no x counts as further from 0 than this; None: no limit.
    """

    values: Operand
    portions: tuple[Portion, ...]
    out: Operand
    limit: float | None = None

    @property
    def items(self) -> int:
        """A chunk each."""
        return all_chunks(self.portions)

    def reads(self) -> tuple[Part, ...]:
        """Return the values."""
        return (self.values,)

    def writes(self) -> tuple[Part, ...]:
        """Return the sums."""
        return (self.out,)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield the portions, and a vector for each chunk."""
        yield _reach("values", self.values, self.portions)
        yield Reach("squares", self.out, 0, self.items * lanes - 1)

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield portions off whole vectors."""
        return _off_vectors(self.name, self.portions, lanes)


@dataclass(frozen=True, slots=True)
class Lengths(Op):
    """√ Σ x² of each portion, from the sums of its chunks, added up in their order and in double precision.

    Arguments:
        squares: what `Squares` left.
        chunks: of each portion.
        out: a vector for each portion, the length in every lane.
    """

    squares: Operand
    chunks: tuple[int, ...]
    out: Operand

    @property
    def items(self) -> int:
        """All at once: there is little to add up."""
        return 1

    def reads(self) -> tuple[Part, ...]:
        """Return the sums."""
        return (self.squares,)

    def writes(self) -> tuple[Part, ...]:
        """Return the lengths."""
        return (self.out,)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield a vector for each chunk, and for each portion."""
        yield Reach("squares", self.squares, 0, sum(self.chunks) * lanes - 1)
        yield Reach("lengths", self.out, 0, len(self.chunks) * lanes - 1)


@dataclass(frozen=True, slots=True)
class Divide(Op):
    """Each portion by its length, or by `least` where that is more.

    Arguments:
        values, out: where the flat arrays begin; the result may take the place of the values.
        lengths: a vector for each portion.
    """

    values: Operand
    portions: tuple[Portion, ...]
    lengths: Operand
    least: float
    out: Operand

    @property
    def items(self) -> int:
        """A chunk each."""
        return all_chunks(self.portions)

    def reads(self) -> tuple[Part, ...]:
        """Return the values and the lengths."""
        return (self.values, self.lengths)

    def writes(self) -> tuple[Part, ...]:
        """Return the result."""
        return (self.out,)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield the portions, and a vector for each."""
        yield _reach("values", self.values, self.portions)
        yield _reach("out", self.out, self.portions)
        yield Reach("lengths", self.lengths, 0, len(self.portions) * lanes - 1)

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield portions off whole vectors."""
        return _off_vectors(self.name, self.portions, lanes)


@dataclass(frozen=True, slots=True)
class Polynomial(Op):
    """a·1 + b·A + c·A² of a square matrix A and its square, in place of the square."""

    matrix: Panels
    square: Panels
    coefficients: tuple[float, float, float]

    @property
    def items(self) -> int:
        """A row each."""
        return self.square.rows

    def reads(self) -> tuple[Part, ...]:
        """Return both matrices."""
        return (self.matrix, self.square)

    def writes(self) -> tuple[Part, ...]:
        """Return the square."""
        return (self.square,)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all panels."""
        yield from walked("matrix", self.matrix)
        yield from walked("square", self.square)

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield matrices that are laid out differently."""
        one, two = self.matrix, self.square
        if (one.rows, one.columns, one.width) != (two.rows, two.columns, two.width):
            yield f"{self.name}: a matrix and its square are not laid out alike"


@dataclass(frozen=True, slots=True)
class Moved(ParameterRange):
    """A parameter that takes its step as a whole: by which rule, and the factor on its direction."""

    scale: float


@dataclass(frozen=True, slots=True)
class Move(Op):
    """Parameters take their steps along directions that are known by now.

    Arguments:
        portions: the parameters.
        parameters, directions, slow: where the flat arrays begin; the last is what Lookahead keeps.
        lengths: of the weights and of the directions of each portion, where their ratio scales a step.
        scalars: how many numbers of the step the rules need.
        followed: what follows the parameters, and where it begins.
    """

    portions: tuple[Moved, ...]
    parameters: Operand
    directions: Operand
    slow: Operand | None
    lengths: tuple[Operand, ...]
    scalars: int
    followed: tuple[Followed, ...] = ()

    @property
    def items(self) -> int:
        """A chunk each."""
        return all_chunks(self.portions)

    def reads(self) -> tuple[Part, ...]:
        """Return parameters, directions, lengths, and what is kept beside the parameters."""
        return (*self.writes(), self.directions, *self.lengths)

    def writes(self) -> tuple[Part, ...]:
        """Return the parameters, and what is kept beside them."""
        return (self.parameters, *present(self.slow), *(operand for _, operand in self.followed))

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield the portions of each, and the lengths."""
        for part in (*self.writes(), self.directions):
            assert isinstance(part, Operand)
            yield _reach("move", part, self.portions)
        for operand in self.lengths:
            yield Reach("lengths", operand, 0, len(self.portions) * lanes - 1)

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield portions off whole vectors."""
        return _off_vectors(self.name, self.portions, lanes)

    def details(self) -> Iterator[str]:
        """Yield the rule of each parameter."""
        for portion in self.portions:
            end = portion.first + portion.size - 1
            yield f"elements {portion.first:,} to {end:,}: {portion.rule.optimizer} x {portion.scale:g}"
