"""What makes Linux refuse tile registers to a process that asks."""

from __future__ import annotations

import ctypes

import numpy as np

from neocog.system import ARCH_PRCTL, REQUEST_PERMISSION

SMALL_STACK = 4096  # bytes: enough for signals of a thread without tiles


def handles_signals_on(size: int) -> ctypes.Array[ctypes.c_char]:
    """Have this thread handle signals on a stack of a size, which is returned, and must be kept."""

    class Stack(ctypes.Structure):
        _fields_ = (("pointer", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))

    memory = ctypes.create_string_buffer(size)
    stack = Stack(ctypes.addressof(memory), 0, size)
    assert ctypes.CDLL(None).sigaltstack(ctypes.byref(stack), None) == 0
    return memory


def filter_system_calls() -> None:
    """Have Linux refuse to give tiles, as the filter of a container may (seccomp)."""

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))

    load, equal, answer, allow, error = 0x20, 0x15, 0x06, 0x7FFF0000, 0x00050001
    instructions = (
        *((load, 0, 0, 0), (equal, 0, 3, ARCH_PRCTL)),  # the number of the call
        *((load, 0, 0, 16), (equal, 0, 1, REQUEST_PERMISSION)),  # its first argument
        *((answer, 0, 0, error), (answer, 0, 0, allow)),
    )
    kind = np.dtype([("code", "u2"), ("yes", "u1"), ("no", "u1"), ("value", "u4")])
    memory = np.array(list(instructions), kind)
    program, call = Program(len(memory), memory.ctypes.data), ctypes.CDLL(None).prctl
    assert call(38, 1, 0, 0, 0) == 0  # no new privileges
    assert call(22, 2, ctypes.byref(program), 0, 0) == 0
