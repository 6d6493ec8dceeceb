"""What a setting's value may be: checked where a caller gives it, and where a file does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from neocog.data.augment.transform import Transform
from neocog.errors import FormatError, SettingError
from neocog.model.fields import MAX_INTEGER, check_integer, check_number
from neocog.model.json_values import shown_value
from neocog.model.kinds import from_json, to_json
from neocog.nn.limits import shown

MOST_ENTRIES = 1000
"""Entries of a list."""


class Form(Protocol):
    """What a value may be."""

    def checked(self, name: str, value: Any) -> Any:
        """Return a caller's value as it is kept, or raise SettingError."""

    def to_json(self, value: Any) -> object:
        """Return a value as JSON values."""

    def from_json(self, where: str, data: object) -> Any:
        """Return what `to_json` gave as a value, or raise FormatError."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number from `least` to `most`."""

    least: int = 1
    most: int = MAX_INTEGER

    def checked(self, name: str, value: Any) -> int:
        """Return a whole number, NumPy's too; True is none."""
        if isinstance(value, int | np.integer) and not isinstance(value, bool) and self.least <= value <= self.most:
            return int(value)
        need = f"of at least {self.least}" if self.most == MAX_INTEGER else f"from {self.least} to {self.most}"
        raise SettingError(f"{name} must be an integer {need}, got {shown(value)}")

    def to_json(self, value: int) -> object:
        """Return it as it is."""
        return value

    def from_json(self, where: str, data: object) -> int:
        """Return an integer in its range."""
        return check_integer(where, data, self.least, self.most)


@dataclass(frozen=True, slots=True)
class Real:
    """A finite number from `low` (above it, where `above`) to below `high`, of a unit."""

    low: float = 0.0
    high: float = math.inf
    above: bool = False
    unit: str = ""

    @property
    def need(self) -> str:
        """What a value must be, in words."""
        need = f"above {self.low:g}" if self.above else f"{self.low:g} or more"
        return need + (f" and below {self.high:g}" if math.isfinite(self.high) else "")

    def _holds(self, value: float) -> bool:
        return (self.low < value if self.above else self.low <= value) and value < self.high

    def checked(self, name: str, value: Any) -> float:
        """Return a number in its range."""
        number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
        if number and self._holds(value):  # NaN is in no range
            return float(value)
        raise SettingError(f"{name} must be {self.need}{self.unit and f' {self.unit}'}, got {shown(value)}")

    def to_json(self, value: float) -> object:
        """Return it as it is."""
        return value

    def from_json(self, where: str, data: object) -> float:
        """Return a number in its range."""
        value = check_number(where, data)
        if not self._holds(value):
            raise FormatError(f"{where} must be {self.need}, got {shown_value(data)}")
        return value


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of a family of frozen data, such as an optimizer.

    Arguments:
        family: its base class.
        example: how to write one.
    """

    family: type
    example: str

    def checked(self, name: str, value: Any) -> Any:
        """Return one of the family."""
        if not isinstance(value, self.family):
            raise SettingError(
                f"{name} must be of the type {self.family.__name__}, got {shown(value)}",
                hint=f"write {name}=nc.{self.example}",
            )
        return value

    def to_json(self, value: Any) -> object:
        """Return its kind and fields."""
        return to_json(value)

    def from_json(self, where: str, data: object) -> Any:
        """Return one of the kinds that files know."""
        return from_json(self.family, data, where)


@dataclass(frozen=True, slots=True)
class Text:
    """A text that is not empty."""

    def checked(self, name: str, value: Any) -> str:
        """Return a text."""
        if not isinstance(value, str) or not value:
            raise SettingError(f"{name} must hold texts that are not empty, got {shown(value)}")
        return value

    def to_json(self, value: str) -> object:
        """Return it as it is."""
        return value

    def from_json(self, where: str, data: object) -> str:
        """Return a text."""
        if not isinstance(data, str) or not data:
            raise FormatError(f"{where} must be a text that is not empty, got {shown_value(data)}")
        return data


@dataclass(frozen=True, slots=True)
class Word:
    """One of a few words."""

    words: tuple[str, ...]

    def checked(self, name: str, value: Any) -> str:
        """Return one of the words."""
        if not isinstance(value, str) or value not in self.words:
            raise SettingError(f"{name} must be {' or '.join(self.words)}, got {shown(value)}")
        return value

    def to_json(self, value: str) -> object:
        """Return it as it is."""
        return value

    def from_json(self, where: str, data: object) -> str:
        """Return one of the words."""
        if not isinstance(data, str) or data not in self.words:
            raise FormatError(f"{where} must be {' or '.join(self.words)}, got {shown_value(data)}")
        return data


@dataclass(frozen=True, slots=True)
class YesNo:
    """Yes or no."""

    def checked(self, name: str, value: Any) -> bool:
        """Return True or False."""
        if not isinstance(value, bool):
            raise SettingError(f"{name} must be True or False, got {shown(value)}")
        return value

    def to_json(self, value: bool) -> object:
        """Return it as it is."""
        return value

    def from_json(self, where: str, data: object) -> bool:
        """Return true or false."""
        if not isinstance(data, bool):
            raise FormatError(f"{where} must be true or false, got {shown_value(data)}")
        return data


@dataclass(frozen=True, slots=True)
class Several:
    """A list of values of one form; a caller may give a single one as it is."""

    form: Form

    def checked(self, name: str, value: Any) -> tuple[Any, ...]:
        """Return a tuple."""
        values = value if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
        if len(values) > MOST_ENTRIES:
            raise SettingError(f"{name} may hold at most {MOST_ENTRIES:,} entries, got {len(values):,}")
        return tuple(self.form.checked(name, entry) for entry in values)

    def to_json(self, value: tuple[Any, ...]) -> object:
        """Return a list."""
        return [self.form.to_json(entry) for entry in value]

    def from_json(self, where: str, data: object) -> tuple[Any, ...]:
        """Return a tuple."""
        if not isinstance(data, list):
            raise FormatError(f"{where} must be a list, got {shown_value(data)}")
        if len(data) > MOST_ENTRIES:
            raise FormatError(f"{where} may hold at most {MOST_ENTRIES:,} entries, got {len(data):,}")
        return tuple(self.form.from_json(f"{where}[{place}]", entry) for place, entry in enumerate(data))


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Transforms of images, one after another; a caller may give one as it is, or name them in a text."""

    def checked(self, name: str, value: Any) -> tuple[Transform, ...]:
        """Return a tuple."""
        if isinstance(value, str):
            return _transforms(value)
        return Several(OneOf(Transform, "RandomFlip()")).checked(name, value)

    def to_json(self, value: tuple[Transform, ...]) -> object:
        """Return them as a text."""
        from neocog.data.augment.words import as_text

        return as_text(value)

    def from_json(self, where: str, data: object) -> tuple[Transform, ...]:
        """Return the transforms that a text names."""
        if not isinstance(data, str):
            raise FormatError(f"{where} must be a text, got {shown_value(data)}")
        try:
            return _transforms(data)
        except SettingError as error:
            raise FormatError(f"{where}: {error.message}", hint=error.hint) from None


def _transforms(text: str) -> tuple[Transform, ...]:
    from neocog.data.augment.words import parsed  # here: most who load a model never train it

    return parsed(text)
