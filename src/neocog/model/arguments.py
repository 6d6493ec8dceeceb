"""What a network is made with, checked: class names, numbers for each channel, a seed, an engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from neocog.engines.base import Engine
from neocog.engines.precision import Precision
from neocog.errors import SettingError, ShapeError
from neocog.nn.limits import MAX_CLASSES, MAX_NAME, MAX_NAMES, shown

MAX_SEED = 2**64 - 1


def check_seed(seed: int) -> int:
    """Return `seed`, or raise SettingError unless it is an integer from 0 to 2^64 - 1."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= int(seed) <= MAX_SEED:
        raise SettingError(f"seed must be an integer from 0 to 2^64 - 1, got {seed!r}")
    return int(seed)


def check_count(name: str, value: int) -> int:
    """Return `value`, or raise SettingError unless it is an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise SettingError(f"{name} must be an integer of at least 1, got {value!r}")
    return int(value)


def check_numbers(name: str, value: float | Sequence[float]) -> tuple[float, ...]:
    """Return one number, or one for each channel, as a tuple.

    Raises:
        SettingError: it is neither.
    """
    try:
        entries = np.atleast_1d(np.asarray(value, np.float64))
    except (TypeError, ValueError, OverflowError):
        raise SettingError(f"{name} must be a number, or one for each channel, got {shown(value)}") from None
    if entries.ndim != 1:
        raise SettingError(f"{name} must be a number, or one for each channel, got {shown(value)}")
    return tuple(entries.tolist())


def check_names(names: Sequence[str] | None, outputs: int) -> tuple[str, ...]:
    """Return the class names of a network with so many outputs; without names, they are numbers.

    Raises:
        SettingError: they are not names, not different from each other, or too many.
        ShapeError: they are not as many as the outputs.

    >>> check_names(None, 3)
    ('0', '1', '2')
    """
    if outputs > MAX_CLASSES:
        raise SettingError(f"a model may have at most {MAX_CLASSES:,} classes, got {outputs:,} outputs")
    if names is None:
        return tuple(map(str, range(outputs)))
    if isinstance(names, str):
        raise SettingError(f"class_names must be a list of names, got the text {shown(names)}")
    names = tuple(names)
    size = 0
    for name in names:
        if not isinstance(name, str) or not name:
            raise SettingError(f"class_names must be texts that are not empty, got {shown(name)}")
        if len(name) > MAX_NAME:
            raise SettingError(f"class_names may have at most {MAX_NAME:,} characters each, got {shown(name)}")
        try:
            size += len(name.encode())
        except UnicodeEncodeError:
            raise SettingError(f"class_names must be valid Unicode, got {shown(name)}") from None
    if len(set(names)) < len(names):
        repeated = min(name for name, times in Counter(names).items() if times > 1)
        raise SettingError(f"class_names must differ, got {shown(repeated)} more than once")
    if len(names) != outputs:
        raise ShapeError(
            f"class_names must be as many as the network's outputs, {outputs}, got {len(names)}",
            hint=f"end the network with Linear({len(names)})",
        )
    if size > MAX_NAMES:
        raise SettingError(f"class_names may have at most {MAX_NAMES:,} bytes in all, got {size:,}")
    return names


def resolve_engine(engine: str | Engine, precision: Precision = "float32") -> Engine:
    """Return the engine of a name; an Engine is passed through.

    Raises:
        SettingError: an Engine that was made already is to compute with something else.
    """
    if isinstance(engine, str):
        from neocog.engines import get_engine  # here, so that a model can be made and saved without loading one

        return get_engine(engine, precision)
    if precision not in ("float32", getattr(engine, "precision", "float32")):
        raise SettingError(
            f"precision={precision!r} is for engines by name, got one that is made already",
            hint="NativeEngine(precision=...) and TorchEngine(precision=...) take one of their own",
        )
    return engine
