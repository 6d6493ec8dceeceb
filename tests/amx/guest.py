"""Python within the emulated machine: says what the processor is, or runs the checks, each in a child of its own.

    python -m amx.guest processor
    python -m amx.guest check DIGESTS [CHECK …]

A child begins as a process that nobody has given tiles to, and that has no threads. Each check ends in one line,
"passed NAME" or "failed NAME", with what was wrong ahead of it.
"""

from __future__ import annotations

import ctypes
import dataclasses
import faulthandler
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from neocog.jit.host import host_target
from neocog.system import ARCH_PRCTL, TILE_DATA

GET_PERMISSIONS = 0x1022  # of Linux: asm/prctl.h
PAUSE = 0.002  # seconds between two looks at a child
LIMIT = 120.0  # seconds that a check may take, of the emulated clock: four times what the longest one does


def permitted() -> bool:
    """Whether Linux has given tile registers to this process."""
    found = ctypes.c_uint64()
    assert ctypes.CDLL(None).syscall(ARCH_PRCTL, GET_PERMISSIONS, ctypes.byref(found)) == 0
    return bool(found.value >> TILE_DATA & 1)


def in_a_child(work: Callable[[], object]) -> int:
    """Return how a forked child ended that does some work: 0, minus the number of a signal, or the status it left.

    One that hangs says where, and is ended: by its parent, since the child of a process in which faulthandler looks at
    the clock would wait for ever for that thread.
    """
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            faulthandler.register(signal.SIGUSR1, chain=False)
            faulthandler.enable()  # as pytest and many servers do: a stack for signals of its own
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)
    for told in (signal.SIGUSR1, signal.SIGKILL):
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            found, how = os.waitpid(child, os.WNOHANG)
            if found:
                return os.waitstatus_to_exitcode(how)
            time.sleep(PAUSE)
        os.kill(child, told)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def say_processor() -> None:
    """Print what neocog takes the processor for."""
    print(f"processor {json.dumps(dataclasses.asdict(host_target()))}", flush=True)


def check_all(wanted: list[str]) -> None:
    """Run the checks, or those whose names begin as wanted."""
    from amx.checks import CHECKS
    from neocog.jit import executable

    executable.WORTH_WAKING = executable.WORTH_MEETING = 0  # however short a program, all threads run it
    for name, work in CHECKS.items():
        if wanted and not any(name.startswith(each) for each in wanted):
            continue
        start = time.perf_counter()
        status = in_a_child(work)
        assert not permitted(), "a check has asked in the process that they all begin as"
        told = "passed" if status == 0 else "failed"
        taken = f"{time.perf_counter() - start:.1f} s of the emulated clock"
        print(f"{told} {name}  ({taken}{'' if status == 0 else f', ended with {status}'})", flush=True)


def main() -> None:
    if sys.argv[1] == "processor":
        say_processor()
        return
    from amx import checks

    checks.EXPECTED.update(json.loads(Path(sys.argv[2]).read_text()))
    check_all(sys.argv[3:])


if __name__ == "__main__":
    main()
