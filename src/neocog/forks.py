"""What a forked process must make anew.

fork copies memory, but of the threads only the one that called it. A lock that another thread held stays locked in the
child for ever, and a barrier waits for threads that do not exist. So what holds such things registers here, and is told
in every child before anything else runs there.
"""

from __future__ import annotations

import weakref
from typing import Protocol

from neocog.system import at_forks


class Forked(Protocol):
    """What must be told of a fork."""

    def after_fork(self) -> None:
        """Make locks and what depends on threads anew: this is the child, and has one thread."""


_registered: weakref.WeakSet[Forked] = weakref.WeakSet()


def tell_of_forks(owner: Forked) -> None:
    """Call `owner.after_fork()` in every process that is forked while `owner` lives."""
    _registered.add(owner)


def _tell() -> None:
    for owner in list(_registered):
        owner.after_fork()


at_forks(in_child=_tell)
