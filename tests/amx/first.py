"""The first process of the emulated machine, where Python runs in it: makes it ready, runs /command, switches it off.

It is no module of the tests: python_root.py puts it at /init, behind the line that names its interpreter.
"""

import ctypes
import os
import subprocess
import sys
import termios
import time
from pathlib import Path

POWER_OFF = 0x4321FEDC  # of Linux: linux/reboot.h
C = ctypes.CDLL(None, use_errno=True)

for kind, place in (("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("tmpfs", "/tmp")):
    Path(place).mkdir(exist_ok=True)
    if C.mount(kind.encode(), place.encode(), kind.encode(), 0, None) != 0:
        print(f"{place} could not be mounted: {os.strerror(ctypes.get_errno())}")
Path("/proc/sys/kernel/printk").write_text("1")  # what Linux notes would come into the middle of lines of ours
settings = dict(line.split("=", 1) for line in Path("/settings").read_text().splitlines())
command = Path("/command").read_text().splitlines()
print("Linux", os.uname().release, *command, flush=True)
status = subprocess.run([sys.executable, *command], env=settings, check=False).returncode
print(f"ended with {status}\nthe end of all programs", flush=True)
termios.tcdrain(1)
time.sleep(1)  # the line to the world outside is slow
C.reboot(POWER_OFF)
