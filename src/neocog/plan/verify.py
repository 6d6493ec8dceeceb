"""Proof that a program stays inside its memory, before any of it is compiled.

Emitted code checks nothing, so a wrong stride would read or overwrite a neighbour, and a vector off its alignment would
end the process. The loops of contractions have constant strides, so the first and last element that an operand touches
follow from the plan alone. The other stages walk whole tensors; of them, shapes and alignment are checked.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

from neocog.plan.contraction import Axis, Contraction, Operand
from neocog.plan.layout import Space, Tensor
from neocog.plan.memory import Place
from neocog.plan.stages import Elementwise, Fold, Pool, PoolBackward, Stage, Tiling, Update, Winograd, WinogradGradient

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
        inner = stage.contraction if isinstance(stage, Winograd | WinogradGradient) else stage
        if isinstance(inner, Contraction) and any(axis.b for axis in (inner.rows.cut, *inner.rows.inner)):
            raise PlanError(f"{stage.name}: the rows of a register tile would read different rows of b")
        _check_walk(stage, lanes)
        for what, operand, low, high in _reaches(stage, lanes):
            if what not in ("a", "patches") and operand.start % lanes:
                raise PlanError(f"{stage.name}: {what} begins at element {operand.start}, not at a whole vector")
            size = places[operand.space, operand.name].size // 4
            first, last = operand.start + low, operand.start + high
            if first < 0 or last >= size:
                raise PlanError(
                    f"{stage.name}: {what} reaches elements {first} to {last} of {operand.name!r}, which has {size}"
                )


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
            vectors = [stage.tiling.x, stage.tiling.y, stage.gate]
        case WinogradGradient():
            vectors = [stage.tiling.x, stage.tiling.y]
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
        case Winograd():
            yield from _contraction_reaches(stage.contraction, lanes)
            yield from _tile_reaches(stage.tiling, isinstance(stage, WinogradGradient), lanes)
        case WinogradGradient():
            for slice_ in (0, stage.slices - 1):
                for what, operand, low, high in _contraction_reaches(stage.contraction, lanes):
                    shift = slice_ * stage.slice_step if what == "out" else 0
                    yield what, operand, low + shift, high + shift
            yield from _tile_reaches(stage.tiling, isinstance(stage, WinogradGradient), lanes)
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


def _tile_reaches(tiling: Tiling, reads_y: bool, lanes: int) -> Iterable[tuple[str, Operand, int, int]]:
    """Give the first and last element of x that patches read, of scratch that transforms write, and of y where whole
    tiles of it are read.
    """
    x, y = tiling.x, tiling.y
    start = tiling.first_row * x.row_step + tiling.first_column * x.pitch
    down, across = tiling.down * tiling.side, tiling.across * tiling.side
    last = (x.images - 1) * x.image_step + (down + 1) * x.row_step + (across + 1) * x.pitch
    yield "patches", Operand(x.space, x.name, start), 0, last + _vectors(x, lanes) - 1
    positions = (tiling.side + 2) ** 2
    yield "patches", tiling.patches, 0, (positions - 1) * tiling.patch_step + tiling.block * x.pitch - 1
    yield "products", tiling.products, 0, (positions - 1) * tiling.product_step + tiling.block * y.pitch - 1
    if reads_y:
        last = (y.images - 1) * y.image_step + (down - 1) * y.row_step + (across - 1) * y.pitch
        yield "tiles", Operand(y.space, y.name, y.origin), 0, last + _vectors(y, lanes) - 1


def _vectors(tensor: Tensor, lanes: int) -> int:
    return -(-tensor.channels // lanes) * lanes
