"""Instructions of tile registers by themselves, which show what state a thread is in."""

from __future__ import annotations

import ctypes
import faulthandler
import signal
from dataclasses import replace

from llvmlite import ir

from amx.guest import in_a_child
from neocog.emit.builder import I8, I32, I64
from neocog.emit.program import STAGE_TYPE
from neocog.jit.codegen import generate
from neocog.jit.compile import Library, load_objects
from neocog.jit.host import host_target

CONFIGURATION = bytes([1] + 15 * [0] + 8 * [64, 0] + 16 * [0] + 8 * [16] + 8 * [0])
"""What neocog sets the registers up with: the palette, then bytes of a row, and rows, of each."""
CONFIGURED, HELD = 17, 18  # states of a thread, by their numbers: how tiles are set up, and what they hold
IN_USE = 1  # what xgetbv is asked for: the states that are not as they are at first


def bare(*names: str) -> Library:
    """Return a function `run` of instructions: it loads a configuration from its second address, and writes what
    `xgetbv` says to its first.
    """
    target = replace(host_target(), tiles=True)
    module = ir.Module(name="bare")
    module.triple = target.triple
    function = ir.Function(module, STAGE_TYPE, "run")
    b = ir.IRBuilder(function.append_basic_block())
    given = {"ldtilecfg": function.args[1], "tilezero": ir.Constant(I8, 0), "xgetbv": ir.Constant(I32, IN_USE)}
    for name in names:
        values = [given[name]] if name in given else []
        kind = ir.FunctionType(I64 if name == "xgetbv" else ir.VoidType(), [value.type for value in values])
        answer = b.call(ir.Function(module, kind, f"llvm.x86.{name}"), values)
        if name == "xgetbv":
            b.store(answer, function.args[0])
    b.ret_void()
    return load_objects([generate(str(module), target)], ["run"])


def execute(library: Library) -> int:
    """Run instructions once, with CONFIGURATION, and return what they wrote."""
    seen, block = ctypes.c_int64(), ctypes.create_string_buffer(CONFIGURATION, 64)
    library.functions["run"](ctypes.addressof(seen), ctypes.addressof(block), 0, 0, 0, 0)
    return seen.value


def states(word: int) -> set[int]:
    """Return the numbers of a thread's states that are in use, of what `xgetbv` says."""
    return {number for number in range(63) if word >> number & 1}


def ends_a_process(library: Library) -> bool:
    """Whether instructions end a process as illegal ones."""

    def work() -> None:
        faulthandler.disable()  # it would tell at length
        execute(library)

    return in_a_child(work) == -signal.SIGILL
