"""Every error that neocog raises on purpose.

    NeocogError                    something that the user can mend
    ├── ShapeError (ValueError)      a layer cannot take what comes to it
    ├── SettingError (ValueError)    an argument, flag or option is out of its range
    ├── DataError (ValueError)       images or labels that cannot be used
    │   └── WeightsError             weights that are NaN or infinite
    ├── FormatError (ValueError)     a file that is damaged, truncated or of another kind
    └── EngineError (RuntimeError)   an engine cannot run here (missing package, failed compilation)
    NeocogWarning (UserWarning)    something that works, and otherwise than was asked for

A message says where, what was needed and what came; `details` says where that came from; `hint` says what to do.
"""

from __future__ import annotations

from neocog.text import printable


class NeocogError(Exception):
    """Base of all errors that neocog raises on purpose.

    Messages hold names from elsewhere; what would act on a terminal, or fake a line, is escaped.

    Arguments:
        message: one line: where, what was needed, what came.
        details: further lines, each printed indented, such as where a value came from.
        hint: what to do about it.
    """

    def __init__(self, message: str, *, details: tuple[str, ...] = (), hint: str | None = None) -> None:
        self.message = printable(message)
        self.details = tuple(map(printable, details))
        self.hint = None if hint is None else printable(hint)
        super().__init__(self.message)

    def __str__(self) -> str:
        lines = [self.message, *(f"  {line}" for line in self.details)]
        if self.hint is not None:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)


class ShapeError(NeocogError, ValueError):
    """A layer cannot take the shape that comes to it."""


class SettingError(NeocogError, ValueError):
    """An argument, flag or option is out of its range."""


class DataError(NeocogError, ValueError):
    """Images or labels that cannot be used."""


class WeightsError(DataError):
    """Weights that are NaN or infinite, with which nothing can be computed."""


class FormatError(NeocogError, ValueError):
    """A file that is damaged, truncated or of another kind."""


class EngineError(NeocogError, RuntimeError):
    """An engine cannot run here: a package is missing, or the compilation failed."""


class NeocogWarning(UserWarning):
    """Something works, but not as it could, and the user can mend it.

    Arguments:
        message: one line: what is so, and why.
        hint: what to do about it.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = printable(message)
        self.hint = None if hint is None else printable(hint)
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n  hint: {self.hint}"
