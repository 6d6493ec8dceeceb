"""Code for another machine, compiled ahead of time: object files, and the same as assembly or as LLVM IR."""

from __future__ import annotations

from typing import Literal

import llvmlite.binding as llvm

from neocog.errors import EngineError
from neocog.interrupts import interrupts_deferred
from neocog.jit.codegen import ROOM, tuned
from neocog.jit.host import initialise_llvm
from neocog.resources import require_memory
from neocog.target.processor import Target

Form = Literal["object", "asm", "llvm"]


def compile_ahead(text: str, target: Target, form: Form = "object", *, small: bool = False) -> bytes:
    """Compile a module that stands alone.

    Arguments:
        text: LLVM IR.
        target: the processor.
        form: an object file, assembly, or LLVM IR as it is after optimisation.
        small: whether short code counts more than its speed.

    Raises:
        EngineError: LLVM cannot compile this for this processor.
        MemoryError: there is too little memory to try.
    """
    require_memory(ROOM + 8 * len(text), "compiling a program")
    initialise_llvm()
    with interrupts_deferred():
        try:
            return _compile(text, target, form, small)
        except RuntimeError as error:
            raise EngineError(f"LLVM could not compile for {target.cpu}: {str(error).splitlines()[0]}") from error


def _compile(text: str, target: Target, form: Form, small: bool) -> bytes:
    machine = llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu,
        features=target.features,
        opt=2,
        reloc="pic" if "linux" in target.triple else "static",
        codemodel="small",
        abiname=target.abi,
    )
    module = llvm.parse_assembly(tuned(text, target), llvm.create_context())
    tuning = llvm.create_pipeline_tuning_options(speed_level=2)
    tuning.size_level = 2 if small else 0
    tuning.loop_vectorization = tuning.slp_vectorization = False
    tuning.loop_unrolling = tuning.loop_interleaving = False
    builder = llvm.create_pass_builder(machine, tuning)
    builder.getModulePassManager().run(module, builder)
    if form == "llvm":
        return str(module).encode()
    return machine.emit_assembly(module).encode() if form == "asm" else bytes(machine.emit_object(module))
