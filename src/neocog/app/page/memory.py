"""Memory that arrays took goes back to the system, so that a page that is open for hours stays small."""

from __future__ import annotations

from neocog.system import c_library

# of mallopt, as in glibc's malloc.h
M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8
LARGE = 256 * 1024  # bytes, from which memory is a mapping of its own, which ends with it
ARENAS = 2


def return_memory() -> None:
    """Have the C library hand large pieces back at once.

    By itself glibc keeps pieces of up to 32 MiB once such were freed, in an arena for each of many threads, of which
    each answer of a page has one: 50 photographs then leave twice as much memory behind as is in use. Other libraries
    are left as they are.
    """
    mallopt = getattr(c_library(), "mallopt", None)
    if mallopt is not None:  # musl has none
        mallopt(M_MMAP_THRESHOLD, LARGE)
        mallopt(M_ARENA_MAX, ARENAS)
