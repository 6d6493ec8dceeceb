"""Text is written once for what a block knows already, and never for what may have changed."""

from __future__ import annotations

import numpy as np
import pytest
from llvmlite import ir

from neocog.emit.builder import F32, I64, Builder
from neocog.emit.program import STAGE_TYPE
from neocog.jit.codegen import generate
from neocog.jit.compile import load_objects
from neocog.jit.host import host_target


def written(write) -> tuple[str, list[float]]:
    """Let `write(b, memory, low)` write a function; give its text, and what it makes of the floats 0 to 31."""
    module = ir.Module(name="test")
    module.triple = host_target().triple
    function = ir.Function(module, STAGE_TYPE, "run")
    b = Builder(function, host_target())
    write(b, function.args[0], function.args[4])
    b.ir.ret_void()
    values = np.arange(32, dtype=np.float32)
    library = load_objects([generate(str(module), host_target())], ["run"])
    library.functions["run"](values.ctypes.data, 0, 0, 0, 2, 0)
    return str(module), values.tolist()


def test_what_a_block_has_loaded_and_computed_is_not_written_again() -> None:
    def write(b: Builder, memory, low) -> None:
        total = b.ir.fadd(b.load_scalar(memory, 3), b.load_scalar(memory, 4))
        again = b.ir.fadd(b.load_scalar(memory, 3), b.load_scalar(memory, 4))
        b.store_scalar(b.ir.fmul(total, again), memory, 0)

    text, values = written(write)
    assert (text.count("load"), text.count("fadd")) == (2, 1)
    assert values[0] == 49.0


def test_a_store_makes_what_was_loaded_before_unknown() -> None:
    def write(b: Builder, memory, low) -> None:
        for _ in range(2):
            b.store_scalar(b.ir.fadd(b.load_scalar(memory, 3), b.load_scalar(memory, 3)), memory, 3)

    text, values = written(write)
    assert text.count("load") == 2
    assert values[3] == 12.0


def test_a_call_makes_what_was_loaded_before_unknown() -> None:
    module = ir.Module(name="test")
    other = ir.Function(module, ir.FunctionType(ir.VoidType(), []), "other")
    b = Builder(ir.Function(module, STAGE_TYPE, "run"), host_target())
    memory = b.function.args[0]
    b.load_scalar(memory, 3)
    b.ir.call(other, [])
    b.load_scalar(memory, 3)
    assert str(module).count("load") == 2


def test_other_blocks_compute_for_themselves() -> None:
    def write(b: Builder, memory, low) -> None:
        with b.when(b.less(low, 1)):  # does not run
            b.store_scalar(b.ir.fadd(b.load_scalar(memory, 3), b.load_scalar(memory, 4)), memory, 0)
        b.store_scalar(b.ir.fadd(b.load_scalar(memory, 3), b.load_scalar(memory, 4)), memory, 1)

    text, values = written(write)
    assert text.count("fadd") == 2
    assert values[:2] == [0.0, 7.0]


@pytest.mark.parametrize("constant", [5, -1])
def test_an_index_with_a_constant_gives_the_same_address(constant: int) -> None:
    def write(b: Builder, memory, low) -> None:
        b.store_scalar(b.load_scalar(memory, b.add(b.mul(low, 3), constant)), memory, 0)

    assert written(write)[1][0] == 6.0 + constant


def test_a_choice_runs_one_side() -> None:
    def write(b: Builder, memory, low) -> None:
        with b.ir.if_else(b.less(low, 5)) as (yes, no):
            with yes:
                b.store_scalar(ir.Constant(F32, 100.0), memory, 0)
            with no:
                b.store_scalar(ir.Constant(F32, 200.0), memory, 1)
        b.store_scalar(ir.Constant(F32, 300.0), memory, b.add(low, ir.Constant(I64, 0)))

    assert written(write)[1][:3] == [100.0, 1.0, 300.0]
