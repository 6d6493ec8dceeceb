"""A C program around a compiled network, which answers images that it reads, and watches what memory is touched."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neocog.emit.choice import version_of
from neocog.engines.base import Array
from neocog.errors import EngineError, NeocogError
from neocog.jit.host import runs_here
from neocog.standalone.machines import ANSWERS, HERE, IMAGES, MACHINES, Machine
from neocog.target.ahead import AHEAD

Progress = Callable[[int, int], None]
"""Told how much is done, and of how much."""

BODY = """
#include <stddef.h>
#include "{name}.h"

void *memset(void *, int, size_t);

enum {{ GUARD = 64, FILL = 0xA5 }};

static uint8_t image[{macro}_INPUT_H * {macro}_INPUT_W * {macro}_INPUT_C];
static unsigned char memory[GUARD + 1 + {macro}_ARENA_BYTES + GUARD];
static float answers_[GUARD + {macro}_NUM_CLASSES + GUARD];

static int touched(const void *first, size_t count)
{{
    const unsigned char *byte = first;
    while (count--)
        if (*byte++ != FILL)
            return 1;
    return 0;
}}

int main(void)
{{
    unsigned char *arena = memory + GUARD + 1; /* as a caller may have it: it begins at any byte */
    float *probabilities = answers_ + GUARD;
{check}    while (take(image, sizeof image)) {{
        int32_t answer;
        memset(memory, FILL, sizeof memory);
        memset(arena, 0xFF, {macro}_ARENA_BYTES); /* NaN: what is read before it is written shows in the answer */
        memset(answers_, FILL, sizeof answers_);
        answer = {call}(image, probabilities, arena);
        if (touched(memory, GUARD + 1) || touched(arena + {macro}_ARENA_BYTES, GUARD)
            || touched(answers_, sizeof(float) * GUARD)
            || touched(probabilities + {macro}_NUM_CLASSES, sizeof(float) * GUARD))
            return {touched};
        give(&answer, sizeof answer);
        give(probabilities, sizeof(float) * {macro}_NUM_CLASSES);
    }}
    return 0;
}}
"""
TOUCHED = 77
"""What the program ends with where memory outside the arena was written to."""
LACKING = 78
"""What it ends with where this processor cannot run the version that is asked for."""
_SECONDS = 600.0  # from answer to answer, and for a compiler
_WAIT = 0.2  # seconds between two looks at what is answered
_MOST_TOLD = 1 << 16


class InstructionsError(EngineError):
    """This processor lacks instructions of a version."""


@dataclass(frozen=True, slots=True)
class Built:
    """A program that was built.

    Arguments:
        command: what runs it.
        folder: where it lies, and runs.
        files: whether it reads and writes files there, and not streams.
        compiler, emulator: what was found for it, for reports; no emulator: "".
    """

    command: tuple[str, ...]
    folder: Path
    files: bool
    compiler: str
    emulator: str


def build(folder: Path, name: str, target_name: str, triple: str, place: Path, version: str = "") -> Built:
    """Build the self-test of a compiled network.

    Arguments:
        folder: with `NAME.o` and `NAME.h`.
        name: of the network, in C.
        target_name, triple: what it was compiled for.
        place: a folder for the program.
        version: of several in one object, which one is called; none: that which the object chooses.

    Raises:
        EngineError: there is no compiler or no emulator for it here, or it does not compile.
    """
    if not (folder / f"{name}.o").is_file():
        raise EngineError(
            f"{folder} holds no {name}.o, and there is nothing to build a program around",
            hint="verify what neocog export --to object --emit object writes; assembly and LLVM IR are for reading",
        )
    machine = HERE if runs_here(triple) else MACHINES.get(target_name)
    if machine is None:
        raise EngineError(
            f"code for {target_name} cannot be run here",
            hint="link the object with your own program, on such a machine",
        )
    compiler, emulator = _tools(machine, target_name)
    source, program = place / "selftest.c", place / "selftest"
    prefix = f"neocog_{name}"
    names = {"name": name, "call": f"{prefix}_predict", "macro": prefix.upper(), "touched": TOUCHED, "check": ""}
    if version:
        names["call"] = version_of(prefix, version)
        names["check"] = f"    if ({prefix}_level() < {prefix.upper()}_{version.upper()})\n        return {LACKING};\n"
    source.write_text(machine.edge + BODY.format(**names))
    flags = (*(AHEAD[target_name].compiler if target_name in AHEAD else ()), *machine.flags)
    if machine.layout:
        (place / "layout.ld").write_text(machine.layout)
        flags = (*flags, "-T", str(place / "layout.ld"))
    words = (compiler, "-std=c99", "-Wall", "-Wextra", "-Werror", "-O1", *flags, f"-I{folder}", str(source))
    _compile((*words, str(folder / f"{name}.o"), "-o", str(program)), place)
    command = (emulator, *machine.run, str(program)) if emulator else (str(program),)
    return Built(command, place, machine.files, compiler, emulator)


def _tools(machine: Machine, target_name: str) -> tuple[str, str]:
    """Return the paths of compiler and emulator; no emulator: ""."""
    compiler, emulator = _found(machine.compilers), _found(machine.emulators) if machine.emulators else ""
    if compiler is None or emulator is None:
        wanted = machine.compilers if compiler is None else machine.emulators
        raise EngineError(
            f"verifying code for {target_name} needs {wanted[0]}, which is not installed here",
            hint=f"on Debian: apt-get install {machine.package}",
        )
    return compiler, emulator


def answers_of(
    built: Built, images: NDArray[np.uint8], classes: int, progress: Progress | None = None
) -> tuple[NDArray[np.int32], Array]:
    """Return what a compiled network answers for images (N, H, W, C): its results (N,), and probabilities (N, classes).

    Arguments:
        built: the program.
        images, classes: what it answers.
        progress: told now and then how many images are answered, and how many there are.

    Raises:
        InstructionsError: this processor cannot run the version that was asked for.
        NeocogError: it ended otherwise than it should, or wrote where it must not.
    """
    row = np.dtype([("answer", "<i4"), ("probabilities", "<f4", (classes,))])
    given, answers = built.folder / IMAGES, built.folder / ANSWERS
    given.write_bytes(images.tobytes())
    answers.write_bytes(b"")
    with given.open("rb") as source, answers.open("r+b") as sink, (built.folder / "told.txt").open("w+b") as told:
        streams = (subprocess.DEVNULL, subprocess.DEVNULL) if built.files else (source, sink)
        process = subprocess.Popen(built.command, stdin=streams[0], stdout=streams[1], stderr=told, cwd=built.folder)
        try:
            code = _watched(process, lambda: _count(answers, row.itemsize), len(images), progress)
        finally:
            process.kill()
            process.wait()
        told.seek(0)
        lines = told.read(_MOST_TOLD).decode(errors="replace").strip().splitlines()
    if code == LACKING:
        raise InstructionsError("this processor lacks instructions that this version uses")
    if code:
        raise NeocogError("the compiled network failed", details=(_reason(code), *lines[:10]))
    out = answers.read_bytes()
    if len(out) != len(images) * row.itemsize:
        raise NeocogError(f"the compiled network answered {len(out) // row.itemsize} of {len(images)} images")
    rows = np.frombuffer(out, row)
    return rows["answer"].copy(), rows["probabilities"].reshape(len(images), classes).copy()


def _watched(
    process: subprocess.Popen[bytes], answered: Callable[[], int], total: int, progress: Progress | None
) -> int:
    """Wait for a program, and return what it ends with; it is given up where it answers nothing for _SECONDS.

    Raises:
        NeocogError: it was given up.
    """
    done, since = 0, time.monotonic()
    while True:
        try:
            code = process.wait(_WAIT)
        except subprocess.TimeoutExpired:
            code = None
        now = answered()
        if now > done:
            done, since = now, time.monotonic()
            if progress is not None:
                progress(min(done, total), total)
        if code is not None:
            return code
        if time.monotonic() - since > _SECONDS:
            raise NeocogError(f"the compiled network failed: no answer within {_SECONDS:.0f} s")


def _count(file: Path, each: int) -> int:
    return file.stat().st_size // each if file.exists() else 0


def _found(names: Sequence[str]) -> str | None:
    return next((path for path in map(shutil.which, names) if path is not None), None)


def _compile(words: Sequence[str], place: Path) -> None:
    failing = "the self-test does not compile"
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False, cwd=place
        )
    except subprocess.TimeoutExpired:
        raise NeocogError(f"{failing}: the compiler took more than {_SECONDS:.0f} s") from None
    if done.returncode:
        told = done.stderr.decode(errors="replace").strip().splitlines()
        raise NeocogError(failing, details=(_reason(done.returncode), *told[:10]))


def _reason(code: int) -> str:
    if code == TOUCHED:
        return "memory outside the arena was written to"
    if code == -signal.SIGILL:
        return "this processor lacks an instruction that the code uses: it was compiled for another --target"
    return f"it ended with {code}" if code > 0 else f"signal {-code} ended it"


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """Return a folder that goes when it is left."""
    return tempfile.TemporaryDirectory(prefix="neocog-")
