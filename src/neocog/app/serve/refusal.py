"""Why a request is not answered: a status, a line that says so, and what would do."""

from __future__ import annotations

import json

from neocog.app.serve.batcher import FullError, LateError
from neocog.data.faults import TooManyPixelsError
from neocog.errors import NeocogError
from neocog.text import printable

RETRY = (b"retry-after", b"1")
"""For what may be well in a second."""

Headers = tuple[tuple[bytes, bytes], ...]


class Refusal(Exception):  # noqa: N818 - it is an answer
    """An answer that refuses.

    Arguments:
        status: of HTTP.
        message: what was needed, and what came.
        hint: what would do.
        headers: besides the usual ones.
    """

    def __init__(self, status: int, message: str, hint: str | None = None, headers: Headers = ()) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers
        self.message, self.hint = printable(message), hint

    def body(self) -> bytes:
        """Return it as JSON: `error`, and a `hint` where there is one."""
        told = {"error": self.message} if self.hint is None else {"error": self.message, "hint": self.hint}
        return json.dumps(told).encode()


def refusal_of(error: Exception) -> Refusal | None:
    """Return what to tell a client of an error; None where the error is the server's own."""
    match error:
        case Refusal():
            return error
        case FullError():
            return Refusal(429, "too many images wait for an answer", "try again in a second", (RETRY,))
        case LateError():
            return Refusal(503, "the request waited for too long", "try again in a second", (RETRY,))
        case MemoryError():
            return Refusal(503, "there is not enough memory for this image now", "make it smaller", (RETRY,))
        case TooManyPixelsError():
            return Refusal(413, error.message, error.hint)
        case NeocogError():
            return Refusal(400, error.message, error.hint)
    return None
