"""Systems other than Linux: the calls of Linux are taken away, and those of the others stood in for.

neocog has run on no other system. What is tested here: that it asks each in the way that is written down for it, and
that it works, or refuses by name, with no more than what that system's Python has.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from neocog import resources, system
from neocog.errors import NeocogError
from neocog.train.runfolder import RunFolder

SOURCE = Path(system.__file__).parent

# What Python has on Linux, and neither macOS nor Windows; and what Windows lacks besides (its library reference).
LINUX = ("sched_getaffinity", "sched_setaffinity", "pidfd_open", "memfd_create", "posix_fadvise")
UNIX = (
    "fork",
    "register_at_fork",
    "geteuid",
    "getuid",
    "sysconf",
    "uname",
    "pread",
    "O_NONBLOCK",
    "O_CLOEXEC",
    "O_DIRECTORY",
)
PROGRAM = """
import asyncio, errno, os, random, signal, select, subprocess, sys, tempfile, threading
import click, numpy, llvmlite.binding, safetensors, PIL.Image  # they look at the real system
from pathlib import Path

FAMILY, lacking = sys.argv[1], sys.argv[2].split(",")
for name in lacking:
    delattr(os, name)
if FAMILY == "windows":
    del signal.SIGHUP, select.poll
    for name in ("fcntl", "resource", "grp", "pwd"):
        sys.modules[name] = None
import builtins
opened = builtins.open
def elsewhere(path, *rest, **more):
    if str(path).startswith(("/proc/", "/sys/")):
        raise FileNotFoundError(errno.ENOENT, "no such file", path)
    return opened(path, *rest, **more)
builtins.open = elsewhere
from neocog import resources, system
system.family = lambda: FAMILY
resources._groups = lambda controller, root: iter(())  # this machine's are no matter
resources.memory_limits = lambda: (None, None)

import neocog as nc
from neocog.app.cli.main import main
from neocog.resources import available_memory, available_threads
assert available_threads() == (os.cpu_count() or 1)
assert available_memory() == 4 << 30  # neither is told: there is no such library here
images = numpy.random.default_rng(0).integers(0, 255, (24, 6, 6), numpy.uint8)
labels, answers = numpy.arange(24) % 3, []
for _ in range(2):  # the second time from the cache
    model = nc.Model(nc.Sequential(nc.Conv2d(4, 3), nc.ReLU(), nc.Flatten(), nc.Linear(3)), (6, 6, 1), seed=1)
    model.fit(images, labels, epochs=1)
    answers.append(model.logits(images).tobytes())
assert answers[0] == answers[1]
assert list(Path(os.environ["NEOCOG_CACHE"]).glob("*.o"))
print("all of it")
model.save("model.safetensors")
main(["predict", "model.safetensors", "missing.png"] if FAMILY != "windows" else ["serve", "model.safetensors"])
"""


def run_without(family: str, names: tuple[str, ...], folder: Path) -> subprocess.CompletedProcess[str]:
    there = [name for name in names if hasattr(os, name)]
    (folder / "cache").mkdir(mode=0o700)
    path = os.pathsep.join(str(Path(path).resolve()) for path in sys.path if path)
    environment = {**os.environ, "NEOCOG_CACHE": str(folder / "cache"), "PYTHONPATH": path}
    environment.pop("NEOCOG_THREADS", None)
    command = [sys.executable, "-c", PROGRAM, family, ",".join(there)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)


@pytest.mark.parametrize(
    ("family", "names", "refusal"),
    [
        ("macos", LINUX, "missing.png"),
        ("windows", (*LINUX, *UNIX), "neocog serve needs a system with fork, such as Linux or macOS"),
    ],
)
def test_training_predicting_and_keeping_work_without_what_linux_has(
    family: str, names: tuple[str, ...], refusal: str, tmp_path: Path
) -> None:
    done = run_without(family, names, tmp_path)
    assert "all of it" in done.stdout, done.stderr
    assert done.returncode not in (0, None)
    assert refusal in done.stderr
    assert "Traceback" not in done.stderr


# -- who asks ----------------------------------------------------------------------------------------------------------

ASKING = re.compile(
    r"sys\.platform|\bos\.name\b|hasattr\(os\b|hasattr\(signal\b|sched_[gs]etaffinity|os\.(?:geteuid|getuid|sysconf|uname)\b"
    r"|import (?:fcntl|msvcrt|resource)\b|register_at_fork|platform\.system\(\) *==|\"/(?:proc|sys)/"
    r"|getattr\((?:os|signal)\b|signal\.SIGHUP\b|platform\.machine\(\)|get_object_format|get_process_triple"
)
EXCEPTIONS = {
    "reading.py": "it opens with flags that change nothing where a system has no such flag",
    "app/report/starts.py": "it tells people of the system, and decides nothing by it",
    "jit/host.py": "LLVM's name of this process is what code is compiled for",
    "jit/compile.py": "symbols of object files differ by their format, of which LLVM knows",
    "jit/objects.py": "an object file is told by its format",
    "ranks/machine.py": "processors order what memory shows, whichever the system is",
}


def test_nothing_else_asks_which_system_this_is() -> None:
    found: dict[str, list[str]] = {}
    for path in SOURCE.rglob("*.py"):
        lines = [line.strip() for line in path.read_text().splitlines() if ASKING.search(line.partition("#")[0])]
        if lines and path.name != "system.py":
            found[path.relative_to(SOURCE).as_posix()] = lines
    assert not {name: lines for name, lines in found.items() if name not in EXCEPTIONS}
    assert found.keys() == EXCEPTIONS.keys()  # none is excepted for what it does no more


# -- folders -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("NEOCOG_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("family", "inside"),
    [
        ("linux", ".cache/neocog"),
        ("other", ".cache/neocog"),
        ("macos", "Library/Caches/neocog"),
        ("windows", "AppData/Local/neocog"),
    ],
)
def test_each_system_has_a_place_for_caches(
    family: str, inside: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "family", lambda: family)
    assert resources.cache_folder() == home / inside
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "x"))
    monkeypatch.setenv("LOCALAPPDATA", str(home / "local"))
    named = {"macos": home / inside, "windows": home / "local/neocog"}.get(family, home / "x/neocog")
    assert resources.cache_folder() == named


def windows_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in for msvcrt, whose locks are of bytes of a file, with the locks of this system."""
    fcntl = pytest.importorskip("fcntl")

    def locking(handle: int, mode: int, count: int) -> None:
        assert (mode, count) == (2, 1)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PermissionError(errno.EACCES, "Permission denied") from None

    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2))
    monkeypatch.setattr(system, "family", lambda: "windows")


def test_windows_keeps_two_trainings_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    windows_locks(monkeypatch)
    with RunFolder(tmp_path).locked():
        assert (tmp_path / system.LOCK).is_file()
        with pytest.raises(NeocogError, match="another training writes to"), RunFolder(tmp_path).locked():
            pass
    with RunFolder(tmp_path).locked():
        pass


def test_where_windows_cannot_lock_a_folder_can_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def locking(handle: int, mode: int, count: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2))
    monkeypatch.setattr(system, "family", lambda: "windows")
    handle = system.lock_folder(tmp_path)
    assert handle is not None
    os.close(handle)
    with RunFolder(tmp_path).locked(), RunFolder(tmp_path).locked():
        pass


@pytest.mark.parametrize("refusals", [1, 2])
def test_a_lock_that_goes_just_then_is_asked_for_once_more(
    refusals: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows_locks(monkeypatch)
    really, left = os.open, [refusals]

    def opened(path: Path, flags: int) -> int:
        if left[0]:
            left[0] -= 1
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return really(path, flags)

    monkeypatch.setattr(system.os, "open", opened)
    if refusals > 1:
        with pytest.raises(PermissionError):
            system.lock_folder(tmp_path)
        return
    handle = system.lock_folder(tmp_path)
    assert handle is not None
    os.close(handle)


@pytest.mark.parametrize(("family", "module"), [("windows", "msvcrt"), ("other", "fcntl")])
def test_without_locks_a_folder_can_be_used(
    family: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "family", lambda: family)
    monkeypatch.setitem(sys.modules, module, None)
    assert system.lock_folder(tmp_path) is None
    with RunFolder(tmp_path).locked():
        pass


# -- what is told ------------------------------------------------------------------------------------------------------

TOLD = {
    "hw.memsize": (8 << 30).to_bytes(8, "little"),
    "kern.memorystatus_level": (25).to_bytes(4, "little"),
    "hw.l1dcachesize": (64 << 10).to_bytes(8, "little"),
    "hw.l2cachesize": (4 << 20).to_bytes(8, "little"),
    "hw.perflevel0.l1dcachesize": (128 << 10).to_bytes(8, "little"),
    "machdep.cpu.brand_string": b"Apple M1\0",
}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Stand in for macOS' sysctlbyname, with the arguments that its manual says."""
    answers = dict(TOLD)

    def sysctlbyname(name: bytes, answer: Any, length: Any, new: None, size: ctypes.c_size_t) -> int:
        value = answers.get(name.decode())
        if value is None or new is not None or size.value:
            return -1
        ctypes.memmove(answer, value, len(value))
        length._obj.value = len(value)
        return 0

    monkeypatch.setattr(system, "family", lambda: "macos")
    monkeypatch.setattr(system.ctypes, "CDLL", lambda name: SimpleNamespace(sysctlbyname=sysctlbyname))
    return answers


def test_macos_tells_of_memory_caches_and_processor(told: dict[str, bytes], tmp_path: Path) -> None:
    assert system.free_memory() == 2 << 30
    assert resources.available_memory(tmp_path) == 2 << 30
    assert (system.data_cache_bytes(1), system.data_cache_bytes(2)) == (128 << 10, 4 << 20)
    assert system.processor_name() == "Apple M1"
    assert system.c_library() is None
    assert not system.permit_tiles()
    told.clear()
    assert system.free_memory() is None
    assert system.data_cache_bytes(1) is None
    assert system.processor_name()
    assert resources.available_memory(tmp_path) == resources.UNTOLD


def test_windows_tells_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def status(place: Any) -> int:
        told = place._obj
        assert told.bytes == 64  # as Windows has it, which refuses any other number
        told.numbers[0], told.numbers[1] = 16 << 30, 5 << 30
        return 1

    monkeypatch.setattr(system, "family", lambda: "windows")
    monkeypatch.setattr(
        system.ctypes, "WinDLL", lambda name: SimpleNamespace(GlobalMemoryStatusEx=status), raising=False
    )
    assert resources.available_memory(tmp_path) == 5 << 30


def test_a_process_is_not_asked_for_where_asking_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "family", lambda: "windows")
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("on Windows this ends the process"))
    assert system.runs(os.getpid())


def test_what_is_missing_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*LINUX, *UNIX):
        monkeypatch.delattr(os, name, raising=False)
    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.setattr(system, "_kernel_text", lambda path: "")
    assert system.processors() is None
    assert system.processor_count() == (os.cpu_count() or 1)
    assert system.user() is None
    assert system.process_space() is None
    assert system.memory_limits() == (None, None)
    assert not system.can_fork()
    assert system.page_bytes() == 4096
    assert system.machine_id()
    seconds, held = system.process_use() or (0.0, 0)
    assert seconds > 0
    assert held is None
    assert system.process_use(1) is None
    system.allow_files(100)
    system.at_forks(before=lambda: pytest.fail("nothing forks here"))


@pytest.mark.parametrize("word", [0, system.HWCAP_ASIMDDP, ~system.HWCAP_ASIMDDP & 0xFFFFFFFF])
def test_linux_on_arm_tells_of_dot_products(monkeypatch: pytest.MonkeyPatch, word: int) -> None:
    class Ask:
        """getauxval(3)."""

        def __call__(self, number: int) -> int:
            assert number == system.AT_HWCAP
            return word

    monkeypatch.setattr(system.sys, "platform", "linux")
    monkeypatch.setattr(system.ctypes, "CDLL", lambda name: SimpleNamespace(getauxval=Ask()))
    assert system.has_dot_products() is (word == system.HWCAP_ASIMDDP)
    monkeypatch.setattr(system.sys, "platform", "win32")
    assert system.has_dot_products() is None
