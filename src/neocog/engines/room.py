"""Memory that a program needs, held against what is left, before any is taken.

The system hands memory out when it is written to, not when it is asked for: without this, a network too large for the
machine would not fail but be killed, or the machine would stand still.
"""

from __future__ import annotations

from neocog.errors import EngineError
from neocog.resources import available_memory

WORTH_ASKING = 256 << 20  # bytes: what is left is looked up in some files of the kernel, which takes a while


def lacking(needed: int) -> int | None:
    """Return the bytes that are left where they are fewer than needed; None where there is room."""
    if needed < WORTH_ASKING:
        return None
    left = available_memory()
    return left if needed > left else None


def check_room(what: str, needed: int) -> None:
    """Raise EngineError where `what` needs more bytes than are left."""
    left = lacking(needed)
    if left is not None:
        raise EngineError(
            f"{what} needs {needed / 1e9:,.1f} GB of memory, {left / 1e9:,.1f} GB are left",
            hint="use a smaller batch size, fewer threads or smaller images, or close other programs",
        )
