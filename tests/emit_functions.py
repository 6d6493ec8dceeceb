"""Small functions emitted, compiled and called on NumPy arrays, for each instruction set that this processor has."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir

from neocog.emit.builder import Builder, IrValue
from neocog.emit.program import STAGE_TYPE
from neocog.jit.codegen import generate
from neocog.jit.compile import Library, load_objects
from neocog.jit.host import NARROWED, NARROWED_ARM, host_target, initialise_llvm, make_target
from neocog.target.processor import Target, architecture_of


@cache
def targets() -> dict[str, Target]:
    """Return this processor, and those of its instruction sets that it can be narrowed to."""
    initialise_llvm()
    has = dict(llvm.get_host_cpu_features())
    triple = llvm.get_process_triple()
    known = NARROWED_ARM if architecture_of(triple) == "aarch64" else NARROWED
    fitting = {name: words for name, words in known.items() if all(has.get(feature) for feature in words[1])}
    return {"host": host_target()} | {name: make_target(*words, triple) for name, words in fitting.items()}


def vectors_alone() -> Target:
    """Return this processor without tiles: one that multiplies bfloat16 by vectors, fused where it can."""
    return next(targets()[name] for name in ("avx2", "sse2", "neon") if name in targets())


def _module(target: Target, write: Callable[[Builder, ir.Function], None]) -> str:
    """Let `write` fill a function of the type of stages, called `run`."""
    module = ir.Module(name="test")
    module.triple = target.triple
    function = ir.Function(module, STAGE_TYPE, "run")
    b = Builder(function, target)
    write(b, function)
    b.ir.ret_void()
    return str(module)


def compiled(target: Target, write: Callable[[Builder, ir.Function], None]) -> Library:
    """Load the function that `write` writes, as `run`. It is gone when the library is."""
    return load_objects([generate(_module(target, write), target)], ["run"])


def assembly(target: Target, write: Callable[[Builder, ir.Function], None]) -> str:
    """Return the function that `write` writes in the processor's language."""
    machine = llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=2, reloc="pic"
    )
    return machine.emit_assembly(llvm.parse_assembly(_module(target, write)))


def applied(target: Target, function: Callable[..., IrValue], *inputs: np.ndarray, scalar: bool = False) -> np.ndarray:
    """Apply a function of vectors `function(b, x, …)` to float32 arrays of one length, value by value."""
    count = len(inputs[0])
    padded = -(-count // target.lanes) * target.lanes
    block = np.zeros((len(inputs) + 1, padded), np.float32)
    block[1:, :count] = inputs

    def write(b: Builder, emitted: ir.Function) -> None:
        base, high = emitted.args[0], emitted.args[5]
        step = 1 if scalar else b.lanes
        with b.loop(0, b.divmod(high, step)[0]) as (index, _):
            at = b.mul(index, step)
            rows = [b.add(at, padded * row) for row in range(1, len(inputs) + 1)]
            values = [b.load_scalar(base, row) if scalar else b.load(base, row, aligned=False) for row in rows]
            result = function(b, *values)
            if scalar:
                b.store_scalar(result, base, at)
            else:
                b.store(result, base, at, aligned=False)

    library = compiled(target, write)
    library.functions["run"](block.ctypes.data, 0, 0, 0, 0, padded)
    return block[0, :count].copy()


def floats(every: int = 4096) -> np.ndarray:
    """Return float32 values of all magnitudes: each `every`th bit pattern, and those that are special."""
    patterns = np.arange(0, 1 << 32, every, np.int64) + np.random.default_rng(0).integers(0, every, (1 << 32) // every)
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 1e-45, -1e-45, 3.4e38, -3.4e38], np.float32)
    return np.concatenate([patterns.astype(np.uint32).view(np.float32), special])
