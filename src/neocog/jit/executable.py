"""A program with its memory, ready to run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neocog.emit.kernels import function_titles
from neocog.emit.slots import barrier_slot, control_slots
from neocog.forks import tell_of_forks
from neocog.jit.cache import ObjectCache
from neocog.jit.compile import Library, build
from neocog.jit.team import Job, Team
from neocog.nn.summary import multiply_adds as layer_multiply_adds
from neocog.plan.layout import Space, Tensor
from neocog.plan.memory import LINE
from neocog.plan.ops.chain import Chain
from neocog.plan.program import Program

if TYPE_CHECKING:
    from llvmlite import ir

    from neocog.jit.pieces import CompileProgress

WORTH_WAKING = 20_000_000
"""Multiply-adds of a program that sleeping threads are woken for.

Waking a thread and meeting it at the barriers takes 50 to 100 µs; a core does that many multiply-adds in about 200 µs,
so that two threads are then about to win. Results are the same bits either way.
"""
WORTH_MEETING = 1_000_000
"""Multiply-adds of a program that is shared with those threads that are awake: a core does as many in about 10 µs, and
a barrier takes less than one.
"""


def aligned_zeros(size: int) -> NDArray[np.uint8]:
    """Return `size` zero bytes that begin on a cache line."""
    block = np.zeros(size + LINE, np.uint8)
    start = -block.ctypes.data % LINE
    return block[start : start + size]


class Executable:
    """A compiled program, its arena and its arguments. The state is shared between programs of a network."""

    def __init__(
        self, program: Program, state: NDArray[np.uint8], cache: ObjectCache, progress: CompileProgress | None = None
    ) -> None:
        self.program = program
        self.state = state
        self._cache = cache
        self.arena = aligned_zeros(program.size(Space.ARENA))
        self.control = aligned_zeros(control_slots(program) * 8).view(np.int64)
        self._floats = self.control.view(np.float32)
        self._scratch: list[NDArray[np.uint8]] = []
        named = None if progress is None else _naming_stages(program, progress)
        names = [*(phase.function for phase in program.phases()), "prepare"]
        self._library = build(repr(program), lambda: _emit(program), program.target, names, cache, named)
        self._stages: Library | None = None
        size = multiply_adds(program)
        self._alone, self._short = size < WORTH_MEETING, size < WORTH_WAKING
        self._enter: Callable[[], None] | None = None
        self._job: Job | None = None
        tell_of_forks(self)

    def after_fork(self) -> None:
        """Open the barrier, at which threads of the parent may have stood."""
        self._job = None
        barrier = barrier_slot(self.program)
        self.control[barrier : barrier + 2] = 0

    def set_integer(self, slot: int, value: int) -> None:
        """Set an argument that is an address, a count or a key."""
        self.control[slot] = value

    def set_float(self, slot: int, value: float) -> None:
        """Set an argument that is a float32."""
        self._floats[2 * slot] = value

    def _bases(self, thread: int) -> tuple[int, int, int, int]:
        """Return the addresses of state, arena, a thread's scratch, and the arguments."""
        while len(self._scratch) <= thread:
            self._scratch.append(aligned_zeros(self.program.size(Space.SCRATCH)))
        scratch = self._scratch[thread]
        return self.state.ctypes.data, self.arena.ctypes.data, scratch.ctypes.data, self.control.ctypes.data

    def prepare(self) -> None:
        """Do what is needed once after the parameters changed."""
        self._library.functions["prepare"](*self._bases(0), 0, 0)

    def run(self, team: Team) -> None:
        """Run the program once, on the threads of a team: a short one on those that are awake, the shortest on this one
        alone.
        """
        run = self._library.functions["run"]
        if self._alone or team.size == 1 or (self._job is None and team.gather() == 1):
            if self._enter is None:
                self._enter = partial(run, *self._bases(0), 0, 1)
            self._enter()
            return
        if self._job is None or self._job.threads != team.size:
            self._job = Job(run, [self._bases(thread) for thread in range(team.size)])
        if self._short:
            team.share(self._job)
        else:
            team.run(self._job)

    def time_stages(self) -> list[float]:
        """Run the program once, on this thread, and give the seconds of each stage, those of chains one by one, in the
        order of `Program.every_stage`. The images and targets of the last call must still be there.

        The first call compiles the stages once more, as functions that can be called one by one.
        """
        bases, functions = self._bases(0), self._stage_functions()
        seconds = []
        for index, scheduled in enumerate(self.program.stages):
            stage = scheduled.stage
            if not isinstance(stage, Chain):
                start = time.perf_counter()
                functions[f"stage_{index}"](*bases, 0, stage.items)
                seconds.append(time.perf_counter() - start)
                continue
            stages = [functions[f"stage_{index}_{inner}"] for inner in range(len(stage.stages))]
            spent = [0.0] * len(stages)
            for block in range(stage.blocks):
                for place, inner in enumerate(stages):
                    start = time.perf_counter()
                    inner(*bases, block, 0)
                    spent[place] += time.perf_counter() - start
            seconds += spent
        return seconds

    def _stage_functions(self) -> Mapping[str, Callable[..., None]]:
        if self._stages is None:
            program = self.program
            names = [
                f"stage_{index}" if inner is scheduled.stage else f"stage_{index}_{number}"
                for index, scheduled in enumerate(program.stages)
                for number, inner in enumerate(scheduled.stage.inner_stages())
            ]
            description = f"stages of {program!r}"
            self._stages = build(description, lambda: _emit_stages(program), program.target, names, self._cache)
        return self._stages.functions

    def view(self, tensor: Tensor) -> NDArray[Any]:
        """Look at a tensor: (images, height, width, channels), without its halo and padding."""
        memory = self.arena if tensor.space is Space.ARENA else self.state
        allocation = self.program.allocations[tensor.space, tensor.name]
        kind = {1: np.uint8, 4: np.float32}[tensor.bytes_each]
        flat = memory[allocation.offset : allocation.end].view(kind)
        steps = (tensor.image_step, tensor.row_step, tensor.pitch, 1)
        return np.lib.stride_tricks.as_strided(
            flat[tensor.origin :],
            (tensor.images, tensor.height, tensor.width, tensor.channels),
            tuple(step * tensor.bytes_each for step in steps),
        )

    def array(self, space: Space, name: str) -> NDArray[np.float32]:
        """Look at a named allocation as float32."""
        allocation = self.program.allocations[space, name]
        memory = self.arena if space is Space.ARENA else self.state
        return memory[allocation.offset : allocation.end].view(np.float32)


def multiply_adds(program: Program) -> int:
    """Count the multiply-adds that a program stands for; a training step passes each layer three times."""
    passes = 1 if program.training is None else 3
    return passes * program.batch * sum(map(layer_multiply_adds, program.graph.nodes))


def _emit(program: Program) -> ir.Module:
    from neocog.emit.program import emit_program  # here, since a program that is in the cache is not written again

    return emit_program(program)


def _emit_stages(program: Program) -> ir.Module:
    from neocog.emit.program import emit_stages

    return emit_stages(program)


def _naming_stages(program: Program, progress: CompileProgress) -> CompileProgress:
    titles = function_titles(program)
    return lambda function, done, total: progress(titles.get(function, function), done, total)
