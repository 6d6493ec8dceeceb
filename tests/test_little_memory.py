"""Where there is too little memory, that is said, and nothing ends the process without a word."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from neocog import resources
from neocog.app.cli import errors

UNDER_A_LIMIT = """
import resource, sys
def limit(megabytes):
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (megabytes << 20),) * 2)
"""
needs_proc = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")


def python(code: str, cache: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NEOCOG_CACHE": str(cache), "OPENBLAS_NUM_THREADS": "2"}  # each takes memory
    command = [sys.executable, "-c", UNDER_A_LIMIT + code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


@needs_proc
@pytest.mark.parametrize("megabytes", [20, 60, 100, 123, 125, 128, 130, 150, 200])
def test_the_command_line_says_that_there_is_no_memory(megabytes: int, tmp_path: Path) -> None:
    code = f"from neocog.app.cli.main import main\nlimit({megabytes})\nmain(['bench', '--quick', '--quiet'])"
    done = python(code, tmp_path)
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("error: out of memory"), done.stderr
    assert "neocog itself failed" not in done.stderr
    assert "Traceback" not in done.stderr


@needs_proc
@pytest.mark.parametrize("megabytes", [20, 60, 100])
def test_neocog_is_imported_and_says_that_there_is_no_memory_for_more(megabytes: int, tmp_path: Path) -> None:
    done = python(f"limit({megabytes})\nimport neocog\nneocog.Model", tmp_path)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("MemoryError: loading NumPy takes about 124 MB")


PREDICT_UNDER_A_LIMIT = """
import numpy as np, neocog as nc
import neocog.engines.native
model = nc.Model(nc.Sequential(nc.Conv2d(2, 3), nc.Flatten(), nc.Linear(3)), (6, 6, 1))
model.parameters
limit({})
model.predict(np.zeros((2, 6, 6), np.uint8))
"""


@needs_proc
def test_llvm_is_not_asked_for_what_would_end_the_process(tmp_path: Path) -> None:
    done = python(PREDICT_UNDER_A_LIMIT.format(12), tmp_path)
    assert done.returncode == 1, done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("MemoryError: compiling a program takes about 24 MB")
    assert python(PREDICT_UNDER_A_LIMIT.format(200), tmp_path).returncode == 0


@needs_proc
def test_llvm_that_cannot_be_loaded_for_want_of_memory_is_told_as_that(tmp_path: Path) -> None:
    code = (
        "import numpy as np, neocog as nc\n"
        "from neocog.engines import get_engine\n"
        "model = nc.Model(nc.Sequential(nc.Flatten(), nc.Linear(3)), (6, 6, 1))\nlimit(30)\nmodel(np.zeros((1, 6, 6)))"
    )
    done = python(code, tmp_path)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("MemoryError: there is too little memory to load LLVM")


def test_what_loads_libraries_says_in_words_of_its_own_that_there_is_no_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for words in ("libx.so: failed to map segment from shared object", "libx.so: Cannot allocate memory"):
        assert resources.lacks_memory(ImportError(words))
        assert resources.lacks_memory(OSError(words))
        hidden = OSError("the library was not found here")  # as llvmlite says it
        hidden.__context__ = OSError(words)
        assert resources.lacks_memory(hidden)
    assert resources.lacks_memory(MemoryError())
    silent = SystemError("error return without exception set")  # of code in C
    monkeypatch.setattr(resources, "_limits", list)
    assert not resources.lacks_memory(silent)
    monkeypatch.setattr(resources, "_limits", lambda: [(1000, 0)])
    assert resources.lacks_memory(silent)
    for other in (ImportError("No module named numpy"), RuntimeError("cannot allocate memory"), OSError(2, "missing")):
        assert not resources.lacks_memory(other)


def test_an_error_that_comes_while_there_is_no_memory_to_look_at_it_is_told_as_that(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none_left(error: BaseException) -> bool:
        raise MemoryError

    def fails() -> None:
        raise OSError("library")

    monkeypatch.setattr(errors, "lacks_memory", none_left)
    assert errors.run_reported(fails) == 1
    assert capsys.readouterr().err.startswith("error: out of memory")
