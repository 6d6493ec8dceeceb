"""What this process may use: processors, memory, and a folder to cache in.

Containers and batch systems limit a process by control groups, which lie in each other: every group on the way up
limits all that is below it, so the tightest one counts. Version 2 is one tree of groups; version 1 has a tree for each
controller; a system may have both. Where a container has no namespace of its own for them, /proc/self/cgroup names the
group by its path on the host, of which /sys/fs/cgroup shows the container's own part alone.

Functions that read /proc and /sys take the folder in which these lie: "/", but for tests.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

from neocog.reading import expanded, read_text
from neocog.system import cache_home, free_memory, memory_limits, page_bytes, processor_count

ROOT = Path("/")
UNTOLD = 4 << 30  # bytes that count as available where the system does not tell
_MOST = 1 << 20  # bytes of a file of the kernel
NUMPY_BYTES = 124 << 20  # what NumPy takes when it is loaded; OpenBLAS ends a process that has less
_NO_EXCEPTION = "without exception set"
_NO_MEMORY = ("cannot allocate memory", "failed to map segment", "cannot create shared object descriptor")
# What a group's usage holds and gives back as soon as somebody needs it: what was read from files, and names of files.
_GIVEN_BACK = ("inactive_file", "active_file", "slab_reclaimable")


def available_threads(root: Path = ROOT) -> int:
    """Return the number of threads that this process may keep busy: its affinity, cut to the quotas of its groups.

    NEOCOG_THREADS=N in the environment says a number instead, for those who know better; what is no whole number from
    1 to 9,999 is ignored.
    """
    told = os.environ.get("NEOCOG_THREADS", "")
    if re.fullmatch("[1-9][0-9]{0,3}", told):
        return int(told)
    affinity = processor_count()
    quotas = [quota for group in _groups("cpu", root) if (quota := _quota(group)) is not None]
    return max(1, min(affinity, *map(math.ceil, quotas)) if quotas else affinity)


def available_memory(root: Path = ROOT) -> int:
    """Return the bytes of memory that this process may still take, as far as the system tells.

    On Linux the least of what the machine has left, what each control group has left (a container is one), and what
    the limits of this process leave (`ulimit -v`); on macOS and Windows what the machine has left. Where nothing is
    told, 4 GiB.
    """
    left = [room for group in _groups("memory", root) if (room := _room(group)) is not None]
    machine = _fields(root / "proc/meminfo").get("MemAvailable:")
    if machine is not None:
        left.append(machine * 1024)
    elif (free := free_memory()) is not None:
        left.append(free)
    return max(0, min([*left, *_within_limits(root)], default=UNTOLD))


def require_memory(size: int, purpose: str) -> None:
    """Refuse a purpose for which the limits on this process (`ulimit -v`) leave too little.

    It is for code that ends the process, instead of raising an error, when it gets no memory.

    Raises:
        MemoryError: they leave less than `size` bytes.
    """
    left = min(_within_limits(ROOT), default=size)
    if left < size:
        has = f"the limits of this process leave {max(0, left) >> 20}"
        raise MemoryError(f"{purpose} takes about {size >> 20} MB of memory, and {has}")


def lacks_memory(error: BaseException) -> bool:
    """Whether an error, or one that it came from, says that there was no memory.

    What loads libraries says so in words of its own. And code in C that gets no memory, and does not say so, fails with
    a SystemError: under a limit of the process that is what it means.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, MemoryError):
            return True
        if isinstance(seen, ImportError | OSError) and any(words in str(seen).lower() for words in _NO_MEMORY):
            return True
        if isinstance(seen, SystemError) and _NO_EXCEPTION in str(seen) and _limits():
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def cache_folder() -> Path | None:
    """Return the folder for what is worth keeping between runs; None where there is none, such as without a home.

    NEOCOG_CACHE names one; otherwise it lies where the system has such folders.
    """
    chosen = os.environ.get("NEOCOG_CACHE")
    if chosen:
        return expanded(chosen)
    home = cache_home()
    return None if home is None else home / "neocog"


def _groups(controller: str, root: Path) -> Iterator[Path]:
    """Yield the folders of this process's control groups for a controller, from its own up to the outermost seen."""
    mounted = root / "sys/fs/cgroup"
    lines = _lines(root / "proc/self/cgroup") or ["0::/", f"1:{controller}:/"]
    for line in lines:
        _, _, named = line.partition(":")
        controllers, _, path = named.partition(":")
        if not controllers:
            # beside version 1, version 2 has a folder of its own
            tops = [mounted / "unified" if (mounted / "unified").is_dir() else mounted]
        elif controller in controllers.split(","):
            # The folder may name them in another order than the kernel does, with no link of the kernel's name.
            tops = [mounted / controllers, mounted / controller, *_named(mounted, set(controllers.split(",")))]
        else:
            continue
        top = next((top for top in tops if top.is_dir()), None)
        if top is not None:
            yield from _upwards(_below(top, path), top)


def _named(mounted: Path, controllers: set[str]) -> list[Path]:
    """Return the folders that are named by these controllers, in any order."""
    try:
        return sorted(folder for folder in mounted.iterdir() if set(folder.name.split(",")) == controllers)
    except OSError:
        return []


def _below(top: Path, path: str) -> Path:
    """Return the folder of the group called `path`, of which `top` may show an inner part alone."""
    names = [name for name in path.split("/") if name not in ("", "..")]
    tails = (top.joinpath(*names[first:]) for first in range(len(names) + 1))
    return next(folder for folder in tails if folder == top or folder.is_dir())


def _upwards(folder: Path, top: Path) -> Iterator[Path]:
    yield folder
    while folder != top:
        folder = folder.parent
        yield folder


def _quota(group: Path) -> float | None:
    """Return how many processors' worth of time a group gets; None where it has no limit."""
    words = " ".join(_lines(group / "cpu.max")).split()
    if not words:
        words = [*_lines(group / "cpu.cfs_quota_us"), *_lines(group / "cpu.cfs_period_us")]
    limit, period = [_number(word) for word in words] if len(words) == 2 else (None, None)
    return limit / period if limit is not None and period else None


def _room(group: Path) -> int | None:
    """Return the bytes that a group may still take; None where it has no limit."""
    told = _fields(group / "memory.stat")
    limits = [_first(group / name) for name in ("memory.max", "memory.high", "memory.limit_in_bytes")]
    limits.append(told.get("hierarchical_memory_limit"))  # version 1: of all groups above, those unseen included
    known = [limit for limit in limits if limit is not None]
    if not known:
        return None
    used = _first(group / "memory.current") or _first(group / "memory.usage_in_bytes") or 0
    # In version 1, only the totals count the groups below, as usage does.
    given_back = sum(told.get(f"total_{name}", told.get(name, 0)) for name in _GIVEN_BACK)
    return max(0, min(known) - max(0, used - given_back))


def _limits() -> list[tuple[int, int]]:
    """Return the limits on this process's address space and data in bytes, each with its place in /proc/self/statm."""
    return [(most, place) for most, place in zip(memory_limits(), (0, 5), strict=True) if most is not None]


def _within_limits(root: Path) -> Iterator[int]:
    """Yield the bytes that the limits on this process's address space and data leave."""
    limits = _limits()
    if not limits:
        return
    pages = [_number(word) or 0 for word in " ".join(_lines(root / "proc/self/statm")).split()]
    page = page_bytes()
    for most, place in limits:
        yield most - (pages[place] * page if len(pages) > place else 0)


def _fields(path: Path) -> dict[str, int]:
    """Read lines of a name and a number."""
    words = (line.split() for line in _lines(path))
    return {word[0]: number for word in words if len(word) > 1 and (number := _number(word[1])) is not None}


def _first(path: Path) -> int | None:
    lines = _lines(path)
    return _number(lines[0]) if lines else None


def _number(text: str) -> int | None:
    """Read a number of the kernel; None for "max", and for -1, which mean none."""
    return int(text) if text.isascii() and text.isdigit() else None


def _lines(path: Path) -> list[str]:
    """Read a file of the kernel; nothing where it is missing or may not be read."""
    try:
        return [line for line in read_text(path, _MOST).split("\n") if line]
    except (OSError, ValueError):
        return []
