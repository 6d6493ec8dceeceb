"""Code for another machine, compiled ahead of time: object files, and the same as assembly or as LLVM IR."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import llvmlite.binding as llvm

from neocog.errors import EngineError
from neocog.interrupts import interrupts_deferred
from neocog.jit.codegen import ROOM, tuned, with_attributes
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
    return compile_together([(text, target)], form, small=small)


def compile_together(
    parts: Sequence[tuple[str, Target]], form: Form = "object", *, small: bool = False, hidden: Sequence[str] = ()
) -> bytes:
    """Compile modules into one file.

    Arguments:
        parts: LLVM IR, and the processor that it is for; the first one's is what the file is for.
        form, small: see `compile_ahead`.
        hidden: functions that only what is linked together may call.

    Raises:
        EngineError: LLVM cannot compile this for this processor.
        MemoryError: there is too little memory to try.
    """
    require_memory(ROOM + 8 * sum(len(text) for text, _ in parts), "compiling a program")
    initialise_llvm()
    llvm.initialize_native_asmparser()  # where a part has instructions written out, LLVM would end the process without
    target = parts[0][1]
    with interrupts_deferred():
        try:
            return _compile(parts, target, form, small, hidden)
        except RuntimeError as error:
            raise EngineError(f"LLVM could not compile for {target.cpu}: {str(error).splitlines()[0]}") from error


def _compile(
    parts: Sequence[tuple[str, Target]], target: Target, form: Form, small: bool, hidden: Sequence[str]
) -> bytes:
    machine = llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu,
        features=target.features,
        opt=2,
        reloc="pic" if "linux" in target.triple else "static",
        codemodel="small",
        abiname=target.abi,
    )
    context = llvm.create_context()
    module = llvm.parse_assembly(tuned(parts[0][0], target), context)
    for text, other in parts[1:]:
        module.link_in(llvm.parse_assembly(_made_for(text, other), context))
    for name in hidden:
        module.get_function(name).visibility = "hidden"
    tuning = llvm.create_pipeline_tuning_options(speed_level=2)
    tuning.size_level = 2 if small else 0
    tuning.loop_vectorization = tuning.slp_vectorization = False
    tuning.loop_unrolling = tuning.loop_interleaving = False
    builder = llvm.create_pass_builder(machine, tuning)
    builder.getModulePassManager().run(module, builder)
    if form == "llvm":
        return str(module).encode()
    return machine.emit_assembly(module).encode() if form == "asm" else bytes(machine.emit_object(module))


def _made_for(text: str, target: Target) -> str:
    """Return a module whose functions say what processor they are for, in a file that is for another one."""
    return with_attributes(text, f'"target-cpu"="{target.cpu}" "target-features"="{target.features}"')
