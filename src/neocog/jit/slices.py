"""A program of one slice of a training step: its phases, run one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neocog.jit.cache import ObjectCache
from neocog.jit.executable import Executable
from neocog.jit.team import Job, Team
from neocog.plan.memory import LINE
from neocog.plan.program import Program

if TYPE_CHECKING:
    from neocog.jit.pieces import CompileProgress


class SliceProgram(Executable):
    """A program that stops at its exchanges (`neocog.plan.ops.exchange`), with an arena for one slice."""

    def __init__(
        self, program: Program, state: NDArray[np.uint8], cache: ObjectCache, progress: CompileProgress | None = None
    ) -> None:
        super().__init__(program, state, cache, progress)
        self.phases = program.phases()
        self._jobs: dict[int, Job] = {}

    def after_fork(self) -> None:
        """Open the barrier, at which threads of the parent may have stood."""
        super().after_fork()
        self._jobs = {}

    def work_in(self, arena: NDArray[np.uint8]) -> None:
        """Take other memory for the arena: zeros, as many bytes, from a cache line on."""
        assert len(arena) == len(self.arena)
        assert arena.ctypes.data % LINE == 0
        self.arena = arena
        self._jobs = {}

    def lend_scratch(self, other: SliceProgram) -> None:
        """Let another slice, which never runs at the same time, work in the same scratch memory."""
        other._scratch = self._scratch

    def run_phase(self, number: int, team: Team) -> None:
        """Run the stages up to an exchange, or from the last one on, on the threads of a team."""
        run = self._library.functions[self.phases[number].function]
        if self._alone or team.gather() == 1:
            run(*self._bases(0), 0, 1)
            return
        job = self._jobs.get(number)
        if job is None or job.threads != team.size:
            job = self._jobs[number] = Job(run, [self._bases(thread) for thread in range(team.size)])
        if self._short:
            team.share(job)
        else:
            team.run(job)
