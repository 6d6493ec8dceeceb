"""A program for one image, one thread and weights that never change: what of its memory is constant, and what is left.

A program that runs here has three blocks of memory, made of zeros once and kept. Code that stands alone has two: its
constants, and working memory that the caller lends for the length of a call. So it is laid out anew:

- Constant is what is read of the parameters, and of what is prepared from them; the rest of them is left out (weights
  that are only read transformed, say).
- Arena and scratch are one block, in which allocations share bytes where their live ranges do not overlap. Images
  are brought in anew by each call, so they share theirs, too.
- What relies on zeros is cleared when a call begins.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from neocog.plan.layout import Name, Space
from neocog.plan.live_ranges import Use, always, moments, uses_of
from neocog.plan.memory import LINE, Allocation, accesses, place
from neocog.plan.ops.op import Op
from neocog.plan.program import LOGITS, Program
from neocog.plan.verify import PlanError, check_apart
from neocog.target.processor import Target


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
        constants: what is constant, in the order of `memory` and `start`.
        work: where allocations lie in working memory, bytes.
        zeros: (first, behind the last) bytes of working memory that must be zeros when a call begins.
        line: bytes at whose multiples both blocks begin.
    """

    program: Program
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
        return max((allocation.end for allocation in self.work.values()), default=0)

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
    stages = [scheduled.stage for scheduled in program.stages]
    line = line_of(program.target)
    prepared = {name for stage in program.preparation for name in accesses(stage)[1]}
    constants = _constants(program, prepared, line)
    sizes = {
        name: allocation.size
        for name, allocation in program.allocations.items()
        if name[0] is not Space.STATE and name not in prepared
    }
    answers = program.outputs[LOGITS].memory
    uses = {name: Use(program.allocations[name].live, program.allocations[name].frame) for name in sizes}
    images = {program.input.memory: program.input}
    uses |= uses_of(images, images, stages, ())  # which a program keeps from call to call
    touched = {part.memory for _, op in moments(stages) for part in (*op.reads(), *op.writes())}
    sizes = {name: size for name, size in sizes.items() if name in touched or name == answers}
    work = _placed(sizes, uses, stages, line)
    whole = always(stages)
    # What is in use from call to call is kept for its zeros: pixels between windows, lanes behind the last channel.
    relying = [name for name in work if uses[name].frame is not None or uses[name].live == whole]
    zeros = _merged((work[name].offset, work[name].end) for name in relying if name != answers)
    return Standalone(program, constants, work, zeros, line)


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
    placed = place(
        {together[name]: size for name, size in sizes.items()},
        {together[name]: uses[name] for name in sizes},
        stages,
        line,
    )
    check_apart(placed)
    return {name: placed[together[name]] for name in sizes}


def _merged(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return ranges of bytes in order, those that overlap or touch as one."""
    merged: list[tuple[int, int]] = []
    for first, end in sorted(ranges):
        if merged and first <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((first, end))
    return tuple(merged)
