"""A server that answered for many images holds little more memory than before."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import threading, sys
import numpy as np
from neocog.app.page.memory import return_memory

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20

if sys.argv[1] == "returned":
    return_memory()
np.ones(8).sum()
before, kept = resident(), []

def work():
    pieces = [np.ones(2**20 // 8 * size) for size in (4, 8, 2, 1)]
    kept.append(np.ones(3000))  # small, and on top of what is freed
    del pieces

for _ in range(24):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
print(resident() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of Linux's memory")
def test_memory_of_answers_goes_back() -> None:
    grown = float(subprocess.run([sys.executable, "-c", SCRIPT, "returned"], capture_output=True, check=True).stdout)
    assert grown < 8  # MiB, of 15 that each thread had
