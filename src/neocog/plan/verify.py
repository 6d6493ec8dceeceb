"""Proof that a program stays inside its memory, before any of it is compiled.

Emitted code checks nothing, so a wrong stride would read or overwrite a neighbour. Every loop has constant strides,
so the first and last element that an operand touches follow from the plan alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

from neocog.plan.contraction import Axis, Contraction, Operand
from neocog.plan.layout import Space
from neocog.plan.memory import Place
from neocog.plan.stages import Fold, Stage, Update

Name = tuple[Space, str]


class PlanError(Exception):
    """A plan that contradicts itself: a defect of neocog, never of its user."""


def verify(stages: Iterable[Stage], places: Mapping[Name, Place], lanes: int) -> None:
    """Raise PlanError if a stage reaches outside its operands, or if two pieces of memory overlap.

    Arguments:
        stages: the program's stages.
        places: where each named piece of memory lies.
        lanes: float32 values in a vector.
    """
    _check_apart(places)
    for stage in stages:
        for what, operand, low, high in _reaches(stage, lanes):
            size = places[operand.space, operand.name].size // 4
            first, last = operand.start + low, operand.start + high
            if first < 0 or last >= size:
                raise PlanError(
                    f"{stage.name}: {what} reaches elements {first} to {last} of {operand.name!r}, which has {size}"
                )


def _check_apart(places: Mapping[Name, Place]) -> None:
    for space in Space:
        ordered = sorted((place.offset, place.end, name) for (where, name), place in places.items() if where is space)
        for (_, end, name), (start, _, next_name) in itertools.pairwise(ordered):
            if end > start:
                raise PlanError(f"{name!r} overlaps {next_name!r} in {space.value} memory")


def _span(axes: Iterable[Axis], which: str) -> tuple[int, int]:
    """Give the lowest and highest distance that loops move an operand; an empty loop moves nothing."""
    low = high = 0
    for axis in axes:
        far = max(0, axis.extent - 1) * int(getattr(axis, which))
        low, high = low + min(0, far), high + max(0, far)
    return low, high


def _reaches(stage: Stage, lanes: int) -> Iterable[tuple[str, Operand, int, int]]:
    """Give each operand of a stage with the lowest and highest element that it touches, from its start."""
    match stage:
        case Contraction():
            yield from _contraction_reaches(stage, lanes)
        case Fold():
            yield "copies", stage.copies, 0, (stage.count - 1) * stage.step + stage.size - 1
            yield "out", stage.out, 0, stage.size - 1
        case Update():
            for operand in (stage.parameters, stage.gradients, *stage.memory):
                yield "update", operand, 0, stage.size - 1
        case _:
            return  # walks whole tensors, row by row


def _contraction_reaches(stage: Contraction, lanes: int) -> Iterable[tuple[str, Operand, int, int]]:
    rows, reduction, panels = stage.rows.axes, stage.reduction.axes, (stage.panel_steps,)
    # Every panel but the last is full, and the last is no wider: its end is bounded by its own vectors.
    columns = max(
        stage.last_vectors * lanes - 1,
        (stage.vectors * lanes - 1) - stage.panel_steps.out if stage.panels > 1 else 0,
    )
    low, high = _span((*rows, *panels), "out")
    yield "out", stage.out, low, high + columns
    if stage.ones is not None:
        slices = [axis for axis in rows if axis.b]
        low, high = _span((*slices, *panels), "out")
        yield "ones", stage.ones, low, high + columns
    if stage.gate is not None:
        low, high = _span((*rows, *panels), "gate")
        yield "gate", stage.gate, low, high + columns
    if any(axis.extent == 0 for axis in reduction):
        return
    low, high = _span((*rows, *reduction), "a")
    yield "a", stage.a, low, high
    low, high = _span((*rows, *reduction, *panels), "b")
    yield "b", stage.b, low, high + stage.last_vectors * lanes - 1
    if stage.bias is not None:
        low, high = _span(panels, "b")
        yield "bias", stage.bias, low, high + stage.last_vectors * lanes - 1
