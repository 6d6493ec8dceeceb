"""A program for one image, one thread and weights that never change: what of its memory is constant, and what is left.

A program that runs here has three blocks of memory, made of zeros once and kept. Code that stands alone has two: its
constants, and working memory that the caller lends for the length of a call. So it is laid out anew:

- Constant is what is read of the parameters, and of what is prepared from them; the rest of them is left out (weights
  that are only read transformed, say).
- Arena and scratch are one block, in which allocations share bytes where their live ranges do not overlap. Images
  are brought in anew by each call, so they share theirs, too.
- Halos are cleared before their images are made, so that their tensors may share bytes with any others. What else
  relies on zeros is cleared when a call begins.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from neocog.plan.layout import Frame, Name, Space, Tensor
from neocog.plan.live_ranges import Use, always, moments, uses_of
from neocog.plan.memory import LINE, Allocation, accesses, place
from neocog.plan.ops.halo import ClearHalo
from neocog.plan.ops.op import Op
from neocog.plan.program import LOGITS, Program
from neocog.plan.verify import PlanError, check_apart, verify_live_ranges
from neocog.target.processor import Target

TRIES = 32  # orders in which allocations choose their places; each is a few milliseconds


@dataclass(frozen=True, slots=True)
class ConstantRange:
    """Bytes of a program's memory that never change.

    Arguments:
        memory: the allocation that they lie in.
        start, size: where in it, bytes.
        offset: where in the block of constants, bytes.
    """

    memory: Name
    start: int
    size: int
    offset: int


@dataclass(frozen=True, slots=True)
class Standalone:
    """A program laid out for one block of constants and one of working memory.

    Arguments:
        program: what it computes.
        stages: what happens, in order: those of the program, and what clears halos among them.
        constants: what is constant, in the order of `memory` and `start`.
        work: where allocations lie in working memory, bytes.
        zeros: (first, behind the last) bytes of working memory that must be zeros when a call begins.
        line: bytes at whose multiples both blocks begin.
    """

    program: Program
    stages: tuple[Op, ...]
    constants: tuple[ConstantRange, ...]
    work: dict[Name, Allocation]
    zeros: tuple[tuple[int, int], ...]
    line: int

    @property
    def constant_bytes(self) -> int:
        """Size of the constants."""
        return max((constant.offset + constant.size for constant in self.constants), default=0)

    @property
    def work_bytes(self) -> int:
        """Size of the working memory."""
        return _end(self.work)

    @property
    def live_bytes(self) -> int:
        """The most bytes that are in use at a time: no layout of these stages takes less."""
        work = self.work.values()
        begins = {allocation.live.first for allocation in work}
        return max((sum(one.size for one in work if one.live.contains(moment)) for moment in begins), default=0)

    def constant_at(self, memory: Name, start: int) -> int:
        """Return where a byte of a constant allocation lies in the block of constants.

        Raises:
            PlanError: no stage says that it reads that byte.
        """
        found = bisect_right(self.constants, _key(memory, start), key=lambda one: _key(one.memory, one.start)) - 1
        constant = self.constants[found] if found >= 0 else None
        if constant is None or constant.memory != memory or start >= constant.start + constant.size:
            raise PlanError(f"byte {start} of {memory[0].value} {memory[1]} is none of the constants")
        return constant.offset + start - constant.start


def stand_alone(program: Program) -> Standalone:
    """Lay a program for one image out anew.

    Arguments:
        program: a program that predicts logits, for a batch of one.

    Raises:
        PlanError: it is none, or its memory contradicts itself.
    """
    if program.batch != 1 or program.training is not None:
        raise PlanError(f"only a program that predicts one image stands alone, this is for a batch of {program.batch}")
    answers = program.outputs[LOGITS].memory
    prepared = {name for stage in program.preparation for name in accesses(stage)[1]}
    planned = [scheduled.stage for scheduled in program.stages]
    tensors = _tensors(program)
    # Images are brought in by each call, and not kept as by a program that stays.
    kept = {name for name, allocation in program.allocations.items() if allocation.live == always(planned)}
    kept -= {program.input.memory}
    stages = _with_halos_cleared(planned, tensors, kept)
    line = line_of(program.target)
    constants = _constants(program, prepared, line)
    touched = {part.memory for _, op in moments(stages) for part in (*op.reads(), *op.writes())}
    sizes = {
        name: allocation.size
        for name, allocation in program.allocations.items()
        if name[0] is not Space.STATE and name not in prepared and (name in touched or name == answers)
    }
    uses = uses_of(sizes, tensors, stages, kept)
    work = _placed(sizes, uses, stages, line)
    whole = always(stages)
    lasting = {name: replace(allocation, live=whole) for name, allocation in program.allocations.items()}
    verify_live_ranges(stages, {**lasting, **work}, tensors.values())
    # What is in use from call to call is kept for its zeros: pixels between windows, lanes behind the last channel.
    relying = [name for name in work if uses[name].frame is not None or uses[name].live == whole]
    zeros = _merged((work[name].offset, work[name].end) for name in relying if name != answers)
    return Standalone(program, tuple(stages), constants, work, zeros, line)


def _tensors(program: Program) -> dict[Name, Tensor]:
    """Return the tensors that have halos.

    Ops may know one by an operand alone, but where memory relies on a halo, the program's allocation says how it lies.
    """
    found = {program.input.memory: program.input} if program.input.has_halo else {}
    for (space, name), allocation in program.allocations.items():
        if allocation.frame is not None:
            found[space, name] = _framed(space, name, allocation.frame)
    return found


def _framed(space: Space, name: str, frame: Frame) -> Tensor:
    extents = frame.images, frame.height, frame.width, frame.pitch, frame.pitch
    return Tensor(name, *extents, frame.halo, frame.bytes_each, space)


def _with_halos_cleared(stages: Sequence[Op], tensors: Mapping[Name, Tensor], kept: Collection[Name]) -> list[Op]:
    """Return the stages with those before them that clear the halos that they rely on.

    Those in scratch memory stay as they are: windows that roll within a chain are made of zeros once.
    """
    before: dict[int, list[Op]] = {}
    uses = uses_of(tensors, tensors, stages, kept)
    for name, use in uses.items():
        if use.frame is not None and name[0] is Space.ARENA:
            clear = ClearHalo(f"clear the halo of {name[1]}", tensors[name])
            before.setdefault(use.live.first[0], []).append(clear)
    return [op for index, stage in enumerate(stages) for op in (*before.get(index, ()), stage)]


def line_of(target: Target) -> int:
    """Return the bytes at whose multiples allocations begin: of a cache line, or of a vector where memory is short."""
    return LINE if target.word_bits == 64 else target.vector_bytes


def _constants(program: Program, prepared: set[Name], line: int) -> tuple[ConstantRange, ...]:
    """Find out what the stages read of the parameters and of what is prepared: as far as their ops say they reach."""
    found: dict[Name, list[tuple[int, int]]] = {}
    for op in program.every_stage():
        for reach in op.reaches(program.target.lanes):
            operand = reach.operand
            if operand.space is Space.STATE or operand.memory in prepared:
                first, last = (operand.start + min(0, reach.low)), operand.start + reach.high
                each = operand.bytes_each
                found.setdefault(operand.memory, []).append((first * each, (last + 1) * each))
    constants, offset = [], 0
    for memory in sorted(found, key=lambda name: _key(name, 0)):
        for start, end in _merged(found[memory]):
            constants.append(ConstantRange(memory, start, end - start, offset))
            offset = -(-(offset + end - start) // line) * line
    return tuple(constants)


def _key(memory: Name, start: int) -> tuple[str, str, int]:
    return memory[0].value, memory[1], start


def _placed(sizes: dict[Name, int], uses: dict[Name, Use], stages: Sequence[Op], line: int) -> dict[Name, Allocation]:
    """Place arena and scratch in one block."""
    together = {name: (Space.ARENA, f"{name[0].value} {name[1]}") for name in sizes}
    wanted = {together[name]: size for name, size in sizes.items()}
    used = {together[name]: uses[name] for name in sizes}
    placed = best = place(wanted, used, stages, line)
    first: list[Name] = []
    for _ in range(TRIES):
        # Largest first is not always best. What lies highest had nowhere lower to go: let it choose earlier.
        highest = max(placed, key=lambda name: (placed[name].end, name[1]))
        first = [highest, *(name for name in first if name != highest)]
        placed = place(wanted, used, stages, line, first)
        best = min(best, placed, key=_end)
    check_apart(best)
    return {name: best[together[name]] for name in sizes}


def _end(placed: Mapping[Name, Allocation]) -> int:
    return max((allocation.end for allocation in placed.values()), default=0)


def _merged(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return ranges of bytes in order, those that overlap or touch as one."""
    merged: list[tuple[int, int]] = []
    for first, end in sorted(ranges):
        if merged and first <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((first, end))
    return tuple(merged)
