"""The server as an ASGI application: addresses, and what stands around every answer."""

from __future__ import annotations

import json
import re
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from email.utils import formatdate
from importlib.resources import files
from typing import Any

import click
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router

from neocog.app.serve import classification, inference, metrics
from neocog.app.serve.access import AccessLog
from neocog.app.serve.batcher import Batcher
from neocog.app.serve.body import Bodies, GoneError
from neocog.app.serve.counters import Counters, Tally
from neocog.app.serve.gate import Gate
from neocog.app.serve.openapi import document_of
from neocog.app.serve.refusal import RETRY, Refusal, refusal_of
from neocog.app.serve.settings import Settings

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

JSON = (b"content-type", b"application/json")
_INFER = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")
CLOSE = (b"connection", b"close")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE_HEADERS = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
PAGE = {"try": "text/html", "try.js": "text/javascript", "try.css": "text/css"}


class Application:
    """Replies requests.

    Arguments:
        batchers: one for each model, by its name; the first also answers at "/".
        settings: what is taken.
        counters, row: the numbers of all processes, and of this one.
        log: where requests are noted.

    Attributes:
        draining: whether the server is about to end: it is not ready, and each answer closes its connection.
    """

    def __init__(
        self,
        batchers: Mapping[str, Batcher],
        settings: Settings,
        counters: Counters,
        row: Tally,
        log: AccessLog | None = None,
    ) -> None:
        self.draining = False
        self._batchers, self._settings, self._counters, self._row, self._log = batchers, settings, counters, row, log
        self._gate, self._bodies = Gate(settings), Bodies(settings, row)
        self._classifying = {f"/models/{name}": batcher for name, batcher in batchers.items()}
        self._classifying["/"] = next(iter(batchers.values()))
        self._others = _Others(self)
        self._date = (0, (b"date", b""))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        begun = time.monotonic()
        answer = _Answer(send, self._always())
        headers = dict(scope["headers"])
        body = b""
        try:
            try:
                path, post = scope["path"], scope["method"] == "POST"
                self._gate.check(path, headers)
                if post and path in self._classifying:
                    body = await self._bodies.read(headers, receive)
                    await self._classify(self._classifying[path], scope, headers, body, answer)
                elif post and (found := _INFER.fullmatch(path)) is not None:
                    batcher = self.batcher(found[1], found[2])
                    body = await self._bodies.read(headers, receive)
                    await self._infer(batcher, headers, body, answer)
                else:
                    await self._others(scope, receive, answer)
            except GoneError:
                return
            except Exception as error:
                refusal = refusal_of(error)
                if refusal is None:
                    if answer.status:
                        raise
                    click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
                    refusal = Refusal(500, "the server itself failed; its log says where")
                await answer.give(refusal.status, refusal.body(), [JSON, *refusal.headers])
        finally:
            if body:
                self._bodies.release(body)
            if answer.status:
                self._row.answered(answer.status)
                if self._log is not None:
                    self._log.note(scope, answer.status, answer.size, len(body), time.monotonic() - begun)

    @property
    def batchers(self) -> Mapping[str, Batcher]:
        """What answers, by the names of the models."""
        return self._batchers

    def batcher(self, name: str, version: str | None = None) -> Batcher:
        """Return what answers for a model.

        Raises:
            Refusal: there is no such model, or not of this version.
        """
        batcher = self._batchers.get(name)
        if batcher is None:
            raise Refusal(404, f"there is no model {name[:50]}", f"there are {', '.join(self._batchers)}")
        if version is not None and version != batcher.model.version:
            raise Refusal(404, f"model {name} has no version {version[:50]}", f"it has {batcher.model.version}")
        return batcher

    @property
    def row(self) -> Tally:
        """The numbers of this process."""
        return self._row

    @property
    def counters(self) -> Counters:
        """The numbers of all processes."""
        return self._counters

    @property
    def settings(self) -> Settings:
        """What is taken."""
        return self._settings

    def _always(self) -> list[tuple[bytes, bytes]]:
        """Return the headers of every answer."""
        now = int(time.time())
        if self._date[0] != now:
            self._date = (now, (b"date", formatdate(now, usegmt=True).encode()))
        return [self._date[1], CLOSE] if self.draining else [self._date[1]]

    async def _classify(
        self, batcher: Batcher, scope: Scope, headers: Mapping[bytes, bytes], body: bytes, answer: _Answer
    ) -> None:
        picture, top = classification.read_question(headers, scope["query_string"], body, batcher.model)
        answers = await batcher.ask((picture,))
        told = classification.answer_of(answers, top)
        await answer.give(200, told, [JSON, answers.model.version_header])

    async def _infer(self, batcher: Batcher, headers: Mapping[bytes, bytes], body: bytes, answer: _Answer) -> None:
        asked = inference.read_inference(headers, body, batcher.model, self._settings.max_queue)
        told, kind = inference.answer_of(asked, await batcher.ask(asked.pictures))
        await answer.give(200, told, kind)


class _Answer:
    """Sends an answer, and remembers its status and size."""

    def __init__(self, send: Send, always: list[tuple[bytes, bytes]]) -> None:
        self._send, self._always = send, always
        self.status, self.size = 0, 0

    async def give(self, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        """Send a whole answer."""
        length = (b"content-length", str(len(body)).encode())
        await self({"type": "http.response.start", "status": status, "headers": [*headers, length]})
        await self({"type": "http.response.body", "body": body})

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        """Send a part of an answer, as ASGI has it."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message["headers"], *self._always]
        else:
            self.size += len(message.get("body", b""))
        await self._send(message)


class _Others:
    """All that is no question to a network: health, metadata, numbers, the OpenAPI document, the page."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._pages = {name: _page(name) for name in PAGE}

        def batcher_of(request: Any) -> Batcher:
            return application.batcher(request.path_params["name"], request.path_params.get("version"))

        async def live(request: Any) -> Response:
            return JSONResponse({"live": True})

        async def ready(request: Any) -> Response:
            if application.draining:
                raise Refusal(503, "the server is about to end", None, (RETRY,))
            return JSONResponse({"ready": True})

        async def model_ready(request: Any) -> Response:
            batcher_of(request)
            return await ready(request)

        async def server(request: Any) -> Response:
            from neocog import __version__

            extensions = ["binary_tensor_data", "classification"]
            return JSONResponse({"name": "neocog", "version": __version__, "extensions": extensions})

        async def model(request: Any) -> Response:
            return JSONResponse(inference.metadata_of(batcher_of(request).model))

        async def absent(request: Any) -> Response:  # questions to a model that is there are answered before
            batcher_of(request)
            raise Refusal(404, "there is nothing here")

        async def listed(request: Any) -> Response:
            told = [inference.metadata_of(batcher.model) for batcher in application.batchers.values()]
            return JSONResponse({"models": told})

        async def numbers(request: Any) -> Response:
            metrics.note_use(application.row)
            text = metrics.text_of(application.counters)
            return Response(text, headers={"content-type": metrics.CONTENT_TYPE.decode()})

        async def openapi(request: Any) -> Response:
            models = [batcher.model for batcher in application.batchers.values()]
            text = json.dumps(document_of(models, application.settings))
            return Response(text, media_type="application/json")

        async def page(request: Any) -> Response:
            name = request.url.path[1:]
            return Response(self._pages[name], headers=PAGE_HEADERS, media_type=PAGE[name])

        async def home(request: Any) -> Response:
            return Response(status_code=307, headers={"location": "try"})

        one = "/v2/models/{name}"
        version = one + "/versions/{version}"
        self._router = Router(
            [
                Route("/", home, methods=["GET", "POST"]),  # a question is answered before
                Route("/models", listed, methods=["GET"]),
                Route("/models/{name}", absent, methods=["POST"]),
                Route("/health", ready, methods=["GET"]),
                Route("/v2", server, methods=["GET"]),
                Route("/v2/health/live", live, methods=["GET"]),
                Route("/v2/health/ready", ready, methods=["GET"]),
                *(Route(path, model, methods=["GET"]) for path in (one, version)),
                *(Route(f"{path}/ready", model_ready, methods=["GET"]) for path in (one, version)),
                *(Route(f"{path}/infer", absent, methods=["POST"]) for path in (one, version)),
                Route("/metrics", numbers, methods=["GET"]),
                Route("/openapi.json", openapi, methods=["GET"]),
                *(Route(f"/{name}", page, methods=["GET"]) for name in PAGE),
            ],
            redirect_slashes=False,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request.

        Raises:
            Refusal: there is nothing at its address, or not by its method.
        """
        scope["app"] = self._application  # so that the router raises
        try:
            await self._router(scope, receive, send)
        except HTTPException as error:
            headers = tuple((name.lower().encode(), value.encode()) for name, value in (error.headers or {}).items())
            told = f"{error.detail.lower()}: {scope['method']} {scope['path'][:100]}"
            raise Refusal(error.status_code, told, None, headers) from None


def _page(name: str) -> bytes:
    file = "try.html" if name == "try" else name
    return files("neocog.app.serve").joinpath("page", file).read_bytes()
