"""Compiled programs as executables that need nothing but Linux, the memory that they begin with, and what comes of it.

The memory is what vectors had on this machine: state, arena and arguments before a call, and digests of them behind it.
Plans do not hang on tiles, so a program for tile registers must leave the same bytes.
"""

from __future__ import annotations

import ctypes
import hashlib
import struct
import subprocess
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np

from amx import cases
from neocog.emit.program import emit_program
from neocog.emit.slots import COUNT_SLOT, IMAGES_SLOT, KIND_FLOAT, KIND_SLOT, TARGETS_SLOT
from neocog.jit.codegen import generate
from neocog.jit.executable import Executable
from neocog.jit.pieces import split
from neocog.jit.team import Team
from neocog.plan.layout import Space
from neocog.plan.program import Program

HERE = Path(__file__).parent
VECTORS = replace(cases.EMULATED, tiles=False)
OFFSET, PRIME, WORD = 1469598103934665603, 1099511628211, 2**64 - 1  # of FNV-1a, taken by words of 64 bits


def digest(memory: bytes) -> str:
    """Return what driver.c prints of a block."""
    found = OFFSET
    for word in np.frombuffer(memory[: len(memory) // 8 * 8], np.uint64).tolist():
        found = (found ^ word) * PRIME & WORD
    return f"{found:016x}"


class Exporter:
    """Writes programs into the folder that becomes the emulated machine's; `expected` is what each must print."""

    def __init__(self, root: Path) -> None:
        self.root, self.expected, self._lines = root, {}, []
        (root / "programs").mkdir(parents=True)
        self._objects = root.parent / "objects"
        self._objects.mkdir(exist_ok=True)

    def export(self, wanted: list[str]) -> None:
        """Run the cases here, by vectors, and write down each call of a program; those whose names begin as wanted."""
        for name, factors in cases.FACTORS.items():
            if _is_wanted(f"products: {name}", wanted):
                self._add_products(f"products: {name}", *factors())
        for name, case in cases.networks().items():
            if _is_wanted(name, wanted):
                with patch.object(Executable, "run", self._recording(name, Executable.run)):
                    case(VECTORS, 1)
        (self.root / "list").write_text("".join(f"{line}\n" for line in self._lines))

    def _recording(self, name, run):
        def recorded(executable: Executable, team: Team) -> None:
            before = _memory(executable)
            run(executable, team)
            behind = executable.state.tobytes(), executable.arena.tobytes()
            self._add(name, self._linked(executable.program), before, 1, False, behind)

        return recorded

    def _add_products(self, name: str, x: np.ndarray, w: np.ndarray) -> None:
        rows, pairs = cases.laid_out(x, w)
        sums = cases.products(VECTORS, x, w)
        behind = np.where(np.isnan(sums), np.float32(np.nan), sums).tobytes(), rows.tobytes()
        before = [bytes(sums.nbytes), rows.tobytes(), pairs.tobytes(), b"", b"", b""]
        program = self._link("products", [generate(cases.product_module(cases.EMULATED), cases.EMULATED)])
        self._add(name, program, before, cases.STEPS, True, behind)

    def _linked(self, program: Program) -> str:
        name = hashlib.sha256(repr(program).encode()).hexdigest()[:16]
        module = emit_program(replace(program, target=cases.EMULATED))
        pieces = [] if (self.root / "programs" / name).exists() else split(module)
        return self._link(name, [generate(each.text, cases.EMULATED, thorough=each.thorough) for each in pieces])

    def _link(self, name: str, objects: list[bytes]) -> str:
        made = self.root / "programs" / name
        if not made.exists():
            files = [self._objects / f"{name}-{number}.o" for number in range(len(objects))]
            for file, image in zip(files, objects, strict=True):
                file.write_bytes(image)
            subprocess.run(["gcc", "-static", "-O1", "-s", "-o", made, HERE / "driver.c", *files], check=True)
        return f"/programs/{name}"

    def _add(
        self, case: str, program: str, before: list[bytes], last: int, floats: bool, behind: tuple[bytes, bytes]
    ) -> None:
        title = case.replace(" ", "_")
        name = f"{title}#{sum(each.startswith(f'{title}#') for each in self.expected)}"
        file = f"/programs/{len(self._lines)}.bin"
        head = struct.pack("<8Q", *map(len, before), last, floats)
        (self.root / file[1:]).write_bytes(head + b"".join(before))
        self.expected[name] = " ".join(map(digest, behind))
        self._lines.append(f"{program} {file} {name}")


def _memory(executable: Executable) -> list[bytes]:
    """Return what a call begins with: state, arena, scratch, arguments, images and targets."""
    program, control = executable.program, executable.control
    shape, count = program.graph.input, int(control[COUNT_SLOT])
    size = count * shape.height * shape.width * shape.channels * (4 if control[KIND_SLOT] == KIND_FLOAT else 1)
    images = ctypes.string_at(int(control[IMAGES_SLOT]), size)
    targets = b"" if program.training is None else ctypes.string_at(int(control[TARGETS_SLOT]), 4 * count)
    scratch = bytes(program.size(Space.SCRATCH))
    return [executable.state.tobytes(), executable.arena.tobytes(), scratch, control.tobytes(), images, targets]


def _is_wanted(name: str, wanted: list[str]) -> bool:
    return not wanted or any(name.startswith(each) for each in wanted)
