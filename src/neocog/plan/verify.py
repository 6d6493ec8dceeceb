"""Proof that a program stays inside its memory, before any of it is compiled.

Emitted code checks nothing, so a wrong stride would read or overwrite a neighbour, and a vector off its alignment would
end the process. Loops have constant strides, so the first and last element that an op touches follow from the plan
alone; each op says how far it reaches (plan/ops/), and what in it would contradict itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

from neocog.plan.layout import Name, Space
from neocog.plan.memory import Place
from neocog.plan.ops.op import Op


class PlanError(Exception):
    """A plan that contradicts itself: a defect of neocog, never of its user."""


def verify(stages: Iterable[Op], places: Mapping[Name, Place], lanes: int) -> None:
    """Raise PlanError if a stage reaches outside its operands, or if two pieces of memory overlap.

    Arguments:
        stages: the program's stages.
        places: where each named piece of memory lies.
        lanes: float32 values in a vector.
    """
    _check_apart(places)
    for stage in stages:
        for link in stage.links():
            for fault in link.faults(lanes):
                raise PlanError(fault)
            _check_reaches(link, places, lanes, *stage.before_last())


def _check_reaches(op: Op, places: Mapping[Name, Place], lanes: int, images: int, slices: int) -> None:
    """Check how far an op reaches; in a chain, also at the last place where so many images and slices lie before it."""
    for reach in op.reaches(lanes):
        operand = reach.operand
        if reach.aligned and operand.start % lanes:
            raise PlanError(f"{op.name}: {reach.what} begins at element {operand.start}, not at a whole vector")
        size = places[operand.memory].size // reach.bytes_each
        moved = images * operand.image + slices * operand.slice if operand.space is Space.WORK else 0
        first, last = operand.start + reach.low, operand.start + reach.high + moved
        if first < 0 or last >= size:
            raise PlanError(
                f"{op.name}: {reach.what} reaches elements {first} to {last} of {operand.name!r}, which has {size}"
            )


def _check_apart(places: Mapping[Name, Place]) -> None:
    for space in Space:
        here = [(name, place) for (where, name), place in places.items() if where is space]
        for (name, place), (other_name, other) in itertools.combinations(here, 2):
            if place.overlaps(other) and place.meets(other.life):
                raise PlanError(f"{name!r} overlaps {other_name!r} in {space.value} memory while both are in use")
