"""What writes the code of an op."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Emitters = dict[type[Any], Callable[..., None]]
"""By kinds of ops: of a builder, the kernel's memory, the op, and the first and the end of the items to be done."""
