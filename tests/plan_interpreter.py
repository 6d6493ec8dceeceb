"""Contractions run in NumPy, loop by loop: what a plan means, without LLVM."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from neocog.nn.layers import ReLU
from neocog.plan.loops import Axis
from neocog.plan.ops.contraction import Contraction
from neocog.plan.ops.pointwise import Activate, ActivationGradient, Expression, Plus, Pointwise

Row = NDArray[np.float64]
Memory = Mapping[str, Row]


def distances(axes: Iterable[Axis], which: str) -> NDArray[np.int64]:
    """Return how far an operand is moved at every iteration of nested loops, outermost first."""
    axes = tuple(axes)
    total = np.zeros((1,) * len(axes), np.int64)
    for position, axis in enumerate(axes):
        shape = [1] * len(axes)
        shape[position] = axis.extent
        total = total + (np.arange(axis.extent) * getattr(axis, which)).reshape(shape)
    return np.broadcast_to(total, [axis.extent for axis in axes]).reshape(-1)


def run(stage: Contraction, memory: Memory, lanes: int) -> None:
    """Compute a contraction on float64 memories, element by element where it counts."""
    rows, reduction = stage.rows.axes, stage.reduction.axes
    row = {which: distances(rows, which) for which in ("out", "a", "b", "beside")}
    over = {which: distances(reduction, which) for which in ("a", "b")}
    a, b, out = memory[stage.a.name], memory[stage.b.name], memory[stage.out.name]
    for panel in range(stage.panels):
        vectors = stage.last_vectors if panel == stage.panels - 1 else stage.vectors
        columns = np.arange(vectors * lanes)
        steps = stage.panel_steps
        for r in range(len(row["out"])):
            left = a[stage.a.start + row["a"][r] + over["a"]]
            at = stage.b.start + row["b"][r] + panel * steps.b + over["b"]
            right = b[at[:, None] + columns]
            value = left @ right
            if stage.bias is not None:
                value = value + memory[stage.bias.name][stage.bias.start + panel * stage.vectors * lanes + columns]
            for step in stage.epilogue:
                value = apply(step, value, memory, row["beside"][r] + stage.beside + panel * steps.beside + columns)
            out[stage.out.start + row["out"][r] + panel * steps.out + columns] = value
            if stage.ones is not None:
                slices = [axis for axis in rows if axis.b]
                to = stage.ones.start + panel * stage.vectors * lanes + columns
                inner = math.prod(axis.extent for axis in rows if not axis.b)
                to = to + (distances(slices, "out")[r // inner] if slices else 0)
                memory[stage.ones.name][to] = right.sum(axis=0)


def apply(step: Pointwise, value: Row, memory: Memory, beside: NDArray[np.int64]) -> Row:
    """Return what a step of an epilogue makes of values, `beside` elements behind the first pixel of its tensors."""

    def read(other: Expression) -> Row:
        return memory[other.x.name][other.x.origin + beside]

    match step:
        case Activate(layer=ReLU()):
            return np.maximum(value, 0)
        case ActivationGradient(layer=ReLU(), other=other, of_output=True):
            return value * (read(other) > 0)
        case Plus(other=other):
            return value + read(other)
    raise NotImplementedError(step.label)


def pairs(*extents: int) -> Iterable[tuple[int, ...]]:
    """Return every index of nested loops."""
    return itertools.product(*(range(extent) for extent in extents))
