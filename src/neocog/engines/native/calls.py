"""What prediction and training have in common: a program made runnable, its images, its answers."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from neocog.emit.slots import COUNT_SLOT, IMAGES_SLOT, KIND_FLOAT, KIND_SLOT, KIND_UINT8
from neocog.engines.base import Array, Compiling, Images, compile_listener
from neocog.engines.room import check_room
from neocog.jit.cache import ObjectCache
from neocog.jit.executable import Executable
from neocog.jit.team import Team
from neocog.plan.algorithm import Algorithm
from neocog.plan.blocked import Precision
from neocog.plan.layout import Space, Tensor
from neocog.plan.program import Program
from neocog.target.processor import Target

Kind = TypeVar("Kind", bound=Executable)


@dataclass(frozen=True, slots=True)
class Compiler:
    """What programs are made for, and how: see `neocog.engines.native.NativeEngine`."""

    target: Target
    cache: ObjectCache
    algorithm: Algorithm
    precision: Precision


def make(cache: ObjectCache, program: Program, state: NDArray[np.uint8], team: Team, kind: type[Kind]) -> Kind:
    """Compile a program, and tell who listens.

    Raises:
        EngineError: it needs more memory than there is.
    """
    title = f"{program.purpose}, batch {program.batch}"
    check_room(title, len(state) + program.size(Space.ARENA) + team.size * program.size(Space.SCRATCH))
    listener = compile_listener()
    if listener is None:
        return kind(program, state, cache)
    return kind(program, state, cache, lambda part, done, total: listener(Compiling(title, part, done, total)))


def set_images(executable: Executable, images: Images) -> None:
    executable.set_integer(IMAGES_SLOT, address_of(images))
    executable.set_integer(COUNT_SLOT, len(images))
    executable.set_integer(KIND_SLOT, KIND_UINT8 if images.itemsize == 1 else KIND_FLOAT)


def address_of(images: Images) -> int:
    """Return where images lie. NumPy takes a microsecond to say so, a thirtieth of a short prediction."""
    if images.flags.writeable and images.size:
        return ctypes.addressof(ctypes.c_char.from_buffer(images.data))
    return images.ctypes.data


class ReadAnswers:
    """A tensor of a program, from which answers are copied: one row of values for each image."""

    def __init__(self, executable: Executable, tensor: Tensor) -> None:
        self._view = executable.view(tensor)
        self._shape = self._view.shape[1:]
        self._rows = self._view[:, 0, 0] if self._shape[:2] == (1, 1) else None
        self.width = tensor.height * tensor.width * tensor.channels

    def copied(self, count: int) -> Array:
        """Return a copy of the first images' answers (count, width)."""
        if self._rows is not None:
            return self._rows[:count].copy()
        return self._view[:count].copy().reshape(count, self.width)

    def copy(self, answers: Array) -> None:
        """Copy the first images out, as many as `answers` (count, width) has rows."""
        count = len(answers)
        answers.reshape(count, *self._shape)[...] = self._view[:count]
