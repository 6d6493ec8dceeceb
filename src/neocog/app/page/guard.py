"""What stands before the page's application: whom it answers at all, and that refusals arrive."""

from __future__ import annotations

import asyncio
import contextlib

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
REFUSED = 400  # the status from which an answer refuses
DRAINED_BYTES = 256 * 2**20  # of a refused request that are read and thrown away
DRAINED_SECONDS = 30.0  # that this may take


class Guard:
    """Refuses requests that name another host (DNS rebinding) or that another page sent.

    Arguments:
        app: answers the others.
        hosts: the names that this server is reached by.
    """

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...]) -> None:
        self.app = app
        self.hosts = hosts
        self.origins = tuple(f"http://{host}" for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        refusal = None
        if headers.get("host") not in self.hosts:
            refusal = "this server only answers requests to 127.0.0.1"
        elif "origin" in headers and headers["origin"] not in self.origins:
            refusal = "this server only answers its own page"
        if refusal is None:
            await self.app(scope, receive, send)
        else:
            await PlainTextResponse(refusal, 403, HEADERS)(scope, receive, send)


class Drain:
    """Reads what a refused client still sends, before it is told.

    Browsers look at an answer only when they have sent all of a request; one that is answered and closed before shows
    a network error instead of the reason. So the rest is read, and thrown away, up to a limit.

    Arguments:
        app: answers the requests.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = dict(scope["headers"])
        rest = _Rest(receive)
        # who waits for leave to send has sent nothing yet, and need not
        waits = headers.get(b"expect", b"").lower() == b"100-continue"

        async def sending(message: Message) -> None:
            refused = message["type"] == "http.response.start" and message["status"] >= REFUSED
            if refused and not rest.complete:
                if not waits or rest.begun:
                    await rest.drain()
                if not rest.complete:
                    message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
            await send(message)

        await self.app(scope, rest.receive, sending)


class _Rest:
    """What of a request has not been read yet."""

    def __init__(self, receive: Receive) -> None:
        self.begun = False
        self.complete = False
        self._receive = receive

    async def receive(self) -> Message:
        self.begun = True
        message = await self._receive()
        self.complete = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def drain(self) -> None:
        left = DRAINED_BYTES
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAINED_SECONDS):
                while not self.complete and left > 0:
                    left -= len((await self.receive()).get("body", b""))
