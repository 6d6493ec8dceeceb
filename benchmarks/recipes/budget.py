"""A training's budget of processor time: how much of it is over, which is where schedules are."""

from __future__ import annotations

import time


class Budget:
    """So many CPU seconds of this process, all threads together, from now on.

    CPU seconds and not those of a clock on the wall, so that neighbours on the machine take nothing from anybody.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._began = time.process_time()

    @property
    def spent(self) -> float:
        """CPU seconds since the beginning."""
        return time.process_time() - self._began

    @property
    def share(self) -> float:
        """How much of it is over, from 0 to 1."""
        return min(1.0, self.spent / self.seconds)
