"""A C program around a compiled network, which answers images from stdin on stdout, and watches what it touches."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neocog.engines.base import Array
from neocog.errors import EngineError, NeocogError
from neocog.target.ahead import AHEAD

SOURCE = """#include <stdio.h>
#include <string.h>
#include "{name}.h"

enum {{ GUARD = 64, FILL = 0xA5 }};

static uint8_t image[{macro}_INPUT_H * {macro}_INPUT_W * {macro}_INPUT_C];
static unsigned char memory[GUARD + {macro}_ARENA_BYTES + GUARD + 1];
static float answers[GUARD + {macro}_NUM_CLASSES + GUARD];

static int touched(const unsigned char *bytes, size_t count)
{{
    size_t i;
    for (i = 0; i < count; i++)
        if (bytes[i] != FILL)
            return 1;
    return 0;
}}

int main(void)
{{
    unsigned char *arena = memory + GUARD + 1; /* begins at any byte */
    float *probabilities = answers + GUARD;
    while (fread(image, 1, sizeof image, stdin) == sizeof image) {{
        int32_t answer;
        memset(memory, FILL, sizeof memory); /* 0xA5A5A5A5 would be taken for a number */
        memset(arena, 0xFF, {macro}_ARENA_BYTES); /* NaN: what is not written before it is read shows in the answer */
        memset(answers, FILL, sizeof answers);
        answer = {prefix}_predict(image, probabilities, arena);
        if (touched(memory, GUARD + 1) || touched(arena + {macro}_ARENA_BYTES, GUARD)
            || touched((unsigned char *)answers, sizeof(float) * GUARD)
            || touched((unsigned char *)(probabilities + {macro}_NUM_CLASSES), sizeof(float) * GUARD)) {{
            fputs("memory outside the arena was written to\\n", stderr);
            return 1;
        }}
        if (fwrite(&answer, sizeof answer, 1, stdout) != 1
            || fwrite(probabilities, sizeof(float), {macro}_NUM_CLASSES, stdout) != {macro}_NUM_CLASSES)
            return 2;
    }}
    return 0;
}}
"""


@dataclass(frozen=True, slots=True)
class Tools:
    """What builds a program for a processor and runs it here.

    Arguments:
        compilers: names of C compilers, the best first.
        emulator: what the program is run by; none on this machine's own processor.
        package: of Debian, which brings both.
    """

    compilers: tuple[str, ...]
    emulator: tuple[str, ...] = ()
    package: str = ""


HERE = Tools(("cc", "gcc", "clang"), package="gcc")
TOOLS = {
    "aarch64": Tools(
        ("aarch64-linux-gnu-gcc",), ("qemu-aarch64-static", "qemu-aarch64"), "gcc-aarch64-linux-gnu qemu-user-static"
    ),
    "armv7a": Tools(
        ("arm-linux-gnueabihf-gcc",), ("qemu-arm-static", "qemu-arm"), "gcc-arm-linux-gnueabihf qemu-user-static"
    ),
    "riscv64": Tools(
        ("riscv64-linux-gnu-gcc",), ("qemu-riscv64-static", "qemu-riscv64"), "gcc-riscv64-linux-gnu qemu-user-static"
    ),
}
"""By the first part of a triple. What is missing can be verified nowhere but on such a machine."""

EMULATED = {"rv64v": ("-cpu", "rv64,v=true,vlen=128,vext_spec=v1.0")}
"""What an emulator is told besides, by target."""

_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Built:
    """A program that was built.

    Arguments:
        command: what runs it.
        compiler, emulator: what was found for it, for reports; no emulator: "".
    """

    command: tuple[str, ...]
    compiler: str
    emulator: str


def build(folder: Path, name: str, target_name: str, triple: str, place: Path) -> Built:
    """Build the self-test of a compiled network.

    Arguments:
        folder: with `NAME.o` and `NAME.h`.
        name: of the network, in C.
        target_name, triple: what it was compiled for.
        place: a folder for the program.

    Raises:
        EngineError: there is no compiler or no emulator for it here, or it does not compile.
    """
    machine = triple.split("-")[0]
    here = os.uname().machine
    tools = HERE if machine == here else TOOLS.get(machine)
    if tools is None:
        raise EngineError(
            f"there is no way to run code for {target_name} here",
            hint="link the object with your own program, on such a machine",
        )
    compiler = _found(tools.compilers)
    emulator = _found(tools.emulator) if tools.emulator else ""
    if compiler is None or emulator is None:
        wanted = tools.compilers if compiler is None else tools.emulator
        raise EngineError(
            f"verifying code for {target_name} needs {wanted[0]}, which is not installed here",
            hint=f"on Debian: apt-get install {tools.package}",
        )
    source, program = place / "selftest.c", place / "selftest"
    source.write_text(SOURCE.format(name=name, prefix=f"neocog_{name}", macro=f"NEOCOG_{name.upper()}"))
    flags = AHEAD[target_name].compiler if target_name in AHEAD else ()
    static = ("-static",) if emulator else ()
    words = (compiler, "-std=c99", "-Wall", "-Wextra", "-Werror", "-O1", *flags, *static, f"-I{folder}", str(source))
    _run((*words, str(folder / f"{name}.o"), "-o", str(program)), b"", "the self-test does not compile")
    extra = EMULATED.get(target_name, ()) if emulator else ()
    return Built((*((emulator, *extra) if emulator else ()), str(program)), compiler, emulator)


def answers_of(built: Built, images: NDArray[np.uint8], classes: int) -> tuple[NDArray[np.int32], Array]:
    """Return what a compiled network answers for images (N, H, W, C): its results (N,), and probabilities (N, classes).

    Raises:
        NeocogError: it ended otherwise than it should, or wrote where it must not.
    """
    out = _run(built.command, images.tobytes(), "the compiled network failed")
    row = np.dtype([("answer", "<i4"), ("probabilities", "<f4", (classes,))])
    if len(out) != len(images) * row.itemsize:
        raise NeocogError(f"the compiled network answered {len(out) // row.itemsize} of {len(images)} images")
    rows = np.frombuffer(out, row)
    return rows["answer"].copy(), rows["probabilities"].reshape(len(images), classes).copy()


def _found(names: Sequence[str]) -> str | None:
    return next((path for path in map(shutil.which, names) if path is not None), None)


def _run(words: Sequence[str], given: bytes, failing: str) -> bytes:
    try:
        done = subprocess.run(words, input=given, capture_output=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise NeocogError(f"{failing}: no answer within {_SECONDS:.0f} s") from None
    if done.returncode:
        told = done.stderr.decode(errors="replace").strip().splitlines()
        reason = f"it ended with {done.returncode}" if done.returncode > 0 else f"signal {-done.returncode} ended it"
        raise NeocogError(failing, details=(reason, *told[:10]))
    return done.stdout


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """Return a folder that goes when it is left."""
    return tempfile.TemporaryDirectory(prefix="neocog-")
