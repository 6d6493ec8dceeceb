"""A connection to a client, which ends when its other side stops taking part.

A client that sends half of a request, or reads half of an answer, must cost nothing but its place among the
connections, and that place goes to the next who wants it: where there are too many, the one that has kept this server
waiting for longest gives way.
"""

from __future__ import annotations

import asyncio
from enum import Enum, auto
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from neocog.app.serve.counters import Tally
from neocog.app.serve.settings import (
    ANSWER_SECONDS,
    BODY_RATE,
    BODY_SECONDS,
    HEAD_BYTES,
    HEAD_SECONDS,
    KEPT_SECONDS,
    Settings,
)

LOOK_SECONDS = 1.0
"""Between two looks at the connections, while there are any."""

_EXCESS = 64 << 20  # bytes of a refused body that are read, and thrown away, so that the client sees the refusal


class Turn(Enum):
    """Whose turn it is, and with what."""

    IDLE = auto()  # the client may ask
    HEAD = auto()  # it is sending the head of a request,
    BODY = auto()  # or its body
    SERVER = auto()  # it waits for an answer


class ClientConnection(HttpToolsProtocol):
    """Speaks HTTP/1.1 with one client for as long as that client takes part."""

    def __init__(self, *arguments: Any, settings: Settings, row: Tally, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._settings, self._row = settings, row
        self.turn = Turn.IDLE
        self.since = self.loop.time()  # when that began
        self._received = 0  # bytes of it
        self._complete = 0  # requests whose end has come
        self._unsent, self._unsent_since = 0, 0.0  # of an answer, at the last look

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin, and let the longest waiting of too many others end."""
        super().connection_made(transport)
        if len(self.connections) > self._settings.connections_each:
            others = [cast(ClientConnection, other) for other in self.connections]
            silent = [other for other in others if other.turn is not Turn.SERVER and other is not self]
            min(silent or [self], key=lambda other: other.since).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        super().connection_lost(exc)
        self._row.add("closed")

    def data_received(self, data: bytes) -> None:
        """Take what the client sent."""
        if self.turn is Turn.IDLE:
            self._begin(Turn.HEAD)
        complete = self._complete
        super().data_received(data)
        if self._complete == complete:
            self._received += len(data)  # otherwise most of them were of requests before this one
        if self.turn is Turn.HEAD and self._received > HEAD_BYTES:
            self._refuse(b"431 Request Header Fields Too Large")
        elif self.turn is Turn.BODY and self._received > self._settings.max_body + _EXCESS:
            self.transport.abort()

    def on_message_begin(self) -> None:
        """Note that a request begins."""
        super().on_message_begin()
        self._begin(Turn.HEAD)

    def on_headers_complete(self) -> None:
        """Note that the head of a request is there."""
        self._begin(Turn.BODY)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that a request is there."""
        self._complete += 1
        self._begin(Turn.SERVER)
        super().on_message_complete()
        if self.cycle.response_complete:  # it was refused before it had been sent
            self._begin(Turn.IDLE)

    def on_response_complete(self) -> None:
        """Note that a request is answered."""
        if self.turn is Turn.SERVER:
            self._begin(Turn.IDLE)
        super().on_response_complete()

    def look(self, now: float) -> None:
        """End the connection where its client has stopped taking part."""
        unsent = self.transport.get_write_buffer_size()
        if not unsent or unsent != self._unsent:
            self._unsent, self._unsent_since = unsent, now
        elif now - self._unsent_since > ANSWER_SECONDS:
            self.transport.abort()
        waited = now - self.since
        late = (self.turn is Turn.HEAD and waited > HEAD_SECONDS) or (
            self.turn is Turn.BODY and waited > BODY_SECONDS + self._received / BODY_RATE
        )
        if late:
            self._refuse(b"408 Request Timeout")
        elif self.turn is Turn.IDLE and waited > KEPT_SECONDS:
            self.transport.close()

    def _begin(self, turn: Turn) -> None:
        self.turn, self.since, self._received = turn, self.loop.time(), 0

    def _refuse(self, status: bytes) -> None:
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            self._row.answered(int(status[:3]))
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self.transport.abort()
