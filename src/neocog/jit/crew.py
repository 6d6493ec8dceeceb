"""Pieces compiled on several processors at once.

llvmlite lets one thread at a time into LLVM, so that threads would wait for each other: processes help instead. They
are only ever a help: what one does not deliver is compiled here.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from neocog.forks import tell_of_forks
from neocog.jit.codegen import generate
from neocog.jit.pieces import CompileProgress, Piece
from neocog.jit.worker import read_frame, write_frame
from neocog.resources import available_threads
from neocog.target.processor import Target

WORTH_A_HELPER = 200_000  # characters of IR: about as long to compile as a process takes to start, 0.08 s
PATIENCE = 60.0  # seconds until a helper that does not answer is given up


def compile_pieces(pieces: Sequence[Piece], target: Target, progress: CompileProgress | None = None) -> list[bytes]:
    """Compile pieces to object files, in the same order.

    Raises:
        EngineError: LLVM cannot compile one of them.
    """
    work = _Work(pieces, progress)
    helpers: list[_Helper] = []
    try:
        with contextlib.suppress(RuntimeError):  # no more threads can be started
            for _ in range(helpers_worth(pieces)):
                helpers.append(_Helper(work, target))  # noqa: PERF401 - those that started are dismissed below
        while True:
            while (index := work.take()) is not None:
                piece = pieces[index]
                work.finish(index, generate(piece.text, target, thorough=piece.thorough))
            for helper in helpers:
                helper.join()
            if work.done == len(pieces):
                return [work.objects[index] for index in range(len(pieces))]
            helpers = []  # what they have given back is left for this thread
    finally:
        for helper in helpers:
            helper.dismiss()


def helpers_worth(pieces: Sequence[Piece]) -> int:
    """Return the number of processes that pay beside this one."""
    if "python" not in Path(sys.executable or "").name.lower():
        return 0  # an application with Python inside: it would be started a second time
    size = sum(len(piece.text) for piece in pieces)
    return max(0, min(available_threads(), len(pieces), size // WORTH_A_HELPER) - 1)


class _Work:
    """Which pieces wait, and what became of the others."""

    def __init__(self, pieces: Sequence[Piece], progress: CompileProgress | None) -> None:
        self.pieces = pieces
        self.objects: dict[int, bytes] = {}
        self._waiting = deque(range(len(pieces)))
        self._progress = progress
        self._telling = threading.Lock()

    @property
    def done(self) -> int:
        return len(self.objects)

    def take(self) -> int | None:
        """Take the longest piece that waits; None if none does."""
        try:
            index = self._waiting.popleft()
        except IndexError:
            return None
        try:
            self._tell(self.pieces[index].functions[0])
        except BaseException:  # of whoever listens: the piece still waits
            self.give_back(index)
            raise
        return index

    def finish(self, index: int, body: bytes) -> None:
        self.objects[index] = body
        if self.done == len(self.pieces):
            self._tell("")

    def _tell(self, function: str) -> None:
        if self._progress is not None:
            with self._telling:
                self._progress(function, self.done, len(self.pieces))

    def give_back(self, index: int) -> None:
        self._waiting.append(index)


class _Helper:
    """A process, and the thread that hands it pieces."""

    def __init__(self, work: _Work, target: Target) -> None:
        self._work, self._target = work, target
        self._process: subprocess.Popen[bytes] | None = None
        self._dismissed = False
        tell_of_forks(self)
        self._thread = threading.Thread(target=self._serve, name="neocog-compile", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        index: int | None = None
        try:
            process = self._process = _start()
            assert process.stdin is not None
            assert process.stdout is not None
            write_frame(process.stdin, json.dumps(asdict(self._target)).encode())
            while not self._dismissed and (index := self._work.take()) is not None:
                piece = self._work.pieces[index]
                write_frame(process.stdin, bytes([piece.thorough]) + piece.text.encode())
                body = read_frame(process.stdout)
                if not body:
                    return
                self._work.finish(index, body)
                index = None
        except (OSError, ValueError, subprocess.SubprocessError):
            return
        finally:
            if index is not None:
                self._work.give_back(index)
            self._end()

    def after_fork(self) -> None:
        """Close this process's ends of the pipes: the helper ends with its stdin, which the parent alone holds."""
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout):
                if isinstance(pipe, io.BufferedReader | io.BufferedWriter):
                    pipe.raw.close()  # not the pipe itself, which would send what the parent has yet to send

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()  # it holds nothing that is worth an orderly end
            with contextlib.suppress(OSError), self._process:  # closes the pipes and waits: no zombie stays
                pass

    def join(self) -> None:
        """Wait until it has no more to do."""
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            self.dismiss()

    def dismiss(self) -> None:
        """End it, whatever it is doing."""
        self._dismissed = True
        if self._process is not None:
            self._process.kill()
        self._thread.join()


def _start() -> subprocess.Popen[bytes]:
    # Modules come from where they came from here; -P keeps those of the current folder out.
    paths = [path or os.getcwd() for path in sys.path if isinstance(path, str)]  # noqa: PTH109
    return subprocess.Popen(
        [sys.executable, "-P", "-W", "ignore", "-m", "neocog.jit.worker", str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        start_new_session=True,  # Ctrl-C reaches this process alone
    )
