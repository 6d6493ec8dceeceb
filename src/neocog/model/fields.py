"""The fields of a file's JSON, checked one by one; what is wrong is said with its place."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from neocog.errors import FormatError
from neocog.model.json_values import listed, shown_value

MAX_INTEGER = (1 << 53) - 1  # beyond it, not every reader of JSON has integers


def check_keys(where: str, data: object, keys: tuple[str, ...], optional: tuple[str, ...] = ()) -> Mapping[str, Any]:
    """Return `data` as a mapping, or raise FormatError unless it is an object with exactly these keys.

    Arguments:
        where: what messages call it.
        data: JSON values, from anywhere.
        keys: those that must be there.
        optional: those that may be, too.
    """
    if not isinstance(data, Mapping):
        raise FormatError(f"{where} must be an object, got {shown_value(data)}")
    faults = [f"missing: {key}" for key in keys if key not in data]
    faults += [f"unknown: {shown_value(key)}" for key in data if key not in keys and key not in optional]
    if faults:
        perhaps = f" (and perhaps {', '.join(optional)})" if optional else ""
        raise FormatError(f"{where} must have exactly the keys {', '.join(keys)}{perhaps}", details=listed(faults))
    return data


def check_integer(where: str, value: object, least: int = 0, most: int = MAX_INTEGER) -> int:
    """Return `value`, or raise FormatError unless it is an integer from `least` to `most`."""
    if type(value) is not int or value < least:
        raise FormatError(f"{where} must be an integer of at least {least}, got {shown_value(value)}")
    if value > most:
        raise FormatError(f"{where} must be at most {most:,}, got {shown_value(value)}")
    return value


def check_number(where: str, value: object, least: float | None = None) -> float:
    """Return `value`, or raise FormatError unless it is a finite number, and of at least `least`."""
    if type(value) not in (int, float) or not is_finite(value):
        raise FormatError(f"{where} must be a finite number, got {shown_value(value)}")
    assert isinstance(value, int | float)
    if least is not None and value < least:
        raise FormatError(f"{where} must be {least:g} or more, got {shown_value(value)}")
    return value


def is_finite(value: Any) -> bool:
    """Whether a number is one that floats hold."""
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the floats
        return False
