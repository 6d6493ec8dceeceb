"""A question of the page: a name and arguments, written one way only, so that its text is the key of its answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from neocog.errors import SettingError

_VALUE = re.compile(r"[A-Za-z0-9.,:_-]{1,250}")


@dataclass(frozen=True, slots=True)
class Question:
    """A name and arguments.

    >>> str(Question("lens", {"row": "2", "layer": "0"}))
    'lens?layer=0&row=2'
    """

    name: str
    arguments: Mapping[str, str]

    def __str__(self) -> str:
        pairs = "&".join(f"{key}={value}" for key, value in sorted(self.arguments.items()))
        return f"{self.name}?{pairs}" if pairs else self.name

    @classmethod
    def read(cls, text: str) -> Question:
        """Read a question as `str` writes it.

        Raises:
            SettingError: it is not written so.
        """
        name, _, rest = text.partition("?")
        pairs = [pair.partition("=") for pair in rest.split("&")] if rest else []
        return cls.make(name, {key: value for key, _, value in pairs})

    @classmethod
    def make(cls, name: str, arguments: Mapping[str, str]) -> Question:
        """Make a question of what a request says.

        Raises:
            SettingError: a value holds what values do not hold.
        """
        for key, value in arguments.items():
            if not _VALUE.fullmatch(value):
                raise SettingError(
                    f"{name}: {key[:40]} must be up to 250 letters, digits or signs of .,:_-, got {value[:40]!r}"
                )
        return cls(name, dict(arguments))

    def text(self, key: str, default: str | None = None) -> str:
        """Return an argument.

        Raises:
            SettingError: it is missing, and there is no default.
        """
        value = self.arguments.get(key, default)
        if value is None:
            raise SettingError(f"the question {self.name} needs {key}")
        return value

    def whole(self, key: str, default: int | None = None) -> int:
        """Return an argument that is a whole number."""
        value = self.text(key, None if default is None else str(default))
        try:
            return int(value)
        except ValueError:
            raise SettingError(f"{self.name}: {key} must be a whole number, got {value!r}") from None

    def real(self, key: str) -> float:
        """Return an argument that is a number."""
        value = self.text(key)
        try:
            number = float(value)
        except ValueError:
            raise SettingError(f"{self.name}: {key} must be a number, got {value!r}") from None
        if number != number or abs(number) > 1e6:
            raise SettingError(f"{self.name}: {key} must be a number up to a million, got {value!r}")
        return number

    def wholes(self, key: str, count: int) -> tuple[int, ...] | None:
        """Return an argument that is so many whole numbers between commas; None where it is missing."""
        value = self.arguments.get(key)
        if value is None:
            return None
        parts = value.split(",")
        if len(parts) != count or not all(re.fullmatch(r"-?\d{1,9}", part) for part in parts):
            raise SettingError(f"{self.name}: {key} must be {count} whole numbers, got {value!r}")
        return tuple(map(int, parts))
