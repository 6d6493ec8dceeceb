"""From the text of a module to an object file: LLVM's share of the work, here or in a helper process."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import llvmlite.binding as llvm

from neocog.errors import EngineError
from neocog.interrupts import interrupts_deferred
from neocog.jit.host import initialise_llvm
from neocog.resources import require_memory
from neocog.target.processor import Target, architecture_of

OPTIONS = (
    "rotate combine simplify, short: O2 no-vectorise no-unroll, codegen 2 pic"  # of the cache key: change together
)
CODEGEN_LEVEL = 2
ROOM = 24 << 20  # bytes that LLVM takes for a long piece
TUNED_FOR = {"aarch64": "neoverse-v1"}
"""For each architecture, the processor by whose timings instructions are put in order, whichever it is.

By those of its own generic processor, which takes instructions one after another, LLVM loads far ahead of use, and has
no registers left for sums: every fourth instruction of a convolution then stored or loaded one of them.
"""
_DEFINITION = re.compile(r'^(define [^{\n]*?)((?: section "[^"\n]*")?(?: \{)?)$', re.MULTILINE)


def generate(text: str, target: Target, *, thorough: bool = False) -> bytes:
    """Compile LLVM IR to an object file.

    The emitters have already vectorised, unrolled and left out what was computed before, so three passes are enough:
    the code of LLVM's whole pipeline is no faster, and takes twelve times as long to optimise. Where `thorough`, all of
    it runs but its loop transformations, which would only grow the code: short functions are loops that nobody
    unrolled, and there it costs little and gains up to a tenth.

    Raises:
        EngineError: LLVM cannot compile this for this processor.
        MemoryError: there is too little memory to try: LLVM would end the process.
    """
    require_memory(ROOM, "compiling a program")
    initialise_llvm()
    # llvmlite frees what LLVM made when Python drops it, and there Python swallows an interrupt. No code of Python's
    # runs while LLVM is at work, so Ctrl-C waits hardly longer than it would.
    with interrupts_deferred():
        return _generate(text, target, thorough)


def assembly(text: str, target: Target, *, thorough: bool = False) -> str:
    """Return what `generate` compiles as assembly, for whoever looks at instructions.

    Raises:
        EngineError: LLVM cannot compile this for this processor.
    """
    initialise_llvm()
    return _generate(text, target, thorough, "emit_assembly").decode()


def _generate(text: str, target: Target, thorough: bool, form: str = "emit_object") -> bytes:
    machine = _machine(target)
    try:
        module = llvm.parse_assembly(tuned(text, target), llvm.create_context())
        tuning = llvm.create_pipeline_tuning_options(speed_level=2)
        tuning.loop_vectorization = tuning.slp_vectorization = False
        tuning.loop_unrolling = tuning.loop_interleaving = False
        builder = llvm.create_pass_builder(machine, tuning)
        if thorough:
            passes = builder.getModulePassManager()
        else:
            passes = llvm.create_new_module_pass_manager()
            passes.add_loop_rotate_pass()
            passes.add_instruction_combine_pass()
            passes.add_simplify_cfg_pass()
        passes.run(module, builder)
        written = getattr(machine, form)(module)
        return written.encode() if isinstance(written, str) else bytes(written)
    except RuntimeError as error:
        raise EngineError(f"LLVM could not compile for {target.cpu}: {str(error).splitlines()[0]}") from error


def tuned(text: str, target: Target) -> str:
    """Return LLVM IR whose functions are put in order by the timings of `TUNED_FOR`; it uses the same instructions."""
    cpu = TUNED_FOR.get(architecture_of(target.triple))
    return text if cpu is None else with_attributes(text, f'"tune-cpu"="{cpu}"')


def with_attributes(text: str, attributes: str) -> str:
    """Return LLVM IR whose functions have these attributes too."""
    return _DEFINITION.sub(rf"\g<1> {attributes}\g<2>", text)


@cache
def _machine(target: Target) -> Any:
    return llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=CODEGEN_LEVEL, reloc="pic", codemodel="small"
    )
