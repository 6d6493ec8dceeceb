"""Directions that hang on a parameter as a whole: LAMB's scale by lengths, and Muon's orthogonalised momentum.

A matrix is brought near an orthogonal one on its shorter side: one with fewer rows than columns is transposed first. An
iteration is three products of matrices, as contractions: A = Xᵀ X, A², and X (a·1 + b·A + c·A²). All matrices of a
network take each product together, so that threads wait for each other three times an iteration, whatever its depth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from neocog.nn.groups import UpdateRule
from neocog.nn.optimizers import Lookahead, Muon, Optimizer
from neocog.plan.correlation import column_panels, tiled
from neocog.plan.layout import Operand, Panels, Space, Vectors
from neocog.plan.loops import Axis
from neocog.plan.lower.lowering import Lowering
from neocog.plan.ops.contraction import Contraction
from neocog.plan.ops.directions import Divide, Lengths, Moved, Polynomial, Squares
from neocog.plan.ops.op import Op
from neocog.plan.ops.portion import Portion, all_chunks
from neocog.plan.ops.update import Transpose
from neocog.plan.parameters import PARAMETERS

DIRECTIONS = "directions"
ALTERNATE = "alternate directions"  # where every other iteration leaves its matrices


def moved_parameters(low: Lowering, rules: Mapping[str, UpdateRule]) -> dict[str, Moved]:
    """Return the parameters that take their steps as a whole, by name."""
    found = {}
    for name, rule in rules.items():
        place = low.layout.places[name]
        if rule.optimizer.whole:
            found[name] = Moved(place.offset, place.size, rule, _scale(rule.optimizer, place))
    return found


def _within(optimizer: Optimizer) -> Optimizer:
    return optimizer.optimizer if isinstance(optimizer, Lookahead) else optimizer


def _scale(optimizer: Optimizer, place: Panels | Vectors) -> float:
    own = _within(optimizer)
    return own.scale(place.rows, place.columns) if isinstance(own, Muon) and isinstance(place, Panels) else 1.0


def lengths_of(
    low: Lowering, what: str, values: Operand, portions: tuple[Portion, ...], limit: float | None = None
) -> tuple[list[Op], Operand]:
    """Plan the lengths of portions of a flat array, of numbers within a limit; return the ops, and where they lie."""
    squares = low.record(f"squares of {what}", all_chunks(portions) * low.target.lanes)
    lengths = low.record(f"lengths of {what}", len(portions) * low.target.lanes)
    chunks = tuple(portion.chunks for portion in portions)
    return [
        Squares(f"squares of {what}", values, portions, squares, limit),
        Lengths(f"lengths of {what}", squares, chunks, lengths),
    ], lengths


@dataclass(frozen=True, slots=True)
class Directions:
    """How parameters move as a whole.

    Arguments:
        ops: what makes steps of their directions.
        steps: where these lie in the end, like the parameters.
        lengths: of weights and directions, where their ratio scales a step.
    """

    ops: tuple[Op, ...]
    steps: Operand
    lengths: tuple[Operand, ...] = ()


def plan_directions(low: Lowering, moved: Mapping[str, Moved]) -> Directions:
    """Plan what makes steps of the directions of some parameters, which the rules left in `DIRECTIONS`."""
    found = Operand(Space.ARENA, DIRECTIONS, 0)
    portions = tuple(Portion(part.first, part.size) for part in moved.values())
    ops, of_directions = lengths_of(low, DIRECTIONS, found, portions)
    muon = _within(next(iter(moved.values())).rule.optimizer)
    if not isinstance(muon, Muon):
        more, of_weights = lengths_of(low, "weights", Operand(Space.STATE, PARAMETERS, 0), portions)
        return Directions((*more, *ops), found, (of_weights, of_directions))
    alternate = Operand(Space.ARENA, ALTERNATE, 0)
    for name in (DIRECTIONS, ALTERNATE):
        low.flat[Space.ARENA, name] = low.layout.trained
        low.zeroed.add((Space.ARENA, name))
    divide = Divide("directions by their lengths", found, portions, of_directions, muon.epsilon, alternate)
    last = (alternate, found)[muon.iterations % 2]
    return Directions((*ops, divide, *_orthogonalise(low, muon, moved)), last)


@dataclass(frozen=True, slots=True)
class _Matrix:
    """A parameter's direction while it is iterated upon, with no fewer rows than columns.

    Arguments:
        title: the parameter's name.
        home: where its direction lies before and after.
        places: where it is before each iteration, by turns.
        gram: A.
        square: A², and then the polynomial.
    """

    title: str
    home: tuple[Panels, Panels]
    places: tuple[Panels, Panels]
    gram: Panels
    square: Panels

    @property
    def transposed(self) -> bool:
        """Whether it is iterated upon transposed."""
        return self.home != self.places


def _orthogonalise(low: Lowering, muon: Muon, moved: Mapping[str, Moved]) -> Iterator[Op]:
    matrices = [_matrix(low, name) for name in moved]
    transposed = [matrix for matrix in matrices if matrix.transposed]
    for m in transposed:
        yield Transpose(f"{m.title} transpose", m.home[0], m.places[0], 1, m.home[0].rows)
    for number in range(muon.iterations):
        here, there = number % 2, (number + 1) % 2
        yield from (_gram(low, m, m.places[here]) for m in matrices)
        yield from (_product(low, f"{m.title} square", m.gram, m.gram, m.square) for m in matrices)
        yield from (Polynomial(f"{m.title} polynomial", m.gram, m.square, muon.coefficients) for m in matrices)
        yield from (_product(low, f"{m.title} iterate", m.places[here], m.square, m.places[there]) for m in matrices)
    for m in transposed:
        last = muon.iterations % 2
        yield Transpose(f"{m.title} transpose back", m.places[last], m.home[last], 1, m.home[last].columns)


def _matrix(low: Lowering, name: str) -> _Matrix:
    """Lay out what the iteration of a parameter needs. Where nothing is written, zeros must stay zeros."""
    place = low.layout.places[name]
    assert isinstance(place, Panels)
    first, second = (replace(place, name=memory, space=Space.ARENA) for memory in (ALTERNATE, DIRECTIONS))
    home = places = (first, second)
    if place.rows < place.columns:
        width = column_panels(place.rows, (Axis(place.columns, 1, 1),), place.rows, low.target) * low.target.lanes
        one, two = (Panels(f"{name} transposed {n}", place.columns, place.rows, width) for n in (1, 2))
        places = (one, two)
        low.panels += places
    x = places[0]
    gram, square = (Panels(f"{name} {what}", x.count * x.width, x.columns, x.width) for what in ("gram", "square"))
    low.panels += (gram, square)
    low.zeroed |= {panels.memory for panels in (*places, gram, square)}
    return _Matrix(name, home, places, gram, square)


def _gram(low: Lowering, matrix: _Matrix, x: Panels) -> Contraction:
    """A = Xᵀ X."""
    return tiled(
        f"{matrix.title} gram",
        out=matrix.gram.begin,
        a=x.begin,
        b=x.begin,
        rows=[Axis(x.count, x.width * x.width, x.panel_step), Axis(x.width, x.width, 1)],
        reduction=[Axis(x.rows, 0, x.width, x.width)],
        columns=matrix.gram,
        out_step=matrix.gram.panel_step,
        b_step=x.panel_step,
        target=low.target,
    )


def _product(low: Lowering, title: str, x: Panels, y: Panels, out: Panels) -> Contraction:
    """X · Y, for a square Y; both have panels of one width."""
    return tiled(
        title,
        out=out.begin,
        a=x.begin,
        b=y.begin,
        rows=[Axis(x.rows, x.width, x.width)],
        reduction=[Axis(x.count, 0, x.panel_step, x.width * x.width), Axis(x.width, 0, 1, x.width)],
        columns=out,
        out_step=out.panel_step,
        b_step=y.panel_step,
        target=low.target,
    )
