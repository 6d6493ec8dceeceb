"""What networks compute with: float32; bfloat16 on processors that multiply tiles of it; or, to predict, int8.

bfloat16 is float32 with 8 bits of precision in place of 24. Factors of products are rounded to it, sums are not. Only
tile registers (AMX, in Intel's servers since 2023) make that worth it; any other processor gets the same numbers by a
detour. So float32 is what all begin with: the same file then gives the same probabilities everywhere.

int8 is for predictions alone, of networks that were quantised (docs/int8.md); "auto" never means it.
"""

from __future__ import annotations

import warnings
from typing import Literal, cast, get_args

from neocog.errors import NeocogWarning, SettingError
from neocog.nn.limits import shown

Precision = Literal["float32", "bfloat16", "int8", "auto"]
Settled = Literal["float32", "bfloat16"]

HOW_TO_QUANTISE = "neocog quantise MODEL DATA prepares a model for int8, in Python model.quantise(images, labels)"

PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def check_precision(value: object) -> Precision:
    """Return a precision.

    Raises:
        SettingError: it is none.

    >>> check_precision("auto")
    'auto'
    """
    for known in PRECISIONS:
        if value == known:
            return known
    raise SettingError(f"precision must be one of {', '.join(PRECISIONS)}, got {shown(value)}")


def check_settled(value: object) -> Settled:
    """Return what an engine computes with.

    Raises:
        SettingError: it is neither of the two. "auto" is for engines by name.

    >>> check_settled("bfloat16")
    'bfloat16'
    """
    if value in get_args(Settled):
        return cast(Settled, value)
    raise SettingError(
        f"the precision of an engine must be one of {', '.join(get_args(Settled))}, got {shown(value)}",
        hint='engines by name take "auto": Model(..., engine="native", precision="auto")' if value == "auto" else None,
    )


def settled(precision: Precision) -> Settled:
    """Return what an engine is made for: "auto" is bfloat16 where this processor has tile registers, and this process
    may use them.

    Raises:
        SettingError: it is "int8", which `Int8Engine.int8_predictor` of any engine that has it computes with.

    Warns:
        NeocogWarning: bfloat16 is asked for where it is the slower way.
    """
    if precision == "int8":
        raise SettingError("int8 is for predictions of a network that was quantised", hint=HOW_TO_QUANTISE)
    if precision == "float32":
        return precision
    reason = _why_not()
    if precision == "auto":
        return "bfloat16" if reason is None else "float32"
    if reason is not None:
        warning = NeocogWarning(
            f"bfloat16 is slower than float32 here: {reason}",
            hint='"auto" takes bfloat16 only where the processor multiplies tiles of it',
        )
        warnings.warn(warning, stacklevel=1)  # of this line, so that it is told once
    return precision


def would_gain() -> bool:
    """Whether "auto" computes with bfloat16 here."""
    return _why_not() is None


def has_instructions() -> bool:
    """Whether this processor multiplies tiles of bfloat16, whether or not the system lets this process use that."""
    from neocog.jit.host import has_tiles, host_target  # here, since it loads the compiler

    return has_tiles(host_target())


def _why_not() -> str | None:
    from neocog.jit.host import why_no_tiles  # here, since it loads the compiler

    return why_no_tiles()
