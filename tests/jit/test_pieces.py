"""A module in pieces computes what it computed whole, and says no more than it must."""

from __future__ import annotations

from llvmlite import ir

from neocog.emit.builder import Builder
from neocog.emit.program import STAGE_TYPE
from neocog.jit import pieces
from neocog.jit.codegen import generate
from neocog.jit.compile import load_objects
from neocog.jit.executable import aligned_zeros
from neocog.jit.host import host_target
from neocog.jit.pieces import split


def module_of(functions: int) -> ir.Module:
    """Write `run`, which calls functions of the module's own that add 1, 2, … to the float at `out`."""
    module = ir.Module(name="test")
    module.triple = host_target().triple
    steps = []
    for index in range(functions):
        step = ir.Function(module, STAGE_TYPE, f"step_{index}")
        step.linkage = "internal"
        b = Builder(step, host_target())
        out = step.args[0]
        b.store(b.ir.fadd(b.load(out), b.splat(index + 1.0)), out)
        b.ir.ret_void()
        steps.append(step)
    run = ir.Function(module, STAGE_TYPE, "run")
    b = Builder(run, host_target())
    for step in steps:
        b.ir.call(step, run.args)
    b.ir.ret_void()
    return module


def test_pieces_call_each_other_whatever_the_linkage_was(monkeypatch) -> None:
    monkeypatch.setattr(pieces, "FULL", 1)  # every function for itself
    parts = split(module_of(4))
    assert sorted(name for part in parts for name in part.functions) == ["run", "step_0", "step_1", "step_2", "step_3"]
    library = load_objects([generate(part.text, host_target(), thorough=part.thorough) for part in parts], ["run"])
    out = aligned_zeros(host_target().vector_bytes).view("f4")
    library.functions["run"](out.ctypes.data, 0, 0, 0, 0, 0)
    assert out.tolist() == [10.0] * host_target().lanes


def test_a_piece_declares_what_it_calls_and_nothing_else(monkeypatch) -> None:
    monkeypatch.setattr(pieces, "FULL", 1)
    by_name = {part.functions[0]: part.text for part in split(module_of(2))}
    assert by_name["run"].count("declare") == 2
    assert "declare" not in by_name["step_0"]


def test_short_functions_share_a_piece_that_all_passes_run_on(monkeypatch) -> None:
    assert [part.thorough for part in split(module_of(6))] == [True]
    monkeypatch.setattr(pieces, "SHORT", 1)
    assert [part.thorough for part in split(module_of(6))] == [False]


def test_the_longest_piece_comes_first(monkeypatch) -> None:
    monkeypatch.setattr(pieces, "FULL", 1)
    sizes = [len(part.text) for part in split(module_of(30))]
    assert sizes == sorted(sizes, reverse=True)
