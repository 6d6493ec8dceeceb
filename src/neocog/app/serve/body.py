"""The body of a request: read no further than it may be, and taken apart as JSON."""

from __future__ import annotations

import binascii
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from neocog.app.serve.counters import Tally
from neocog.app.serve.refusal import RETRY, Refusal
from neocog.app.serve.settings import Settings

Receive = Callable[[], Awaitable[Mapping[str, Any]]]


class GoneError(Exception):
    """The client has gone before it had sent all."""


class Bodies:
    """The bodies that a process holds at a time.

    Arguments:
        settings: how large one may be, and all together.
        row: the numbers of this process.
    """

    def __init__(self, settings: Settings, row: Tally) -> None:
        self._settings, self._row = settings, row
        self._held = 0

    async def read(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        """Return a request's body. Who calls gives it back with `release`.

        Raises:
            Refusal: it is larger than it may be, or packed, or there is no room now.
            GoneError: the client has gone.
        """
        self._check(headers)
        message = await receive()
        if message["type"] == "http.disconnect":
            raise GoneError
        body: bytes = message["body"]
        self._hold(len(body))
        if not message["more_body"]:
            if len(body) > self._settings.max_body:
                self.release(body)
                raise self._too_large()
            return body
        pieces = bytearray(body)
        try:
            while message["more_body"]:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise GoneError
                self._hold(len(message["body"]))
                pieces += message["body"]
                if len(pieces) > self._settings.max_body:
                    raise self._too_large()
        except BaseException:
            self.release(pieces)
            raise
        return bytes(pieces)

    def release(self, body: bytes | bytearray) -> None:
        """Return the room of a body."""
        self._held -= len(body)
        self._row.put("waiting_bytes", self._held)

    def _check(self, headers: Mapping[bytes, bytes]) -> None:
        packed = headers.get(b"content-encoding", b"identity")
        if packed.lower() != b"identity":
            raise Refusal(415, "a packed body is not taken", "send it without Content-Encoding")
        length = headers.get(b"content-length", b"0")
        if int(length) > self._settings.max_body:
            raise self._too_large()
        if self._held + int(length) > self._settings.most_waiting_bytes:
            raise Refusal(503, "too much is being sent at once", "try again in a second", (RETRY,))

    def _hold(self, size: int) -> None:
        self._held += size
        self._row.put("waiting_bytes", self._held)
        if self._held > self._settings.most_waiting_bytes:
            self._held -= size
            raise Refusal(503, "too much is being sent at once", "try again in a second", (RETRY,))

    def _too_large(self) -> Refusal:
        most = self._settings.max_body
        return Refusal(413, f"a request may have {most:,} bytes", "send smaller images, or fewer at a time")


def read_json(text: bytes | memoryview) -> dict[str, Any]:
    """Return a JSON object.

    Raises:
        Refusal: it is none.
    """
    try:
        found = json.loads(bytes(text))
    except (ValueError, RecursionError) as error:
        raise Refusal(400, f"the body is no JSON: {str(error)[:100]}") from None
    if not isinstance(found, dict):
        raise Refusal(400, "the body must be a JSON object")
    return found


def read_base64(text: object, name: str) -> bytes:
    """Return the bytes that a text stands for.

    Raises:
        Refusal: it is no base64.
    """
    if not isinstance(text, str):
        raise Refusal(400, f"{name} must be a text, the image's bytes in base64")
    if text.startswith("data:"):
        text = text.partition(",")[2]
    elif "://" in text[:16]:
        raise Refusal(400, f"{name} is an address, and nothing is fetched from addresses", "send the image's bytes")
    try:
        return binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except (ValueError, binascii.Error):
        raise Refusal(400, f"{name} is no base64", "send the image's bytes, or encode them with base64") from None
