"""A program with its memory, ready to run."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neocog.emit.program import control_slots, emit_program
from neocog.jit.cache import ObjectCache
from neocog.jit.compile import build
from neocog.jit.team import Team
from neocog.plan.layout import Space, Tensor
from neocog.plan.memory import LINE
from neocog.plan.program import Program


def aligned_zeros(size: int) -> NDArray[np.uint8]:
    """Give `size` zero bytes that begin on a cache line."""
    block = np.zeros(size + LINE, np.uint8)
    start = -block.ctypes.data % LINE
    return block[start : start + size]


class Executable:
    """A compiled program, its work memory and its arguments. The state is shared between programs of a network."""

    def __init__(self, program: Program, state: NDArray[np.uint8], cache: ObjectCache) -> None:
        self.program = program
        self.state = state
        self.work = aligned_zeros(program.size(Space.WORK))
        self.control = aligned_zeros(control_slots(program) * 8).view(np.int64)
        self._floats = self.control.view(np.float32)
        self._scratch: list[NDArray[np.uint8]] = []
        names = ["run", "prepare", *(f"stage_{index}" for index in range(len(program.stages)))]
        self._library = build(repr(program), lambda: emit_program(program), program.target, names, cache)
        self._run = self._library.functions["run"]
        self._addresses = state.ctypes.data, self.work.ctypes.data

    def set_integer(self, slot: int, value: int) -> None:
        """Set an argument that is an address, a count or a key."""
        self.control[slot] = value

    def set_float(self, slot: int, value: float) -> None:
        """Set an argument that is a float32."""
        self._floats[2 * slot] = value

    def _bases(self, thread: int) -> tuple[int, int, int, int]:
        """Give the addresses of state, work, a thread's scratch, and the arguments."""
        while len(self._scratch) <= thread:
            self._scratch.append(aligned_zeros(self.program.size(Space.SCRATCH)))
        return *self._addresses, self._scratch[thread].ctypes.data, self.control.ctypes.data

    def prepare(self) -> None:
        """Do what is needed once after the parameters changed."""
        self._library.functions["prepare"](*self._bases(0), 0, 0)

    def run(self, team: Team) -> None:
        """Run the program once, on all threads of a team."""
        run, size = self._run, team.size
        if size == 1:
            run(*self._bases(0), 0, 1)
            return
        bases = [self._bases(thread) for thread in range(size)]
        team.run(lambda thread: run(*bases[thread], thread, size))

    def run_stage(self, index: int) -> None:
        """Run one stage alone, on this thread, for measurements."""
        items = self.program.stages[index].stage.items
        self._library.functions[f"stage_{index}"](*self._bases(0), 0, items)

    def view(self, tensor: Tensor) -> NDArray[Any]:
        """Look at a tensor: (images, height, width, channels), without its halo and padding."""
        memory = self.work if tensor.space is Space.WORK else self.state
        place = self.program.places[tensor.space, tensor.name]
        kind = {1: np.uint8, 4: np.float32}[tensor.bytes_each]
        flat = memory[place.offset : place.end].view(kind)
        steps = (tensor.image_step, tensor.row_step, tensor.pitch, 1)
        return np.lib.stride_tricks.as_strided(
            flat[tensor.origin :],
            (tensor.images, tensor.height, tensor.width, tensor.channels),
            tuple(step * tensor.bytes_each for step in steps),
        )

    def array(self, space: Space, name: str) -> NDArray[np.float32]:
        """Look at a named piece of memory as float32."""
        place = self.program.places[space, name]
        memory = self.work if space is Space.WORK else self.state
        return memory[place.offset : place.end].view(np.float32)
