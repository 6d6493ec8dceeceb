"""Proof that a program stays inside its memory, before any of it is compiled.

Emitted code checks nothing, so a wrong stride would read or overwrite a neighbour, and a vector off its alignment would
end the process. The loops of contractions have constant strides, so the first and last element that an operand touches
follow from the plan alone. The other stages walk whole tensors; of them, shapes and alignment are checked.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping

from neocog.plan import correlation
from neocog.plan.contraction import Axis, Contraction, Operand
from neocog.plan.layout import Space, Tensor
from neocog.plan.memory import Place
from neocog.plan.stages import Chain, Elementwise, Fold, Pool, PoolBackward, Stage, Update
from neocog.plan.tiles import Tiling, Winograd, WinogradBackward

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
        if isinstance(stage, Chain):
            for link in stage.stages:
                _check(link, places, lanes, (stage.blocks - 1) * stage.block, stage.slices - 1)
        else:
            _check(stage, places, lanes, 0, 0)


def _check(stage: Stage, places: Mapping[Name, Place], lanes: int, images: int, slices: int) -> None:
    """Check a stage; in a chain, also at the last place where so many images and slices lie before it."""
    for contraction in _contractions(stage):
        if any(axis.b for axis in (contraction.rows.cut, *contraction.rows.inner)):
            raise PlanError(f"{stage.name}: the rows of a register tile would read different rows of b")
        inner = math.prod(axis.extent for axis in contraction.rows.inner)
        if any(size * inner % contraction.cells for size in contraction.rows.sizes()):
            raise PlanError(f"{stage.name}: register tiles would cut windows of {contraction.cells} cells")
    _check_walk(stage, lanes)
    for what, operand, low, high in _reaches(stage, lanes):
        if what not in ("a", "patches") and operand.start % lanes:
            raise PlanError(f"{stage.name}: {what} begins at element {operand.start}, not at a whole vector")
        each = 1 if what == "winner" else 4
        size = places[operand.space, operand.name].size // each
        moved = images * operand.image + slices * operand.slice if operand.space is Space.WORK else 0
        first, last = operand.start + low, operand.start + high + moved
        if first < 0 or last >= size:
            raise PlanError(
                f"{stage.name}: {what} reaches elements {first} to {last} of {operand.name!r}, which has {size}"
            )


def _contractions(stage: Stage) -> tuple[Contraction, ...]:
    """Return the contractions that a stage consists of."""
    match stage:
        case Contraction():
            return (stage,)
        case Winograd():
            return (stage.contraction,)
        case WinogradBackward():
            return tuple(c for c in (stage.filters, stage.patches) if c is not None)
        case _:
            return ()


def _check_walk(stage: Stage, lanes: int) -> None:
    """Check the tensors of a stage that walks them pixel by pixel, in whole vectors."""
    vectors: list[Tensor | None] = []
    match stage:
        case Pool():
            _check_same(stage.name, stage.x, (stage.window.vertical.input, stage.window.horizontal.input))
            _check_same(stage.name, stage.y, (stage.window.vertical.output, stage.window.horizontal.output))
            vectors = [stage.x, stage.y, stage.winner]
        case PoolBackward():
            _check_same(stage.name, stage.dx, (stage.window.vertical.input, stage.window.horizontal.input))
            _check_same(stage.name, stage.dy, (stage.window.vertical.output, stage.window.horizontal.output))
            vectors = [stage.dx, stage.dy, stage.winner, stage.gate]
        case Elementwise():
            _check_same(stage.name, stage.x, (stage.y.height, stage.y.width))
            vectors = [stage.x, stage.y, stage.gate]
        case Winograd():
            vectors = [stage.tiling.x, stage.tiling.y, stage.gate, stage.y, stage.winner]
        case WinogradBackward():
            vectors = [stage.tiling.x, stage.tiling.y, stage.dx]
        case Contraction():
            steps = [step for axis in (*stage.rows.axes, stage.panel_steps) for step in (axis.out, axis.gate)]
            steps += [axis.b for axis in (*stage.rows.axes, *stage.reduction.axes, stage.panel_steps)]
            if any(step % lanes for step in steps):
                raise PlanError(f"{stage.name}: a step of out, gate or b is no whole number of vectors")
        case _:
            return
    for tensor in vectors:
        if tensor is not None and tensor.pitch % lanes:
            raise PlanError(
                f"{stage.name}: pixels of {tensor.name!r} lie {tensor.pitch} elements apart, not in vectors"
            )


def _check_same(name: str, tensor: Tensor, size: tuple[int, int]) -> None:
    if (tensor.height, tensor.width) != size:
        raise PlanError(f"{name}: {tensor.name!r} has {tensor.height} x {tensor.width} pixels, {size} are walked")


def _check_apart(places: Mapping[Name, Place]) -> None:
    for space in Space:
        here = [(name, place) for (where, name), place in places.items() if where is space]
        for (name, place), (other_name, other) in itertools.combinations(here, 2):
            if place.overlaps(other) and place.meets(other.life):
                raise PlanError(f"{name!r} overlaps {other_name!r} in {space.value} memory while both are in use")


def _span(axes: Iterable[Axis], which: str) -> tuple[int, int]:
    """Return the lowest and highest distance that loops move an operand; an empty loop moves nothing."""
    low = high = 0
    for axis in axes:
        far = max(0, axis.extent - 1) * int(getattr(axis, which))
        low, high = low + min(0, far), high + max(0, far)
    return low, high


def _reaches(stage: Stage, lanes: int) -> Iterable[tuple[str, Operand, int, int]]:
    """Return each operand of a stage with the lowest and highest element that it touches, from its start."""
    match stage:
        case Contraction():
            yield from _contraction_reaches(stage, lanes)
        case Winograd():
            yield from _contraction_reaches(stage.contraction, lanes)
            yield from _tile_reaches(stage.tiling, lanes)
        case WinogradBackward():
            for contraction in _contractions(stage):
                yield from _contraction_reaches(contraction, lanes)
            yield from _tile_reaches(stage.tiling, lanes)
            yield _whole_tiles(stage.tiling, lanes)
            if stage.dx is not None:
                yield _patches(stage.tiling, stage.dx, lanes)
        case Fold():
            yield "copies", stage.copies, 0, stage.count * stage.size - 1
            for part in stage.parts:
                yield "part", part.out, 0, part.size - 1
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
        low, high = _span(slices, "out")
        yield "ones", stage.ones, low, high + _columns(stage, lanes) - 1
    if stage.gate is not None:
        low, high = _span((*rows, *panels), "gate")
        yield "gate", stage.gate, low, high + columns
    if stage.winner is not None:
        low, high = _span((*rows, *panels), "gate")
        yield "winner", stage.winner, low, high + columns
    if any(axis.extent == 0 for axis in reduction):
        return
    low, high = _span((*rows, *reduction), "a")
    yield "a", stage.a, low, high
    low, high = _span((*rows, *reduction, *panels), "b")
    yield "b", stage.b, low, high + stage.last_vectors * lanes - 1
    if stage.bias is not None:
        yield "bias", stage.bias, 0, _columns(stage, lanes) - 1


def _columns(stage: Contraction, lanes: int) -> int:
    """Count the columns of all panels, whole vectors of them."""
    return ((stage.panels - 1) * stage.vectors + stage.last_vectors) * lanes


def _tile_reaches(tiling: Tiling, lanes: int) -> Iterable[tuple[str, Operand, int, int]]:
    """Return the first and last element of x that patches read, and of scratch that transforms write."""
    yield _patches(tiling, tiling.x, lanes)
    positions = (tiling.side + 2) ** 2
    for slab in (tiling.patches, tiling.products):
        yield "slab", slab.place, 0, (positions - 1) * slab.step + tiling.block * slab.pitch - 1


def _patches(tiling: Tiling, x: Tensor, lanes: int) -> tuple[str, Operand, int, int]:
    """Return the first and last element of a tensor, laid out around the same image as x, that whole patches cover."""
    top = x.halo.top - tiling.x.halo.top + tiling.first_row
    left = x.halo.left - tiling.x.halo.left + tiling.first_column
    start = top * x.row_step + left * x.pitch
    down, across = tiling.down * tiling.side, tiling.across * tiling.side
    if top < 0 or left < 0 or left + across + 2 > x.halo.left + x.width + x.halo.right:
        raise PlanError(f"patches reach past the halo of {x.name!r}")
    last = (x.images - 1) * x.image_step + (down + 1) * x.row_step + (across + 1) * x.pitch
    return "patches", correlation.operand(x, start), 0, last + _vectors(x, lanes) - 1


def _whole_tiles(tiling: Tiling, lanes: int) -> tuple[str, Operand, int, int]:
    """Return the first and last element of y that whole tiles cover."""
    y = tiling.y
    down, across = tiling.down * tiling.side, tiling.across * tiling.side
    last = (y.images - 1) * y.image_step + (down - 1) * y.row_step + (across - 1) * y.pitch
    return "tiles", correlation.operand(y, y.origin), 0, last + _vectors(y, lanes) - 1


def _vectors(tensor: Tensor, lanes: int) -> int:
    return -(-tensor.channels // lanes) * lanes
