"""From an LLVM module to an object file, and from an object file to functions."""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm
from llvmlite import ir

import neocog.emit
import neocog.model
import neocog.plan
from neocog.errors import EngineError
from neocog.jit.cache import ObjectCache
from neocog.jit.host import initialise_llvm
from neocog.plan.target import Target

ENTRY = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64
)
OPTIONS = "O2 no-vectorise no-unroll pic"  # part of the cache key: change it with the pipeline below


def compile_object(text: str, target: Target) -> bytes:
    """Compile LLVM IR to an object file.

    The emitters have already vectorised and unrolled, so LLVM's own loop passes are off: they would only grow the
    code.
    """
    initialise_llvm()
    try:
        module = llvm.parse_assembly(text)
        module.verify()
        machine = llvm.Target.from_triple(target.triple).create_target_machine(
            cpu=target.cpu, features=target.features, opt=3, reloc="pic", codemodel="small"
        )
        tuning = llvm.create_pipeline_tuning_options(speed_level=2)
        tuning.loop_vectorization = tuning.slp_vectorization = False
        tuning.loop_unrolling = tuning.loop_interleaving = False
        builder = llvm.create_pass_builder(machine, tuning)
        builder.getModulePassManager().run(module, builder)
        return bytes(machine.emit_object(module))
    except RuntimeError as error:
        raise EngineError(f"LLVM could not compile for {target.cpu}: {str(error).splitlines()[0]}") from error


@dataclass(slots=True)
class Library:
    """Functions in memory, ready to call. Keep it as long as any of them may run."""

    resources: Any = field(repr=False)
    functions: dict[str, Callable[[int, int, int, int, int, int], None]]


def load_object(data: bytes, names: list[str]) -> Library:
    """Bring an object file into this process and find its functions."""
    initialise_llvm()
    resources = llvm.JITLibraryBuilder().add_object_img(data).add_current_process()
    for name in names:
        resources = resources.export_symbol(name)
    library = resources.link(_jit(), f"neocog_{_next_library()}")
    return Library(library, {name: ENTRY(library[name]) for name in names})


def build(
    description: str, emit: Callable[[], ir.Module], target: Target, names: list[str], objects: ObjectCache
) -> Library:
    """Take a module's object from the cache, or emit and compile it; load it.

    Arguments:
        description: everything that decides what `emit` writes, but for the emitters themselves. Writing a module takes
            longer than loading its object, so this stands for its text.
        emit: writes the module.
        target: the processor.
        names: functions to find.
        objects: where objects are kept.
    """
    versions = f"{llvmlite.__version__} {llvm.llvm_version_info} {OPTIONS} {_emitters()}"
    parts = (versions, target.triple, target.cpu, target.features, description)
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    data = objects.load(key)
    if data is None:
        data = compile_object(str(emit()), target)
        objects.store(key, data)
    return load_object(data, names)


@cache
def _emitters() -> str:
    """Give a digest of all code that decides what modules say, so that a change of it makes objects anew."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for package in (neocog.emit, neocog.plan, neocog.model):
        for path in sorted(Path(str(package.__file__)).parent.glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


_state: dict[str, Any] = {"jit": None, "libraries": 0}


def _jit() -> Any:
    if _state["jit"] is None:
        _state["jit"] = llvm.create_lljit_compiler()
    return _state["jit"]


def _next_library() -> int:
    _state["libraries"] += 1
    return int(_state["libraries"])
