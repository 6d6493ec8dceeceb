"""Proof that a program stays inside its memory, before any of it is compiled.

Emitted code checks nothing, so a wrong stride would read or overwrite a neighbour, and a vector off its alignment would
end the process. Loops have constant strides, so the first and last element that an op touches follow from the plan
alone; each op says how far it reaches (plan/ops/), and what in it would contradict itself. Allocations share
bytes, and some rely on zeros that were written when memory was made; so it is also shown that nobody writes there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from neocog.plan.blocked import Blocked
from neocog.plan.layout import Name, Space, Tensor
from neocog.plan.live_ranges import always, moments
from neocog.plan.memory import Allocation, sharing_bytes
from neocog.plan.ops.op import Op


class PlanError(Exception):
    """A plan that contradicts itself: a defect of neocog, never of its user."""


def verify(stages: Iterable[Op], allocations: Mapping[Name, Allocation], lanes: int) -> None:
    """Raise PlanError if a stage reaches outside its operands, or if two allocations overlap.

    Arguments:
        stages: the program's stages.
        allocations: where each named allocation lies.
        lanes: float32 values in a vector.
    """
    check_apart(allocations)
    for stage in stages:
        for inner in stage.inner_stages():
            for fault in (*inner.faults(lanes), *_blocked_faults(inner)):
                raise PlanError(fault)
            _check_reaches(inner, allocations, lanes, *stage.before_last())


def verify_live_ranges(stages: Sequence[Op], allocations: Mapping[Name, Allocation], tensors: Iterable[Tensor]) -> None:
    """Raise PlanError if memory is touched while it is not in use, or might hold no zeros where an op relies on them.

    With `verify`, this proves that who reads a halo finds zeros: memory is made of zeros, nobody writes to a halo but
    an op that fills its tensor as a whole, and what shares its bytes has its halo at the same offset.

    Arguments:
        stages: the program's stages, all of them, in order.
        allocations: where each named allocation lies.
        tensors: every tensor of the program.
    """
    forever = always(stages)
    by_name = {tensor.memory: tensor for tensor in tensors}
    made = {part.memory for stage in stages for part in stage.writes()}
    seen: set[Name] = set()
    for moment, op in moments(stages):
        written, filled = ({part.memory for part in parts} for parts in (op.writes(), op.fills()))
        for name in written | {part.memory for part in op.reads()}:
            allocation = allocations[name]
            lasting = allocation.live == forever
            if not allocation.live.contains(moment):
                raise PlanError(f"{op.name}: {name[1]!r} is not in use")
            # What lasts from run to run, or is prepared once, may be read first; what a program makes itself may not.
            given = name[0] is Space.STATE or (lasting and name not in made)
            if name not in seen and name not in written and not given:
                raise PlanError(f"{op.name}: {name[1]!r} is read before anything is written there")
            tensor = by_name.get(name)
            relies = tensor is not None and tensor.has_halo and name not in filled | seen
            if tensor is not None and relies and not lasting and allocation.frame != tensor.frame:
                raise PlanError(f"{op.name}: the halo of {name[1]!r} may hold what others left there")
            seen.add(name)
        for part in op.spares():
            if allocations[part.memory].live != forever:
                raise PlanError(f"{op.name}: {part.name!r} may hold what others left where nothing is written")


def _blocked_faults(op: Op) -> Iterator[str]:
    """Yield images of bfloat16 that an op would take for those of float32."""
    for part in (*op.reads(), *op.writes()):
        if isinstance(part, Blocked) and not op.takes_blocked:
            yield f"{op.name}: {part.name!r} lies in planes, which it knows nothing of"


def _check_reaches(op: Op, allocations: Mapping[Name, Allocation], lanes: int, images: int, slices: int) -> None:
    """Check how far an op reaches; in a chain, also at the last place where so many images and slices lie before it."""
    for reach in op.reaches(lanes):
        operand = reach.operand
        if reach.aligned and operand.start % lanes:
            raise PlanError(f"{op.name}: {reach.what} begins at element {operand.start}, not at a whole vector")
        size = allocations[operand.memory].size // operand.bytes_each
        moved = images * operand.image + slices * operand.slice if operand.space is Space.ARENA else 0
        first, last = operand.start + reach.low, operand.start + reach.high + moved
        if first < 0 or last >= size:
            raise PlanError(
                f"{op.name}: {reach.what} reaches elements {first} to {last} of {operand.name!r}, which has {size}"
            )


def check_apart(allocations: Mapping[Name, Allocation]) -> None:
    """Check that pieces that share bytes are never in use together, and that halos of zeros stay zeros."""
    for space in Space:
        for one, two in sharing_bytes(allocations, space):
            allocation, other = allocations[one], allocations[two]
            if allocation.live.overlaps(other.live):
                raise PlanError(f"{one[1]!r} overlaps {two[1]!r} in {space.value} memory while both are in use")
            if (allocation.offset, allocation.frame) != (other.offset, other.frame) and (
                allocation.frame or other.frame
            ):
                raise PlanError(f"{one[1]!r} overlaps {two[1]!r}, and one of them relies on zeros there")
