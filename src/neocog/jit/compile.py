"""From an LLVM module to functions in memory, by way of object files that are kept."""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import llvmlite
import llvmlite.binding as llvm

import neocog.emit
import neocog.model
import neocog.plan
from neocog.jit.cache import ObjectCache
from neocog.jit.codegen import OPTIONS
from neocog.jit.host import initialise_llvm
from neocog.plan.target import Target

if TYPE_CHECKING:
    from llvmlite import ir

    from neocog.jit.pieces import Progress

ENTRY = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64
)
LENGTH_BYTES = 8
CODE = ("compile.py", "codegen.py", "pieces.py")  # of this room, what decides what objects hold


@dataclass(slots=True)
class Library:
    """Functions in memory, ready to call. Keep it as long as any of them may run."""

    resources: Any = field(repr=False)
    functions: dict[str, Callable[[int, int, int, int, int, int], None]]


def load_objects(images: Sequence[bytes], names: Sequence[str]) -> Library:
    """Bring object files into this process, where they find each other's functions, and find those of `names`."""
    initialise_llvm()
    resources = llvm.JITLibraryBuilder().add_current_process()
    for image in images:
        resources = resources.add_object_img(image)
    for name in names:
        resources = resources.export_symbol(name)
    library = resources.link(_jit(), f"neocog_{_next_library()}")
    return Library(library, {name: ENTRY(library[name]) for name in names})


def build(
    description: str,
    emit: Callable[[], ir.Module],
    target: Target,
    names: Sequence[str],
    objects: ObjectCache,
    progress: Progress | None = None,
) -> Library:
    """Take a module's objects from the cache, or emit and compile it; load them.

    Arguments:
        description: everything that decides what `emit` writes, but for the emitters themselves. Writing a module takes
            longer than loading its objects, so this stands for its text.
        emit: writes the module.
        target: the processor.
        names: functions to find.
        objects: where objects are kept, those of a module as one entry.
        progress: told of each piece of the module that is compiled.
    """

    def compile_module() -> list[bytes]:
        from neocog.jit.crew import compile_pieces  # here, since a program that is in the cache needs neither
        from neocog.jit.pieces import split

        return compile_pieces(split(emit()), target, progress)

    return build_objects(description, compile_module, target, names, objects)


def build_objects(
    description: str, make: Callable[[], list[bytes]], target: Target, names: Sequence[str], objects: ObjectCache
) -> Library:
    """Take objects from the cache, or make them; load them. See `build`."""
    versions = f"{llvmlite.__version__} {llvm.llvm_version_info} {OPTIONS} {_emitters()}"
    parts = (versions, repr(target), description)
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    entry = objects.load(key)
    if entry is not None:
        return load_objects(_unpack(entry), names)
    images = make()
    objects.store(key, _pack(images))
    return load_objects(images, names)


def _pack(images: Sequence[bytes]) -> bytes:
    """Give objects as one: each behind its length."""
    return b"".join(len(image).to_bytes(LENGTH_BYTES, "little") + image for image in images)


def _unpack(entry: bytes) -> list[bytes]:
    images, start = [], 0
    while start < len(entry):
        first = start + LENGTH_BYTES
        start = first + int.from_bytes(entry[start:first], "little")
        images.append(entry[first:start])
    return images


@cache
def _emitters() -> str:
    """Give a digest of all code that decides what modules say, so that a change of it makes objects anew."""
    here = Path(__file__)
    digest = hashlib.sha256(b"".join((here.parent / name).read_bytes() for name in CODE))
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
