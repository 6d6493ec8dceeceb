"""A training's budget of processor time: how much of it is over, which is where schedules are."""

from __future__ import annotations

import os


def cpu_seconds() -> float:
    """Return the CPU seconds of this process, all threads together, and of children that have ended.

    Unlike those of a clock on the wall, neighbours on the machine take few of them.
    """
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class Budget:
    """So many CPU seconds from now on."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._began = cpu_seconds()

    @property
    def spent(self) -> float:
        """CPU seconds since the beginning."""
        return cpu_seconds() - self._began

    @property
    def share(self) -> float:
        """How much of it is over, from 0 to 1."""
        return min(1.0, self.spent / self.seconds)
