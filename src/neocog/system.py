"""What operating systems do differently, in one place: Linux, macOS and Windows, each asked in its own way.

Nothing else in neocog looks at which system it runs on. Where one has no such call, the answer is None, or nothing is
done, and whoever asks goes on without: with fewer limits known, a folder that is not locked, a guess.

What control groups and /proc tell of limits is in resources.py, and what compiled code calls to wait is decided by the
triple that it is compiled for (emit/waiting.py). neocog has run on Linux alone: what is said here of macOS and Windows
follows their documentation, and tests take the calls of Linux away.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

Family = Literal["linux", "macos", "windows", "other"]

LOCK = ".neocog-lock"
"""The file that Windows locks in place of its folder; it goes when it is closed, however that comes about."""

HANGUP: signal.Signals | None = getattr(signal, "SIGHUP", None)
"""The signal that a closed terminal sends; Windows has none."""

TEMPORARY = 0x40  # of Windows' C library, _O_TEMPORARY: the file is removed with its last handle
# Of Linux on x86-64: asm/unistd_64.h, asm/prctl.h and asm/fpu/types.h.
ARCH_PRCTL, REQUEST_PERMISSION, TILE_DATA = 158, 0x1023, 18
# Of Linux on AArch64: linux/auxvec.h and asm/hwcap.h.
AT_HWCAP, HWCAP_ASIMDDP = 16, 1 << 20
_MOST = 1 << 16  # bytes of a file of the kernel
_HELD = (errno.EACCES, errno.EDEADLK)  # what Windows' C library says of bytes that somebody else has locked


def family() -> Family:
    """Return which system this is."""
    names: dict[str, Family] = {"linux": "linux", "darwin": "macos", "win32": "windows"}
    return names.get(sys.platform, "other")


# -- processors --------------------------------------------------------------------------------------------------------


def processors() -> list[int] | None:
    """Return the processors that this process may run on, by number; None where the system binds nobody to any."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def processor_count() -> int:
    """Return how many processors this process may run on."""
    bound = processors()
    return len(bound) if bound is not None else os.cpu_count() or 1


def run_on(numbers: list[int]) -> None:
    """Bind this process to processors that it may run on; only where `processors` knows them.

    Raises:
        OSError: the system refuses it, as some sandboxes do, or it may run on none of them.
    """
    os.sched_setaffinity(0, numbers)


def processor_name() -> str:
    """Return the name of the processor, as the system tells it."""
    if family() == "macos":
        return _sysctl_text("machdep.cpu.brand_string") or platform.machine()
    lines = _kernel_text("/proc/cpuinfo").split("\n") if family() == "linux" else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    board = _kernel_text("/proc/device-tree/model").strip("\0\n ")  # of ARM, whose processors are told by number alone
    return next(names, "") or board or platform.processor() or platform.machine()


def data_cache_bytes(level: int) -> int | None:
    """Return the size of a core's data cache; None where the system does not tell.

    Arguments:
        level: 1 or 2. On macOS, of the fast cores, where there are two kinds.
    """
    if family() == "macos":
        name = {1: "l1dcachesize", 2: "l2cachesize"}[level]
        return _sysctl_number(f"hw.perflevel0.{name}") or _sysctl_number(f"hw.{name}")
    for entry in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            if (entry / "level").read_text().strip() != str(level) or "Instruction" in (entry / "type").read_text():
                continue
            text = (entry / "size").read_text().strip()
            return int(text.removesuffix("K")) << (10 if text.endswith("K") else 0)
        except (OSError, ValueError):
            continue
    return None


def has_dot_products() -> bool | None:
    """Return whether an AArch64 processor has dot products of bytes; None where the system does not tell."""
    if family() == "macos":
        found = _sysctl_number("hw.optional.arm.FEAT_DotProd")
        return None if found is None else bool(found)
    ask = getattr(c_library(), "getauxval", None)
    if ask is None:
        return None
    ask.restype, ask.argtypes = ctypes.c_ulong, [ctypes.c_ulong]
    return bool(ask(AT_HWCAP) & HWCAP_ASIMDDP)


def permit_tiles() -> bool:
    """Ask Linux for the tile registers (AMX), which it gives to those who ask; whether it gave them.

    They make what it keeps of a thread larger. It refuses where kernel or processor lack them, or a thread handles
    signals on a stack that is too small for them.
    """
    if family() != "linux" or platform.machine() != "x86_64":
        return False
    try:
        call = ctypes.CDLL(None, use_errno=True).syscall
        return bool(call(ARCH_PRCTL, REQUEST_PERMISSION, TILE_DATA) == 0)
    except (OSError, AttributeError):
        return False


# -- memory ------------------------------------------------------------------------------------------------------------


def free_memory() -> int | None:
    """Return the bytes that the machine has left; None where it is not told. On Linux, files of the kernel tell it."""
    if family() == "macos":
        whole, percent = _sysctl_number("hw.memsize"), _sysctl_number("kern.memorystatus_level")
        return None if whole is None or percent is None else whole * percent // 100
    return _windows_memory() if family() == "windows" else None


def memory_limits() -> tuple[int | None, int | None]:
    """Return the most bytes of addresses and of data that this process may have; None where there is no limit."""
    try:
        import resource  # not on every system
    except ImportError:
        return None, None
    found = (resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA))
    addresses, data = (None if most == resource.RLIM_INFINITY else most for most in found)
    return addresses, data


def page_bytes() -> int:
    """Return the size of a page of memory."""
    return os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def c_library() -> Any:
    """Return the functions of Linux' C library; None elsewhere, where they differ."""
    return ctypes.CDLL(None) if family() == "linux" else None


# -- processes ---------------------------------------------------------------------------------------------------------


def can_fork() -> bool:
    """Whether a process can become two."""
    return hasattr(os, "fork")


def at_forks(
    *,
    before: Callable[[], object] | None = None,
    in_parent: Callable[[], object] | None = None,
    in_child: Callable[[], object] | None = None,
) -> None:
    """Have something called at every fork from now on: before it, and behind it on either side."""
    if hasattr(os, "register_at_fork"):
        calls = {"before": before, "after_in_parent": in_parent, "after_in_child": in_child}
        os.register_at_fork(**{name: call for name, call in calls.items() if call is not None})


def user() -> int | None:
    """Return the number of the user whose rights this process has; None where files belong to nobody by number."""
    return os.geteuid() if hasattr(os, "geteuid") else None


def runs(process: int) -> bool:
    """Whether there is a process of that number, or no telling."""
    if family() == "windows":  # where asking, os.kill(process, 0), would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # it is another user's
        return True
    return True


def machine_id() -> str:
    """Return what tells this machine, since it was started, from others; its name where the system has no such word."""
    return _boot_id() or platform.node()


def process_space() -> str | None:
    """Return what processes have in common that can see each other's memory and end; None where nobody knows."""
    if not hasattr(os, "pidfd_open") or not hasattr(os, "memfd_create"):
        return None
    started = _boot_id()
    try:
        return f"{started} {Path('/proc/self/ns/pid').stat().st_ino}" if started else None
    except OSError:
        return None


def seen_by_others(handle: int) -> str:
    """Return a path by which other processes of a `process_space` can open what this one has open."""
    return f"/proc/{os.getpid()}/fd/{handle}"


def can_read_at() -> bool:
    """Whether several threads may read a file at once, each at a place of its own."""
    return hasattr(os, "pread")


def signals(*names: str) -> Iterator[int]:
    """Yield the numbers of those signals that the system has."""
    for name in names:
        number = getattr(signal, name, None)
        if number is not None:
            yield number


def process_use(process: int | None = None) -> tuple[float, int | None] | None:
    """Return the seconds of processor time that a process has taken, and the bytes of memory that it holds.

    Arguments:
        process: its number; None: this one, of which most systems tell the time alone.
    """
    words = _kernel_text(f"/proc/{process or 'self'}/stat").rpartition(")")[2].split()
    if len(words) > 21:
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK"), int(words[21]) * page_bytes()
    return None if process is not None else (sum(os.times()[:2]), None)


def allow_files(wanted: int) -> None:
    """Have this process, and those that it starts, open so many files and connections, as far as the system lets it.

    Many systems begin with 1024, of which the connections of a server alone may be as many.
    """
    try:
        import resource  # not on every system
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


# -- folders -----------------------------------------------------------------------------------------------------------


def cache_home() -> Path | None:
    """Return the folder in which programs of this user keep what they can make anew; None where there is none.

    XDG_CACHE_HOME must be absolute, as its specification says (XDG Base Directory Specification): a relative one is
    ignored. macOS has ~/Library/Caches (Apple's File System Programming Guide), Windows the folder that LOCALAPPDATA
    names.
    """
    named = {"macos": "", "windows": "LOCALAPPDATA"}.get(family(), "XDG_CACHE_HOME")
    chosen = Path(os.environ.get(named, "")) if named else Path()
    if chosen.is_absolute():
        return chosen
    try:
        home = Path.home()
    except (RuntimeError, OSError):  # neither HOME nor an entry for this user
        return None
    inside = {"macos": "Library/Caches", "windows": "AppData/Local"}.get(family(), ".cache")
    return home / inside if home.is_absolute() else None


def lock_folder(folder: Path) -> int | None:
    """Lock a folder for as long as what is returned is open, which the end of the process ends.

    Unix locks the folder itself, so that no file of the lock can be left behind; Windows a file in it, which goes with
    the lock. Where neither can be done, as on some network file systems, nothing keeps two apart, and what is returned
    may be None.

    Raises:
        BlockingIOError: somebody holds the lock.
        OSError: there is no such folder, or it cannot be opened.
    """
    if family() == "windows":
        return _lock_file(folder / LOCK)
    try:
        import fcntl
    except ImportError:
        return None
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise
    except OSError:
        pass
    return handle


def _lock_file(path: Path) -> int | None:
    try:
        import msvcrt
    except ImportError:
        return None
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOINHERIT", 0) | (TEMPORARY if os.name == "nt" else 0)
    try:
        handle = os.open(path, flags)
    except PermissionError:  # so Windows refuses a file that goes just then, with its last handle
        handle = os.open(path, flags)
    try:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except OSError as error:
        if error.errno in _HELD:
            os.close(handle)
            raise BlockingIOError(*error.args[:2]) from None
    return handle


def has_screen() -> bool:
    """Whether a window can open; without one, webbrowser would start a browser inside the terminal."""
    if family() in ("macos", "windows"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


# -- how they are asked ------------------------------------------------------------------------------------------------


def _kernel_text(path: str) -> str:
    """Read a file of Linux' kernel; nothing where there is none, or it may not be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - of the kernel, and never waits
            return file.read(_MOST)
    except OSError:
        return ""


def _boot_id() -> str:
    """Return what Linux calls the time since it was started; nothing where it does not."""
    return _kernel_text("/proc/sys/kernel/random/boot_id").strip()


def _sysctl(name: str, size: int) -> bytes | None:
    """Ask macOS by name (its manual, sysctl(3)); None where it knows no such name."""
    try:
        ask = ctypes.CDLL(None).sysctlbyname
    except (OSError, AttributeError):
        return None
    answer, length = ctypes.create_string_buffer(size), ctypes.c_size_t(size)
    if ask(name.encode(), answer, ctypes.byref(length), None, ctypes.c_size_t(0)) != 0:
        return None
    return answer.raw[: length.value]


def _sysctl_number(name: str) -> int | None:
    answer = _sysctl(name, 8)
    return int.from_bytes(answer, "little") if answer and len(answer) in (4, 8) else None


def _sysctl_text(name: str) -> str:
    return (_sysctl(name, 256) or b"").split(b"\0")[0].decode("utf-8", "replace")


class _MemoryStatus(ctypes.Structure):
    """What Windows tells of memory: MEMORYSTATUSEX of sysinfoapi.h."""

    _fields_ = (("bytes", ctypes.c_uint32), ("percent", ctypes.c_uint32), ("numbers", ctypes.c_uint64 * 7))


def _windows_memory() -> int | None:
    try:
        ask = ctypes.WinDLL("kernel32").GlobalMemoryStatusEx  # type: ignore[attr-defined]
    except (OSError, AttributeError):
        return None
    status = _MemoryStatus(bytes=ctypes.sizeof(_MemoryStatus))
    return int(status.numbers[1]) if ask(ctypes.byref(status)) else None  # the second: bytes that are left
