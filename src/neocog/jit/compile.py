"""From an LLVM module to functions in memory, by way of object files that are kept.

Programs of one kind share one library while any of them lives. Each library has an LLVM linker (LLJIT) of its own,
which takes a millisecond to make: one for all would keep 10 KiB and more of every library that it ever held.
"""

from __future__ import annotations

import ctypes
import hashlib
import sys
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import llvmlite
import llvmlite.binding as llvm

import neocog.emit
import neocog.nn
import neocog.plan
import neocog.target
from neocog.errors import EngineError
from neocog.interrupts import interrupts_deferred
from neocog.jit.cache import ObjectCache
from neocog.jit.codegen import OPTIONS
from neocog.jit.host import initialise_llvm
from neocog.jit.objects import pack, unpack
from neocog.resources import require_memory
from neocog.target.processor import Target

if TYPE_CHECKING:
    from llvmlite import ir

    from neocog.jit.pieces import CompileProgress

ENTRY = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64
)
_FLTUSED = ctypes.c_int(1)  # what Microsoft's C library has to show for a program that computes with floats
ROOM = 8 << 20  # bytes that LLVM takes to load the shortest program
CODE = ("compile.py", "codegen.py", "objects.py", "pieces.py")  # of this room, what decides what objects hold


class _Code:
    """Machine code in memory, which goes with this object."""

    def __init__(self, tracker: Any, linker: Any) -> None:
        self._tracker, self._linker = tracker, linker

    def __del__(self, finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if not finalizing():  # threads may still run in it; at the very end this module's names are gone
            self._tracker.close()  # first, since it needs the linker
            self._linker.close()


@dataclass(slots=True, weakref_slot=True, eq=False)
class Library:
    """Functions in memory, ready to call. Keep it as long as any of them may run."""

    code: object = field(repr=False)
    functions: dict[str, Callable[[int, int, int, int, int, int], None]]


def load_objects(images: Sequence[bytes], names: Sequence[str]) -> Library:
    """Bring object files into this process, where they find each other's functions, and find those of `names`.

    Raises:
        EngineError: they are not what this process can load, or lack a function.
        MemoryError: there is too little memory for them.
    """
    require_memory(ROOM + 4 * sum(map(len, images)), "loading a program")
    initialise_llvm()
    with interrupts_deferred():  # what LLVM has begun, llvmlite must hear of
        return _load(images, names)


def _load(images: Sequence[bytes], names: Sequence[str]) -> Library:
    builder = llvm.JITLibraryBuilder().add_current_process()
    if llvm.get_object_format(llvm.get_process_triple()) == "COFF":  # a name that linkers for Windows make up
        builder = builder.import_symbol("_fltused", ctypes.addressof(_FLTUSED))
    for image in images:
        builder = builder.add_object_img(image)
    for name in names:
        builder = builder.export_symbol(name)
    try:
        linker = llvm.create_lljit_compiler(suppress_errors=True)
        tracker = builder.link(linker, "neocog")
    except RuntimeError as error:
        reason = (str(error).splitlines() or ["unknown"])[0]
        raise EngineError(f"LLVM could not load a compiled program: {reason}") from error
    return Library(_Code(tracker, linker), {name: ENTRY(tracker[name]) for name in names})


def build(
    description: str,
    emit: Callable[[], ir.Module],
    target: Target,
    names: Sequence[str],
    objects: ObjectCache,
    progress: CompileProgress | None = None,
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
    library = _libraries.get((objects.folder, key))
    if library is None:
        library = _libraries[objects.folder, key] = _kept(key, names, objects, target) or _made(
            key, make, names, objects
        )
    return library


_libraries: weakref.WeakValueDictionary[tuple[Path | None, str], Library] = weakref.WeakValueDictionary()


def _kept(key: str, names: Sequence[str], objects: ObjectCache, target: Target) -> Library | None:
    """Load objects from the cache; None where there are none, or none that can be loaded."""
    entry = objects.load(key)
    images = None if entry is None else unpack(entry, target.triple)
    if images is None:
        return None
    try:
        return load_objects(images, names)
    except EngineError:
        return None


def _made(key: str, make: Callable[[], list[bytes]], names: Sequence[str], objects: ObjectCache) -> Library:
    images = make()
    objects.store(key, pack(images))
    return load_objects(images, names)


@cache
def _emitters() -> str:
    """Return a digest of all code that decides what modules say, so that a change of it makes objects anew."""
    here = Path(__file__)
    digest = hashlib.sha256(b"".join((here.parent / name).read_bytes() for name in CODE))
    for package in (neocog.emit, neocog.plan, neocog.target, neocog.nn):
        for path in sorted(Path(str(package.__file__)).parent.rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
