"""Partial gradients of the slices of a chain, and their sum behind it."""

from __future__ import annotations

from collections.abc import Iterable

from neocog.plan import weight_gradient
from neocog.plan.algorithm import MOST_COPIES_BYTES
from neocog.plan.layout import Operand, Space, Vectors
from neocog.plan.lower.lowering import Lowering
from neocog.plan.lower.values import Segment
from neocog.plan.ops.op import Op
from neocog.plan.ops.update import ReducePartials, side_by_side
from neocog.plan.passes.steps import PlanStep

MOST_SLICES, FEWER_SLICES = 8, 4  # of a chain; fewer where a partial gradient does not fit the second-level cache


def most_slices(low: Lowering, step: PlanStep, size: int) -> int:
    """Return the most slices that partial gradients of a layer, of so many elements, allow; 0: none are kept, or they
    would be too large.
    """
    if not low.chains(step, backward=True):
        return 0
    slices = MOST_SLICES if 4 * size <= low.target.level2 else FEWER_SLICES
    return slices if slices * 4 * size <= MOST_COPIES_BYTES else 0


def reduce_partials(low: Lowering, step: PlanStep, copies: str, sums: Vectors | None, slices: int) -> Op:
    """Add up the partial gradients of all slices of direct sums."""
    gradient = low.layout.weight_gradient(step.node)
    low.flat[Space.ARENA, copies] = slices * weight_gradient.copy_size(gradient, sums)
    parts = side_by_side(*((part.begin, part.size) for part in (gradient, sums) if part is not None))
    return ReducePartials(f"{step.title} reduce partials", Operand(Space.ARENA, copies, 0), slices, parts)


def plan_reduction(low: Lowering, step: PlanStep, copies: str, sums: Vectors | None, level: int) -> None:
    """Plan the sum of what all slices of a chain left."""

    def reduce(segment: Segment) -> Iterable[Op]:
        yield reduce_partials(low, step, copies, sums, segment.slices)

    low.add(step.title, (), (), reduce, level=level, where="behind")
