"""A connection to a browser, which ends when its other side stops taking part.

A client that sends half of a request, or reads half of an answer, would else hold its connection for ever, and a few
hundred of them all that this process may open.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_CONNECTIONS = 128  # at a time; a browser opens six
HEAD_SECONDS = 10.0  # that the head of a request may take, of which nothing may be missing then
BODY_SECONDS = 20.0  # that its body may take, and
BODY_RATE = 16 * 2**10  # one more for so many bytes that came: a slow line is no halt
ANSWER_SECONDS = 60.0  # that a client may leave an answer unread, to the byte
LOOK_SECONDS = 1.0  # between two looks at a connection


class Connection(H11Protocol):
    """Speaks HTTP/1.1 with one client for as long as that client takes part.

    Where there are too many, the one that has kept this server waiting for longest gives way, so that a crowd of silent
    clients never keeps a browser out.
    """

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._look: asyncio.TimerHandle | None = None
        self._awaited: object = None  # the head or the body of which request, None while there is no connection
        self._since = 0.0  # seconds, when that wait began
        self._received = 0  # bytes of it
        self._unsent = 0  # bytes of an answer that waited for the client at the last look
        self._unsent_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin, and let the longest waiting of too many others end."""
        super().connection_made(transport)
        self._note()
        self._look = self.loop.call_later(LOOK_SECONDS, self._check)
        others = [cast(Connection, other) for other in self.connections if not other.transport.is_closing()]
        if len(others) > MOST_CONNECTIONS:
            silent = [other for other in others if other.awaits_client]
            min(silent or [self], key=lambda other: other._since).transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take what the client sent."""
        self._received += len(data)
        super().data_received(data)
        self._note()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    @property
    def awaits_client(self) -> bool:
        """Whether it is the client's turn, rather than this server's."""
        return self.conn.their_state in (h11.IDLE, h11.SEND_BODY)

    def _note(self) -> None:
        """Begin to count anew where something else is waited for than before."""
        awaited = (self.conn.their_state, self.cycle)
        if awaited != self._awaited:
            self._awaited, self._since, self._received = awaited, self.loop.time(), 0

    def _check(self) -> None:
        self._note()
        if self._is_stuck():
            self.transport.abort()
        else:
            self._look = self.loop.call_later(LOOK_SECONDS, self._check)

    def _is_stuck(self) -> bool:
        now = self.loop.time()
        unsent = self.transport.get_write_buffer_size()
        if not unsent or unsent != self._unsent:
            self._unsent, self._unsent_since = unsent, now
        elif now - self._unsent_since > ANSWER_SECONDS:
            return True
        if self.conn.their_state is h11.IDLE:
            return now - self._since > HEAD_SECONDS
        if self.conn.their_state is h11.SEND_BODY:
            return now - self._since > BODY_SECONDS + self._received / BODY_RATE
        return False
