"""The page over HTTP, to the browser of this machine alone.

What this server will not do: listen on other addresses, answer requests that name another host or come from another
page, answer without the token of its start, load anything from elsewhere, or run what it is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from types import FrameType

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from neocog.app.page.answers import QUESTIONS, answer
from neocog.app.page.connection import Connection
from neocog.app.page.files import TEXTS, page_file
from neocog.app.page.guard import HEADERS, Drain, Guard
from neocog.app.page.message import Answer, error_frame, progress_frame
from neocog.app.page.question import Question
from neocog.app.page.session import MOST_BYTES, Input, Session
from neocog.app.page.translate import in_all_languages
from neocog.errors import NeocogError
from neocog.explain.subject import ProgressListener
from neocog.system import HANGUP

HOST = "127.0.0.1"
MOST_HEAD = 2**16  # bytes of a request's head: cookies of other programs on 127.0.0.1 come along
FRAMES = "application/octet-stream"
PIXELS = "application/x-neocog-pixels"
FILES = {**dict.fromkeys(("app.js", *TEXTS), "text/javascript"), "app.css": "text/css"}


class Cancelled(Exception):  # noqa: N818 - it is a wish, not an error
    """Whoever asked has gone."""


def make_application(session: Session, token: str, port: int) -> Starlette:
    """Make the application that serves one session.

    Arguments:
        session: what the page is about.
        token: what every question must carry.
        port: that it is reached at, which the Host of every request must name.
    """
    page = {name: page_file(name) for name in ("index.html", *FILES)}

    async def index(request: Request) -> Response:
        if not _same(request.query_params.get("token", ""), token):
            text = "this page needs the address that neocog explain printed, with its token"
            return PlainTextResponse(text, 403, HEADERS)
        return Response(page["index.html"], headers=HEADERS, media_type="text/html")

    async def file(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in FILES:
            return PlainTextResponse("there is no such file", 404, HEADERS)
        return Response(page[name], headers=HEADERS, media_type=FILES[name])

    def refusal(request: Request) -> Response | None:
        if _same(request.headers.get("x-neocog-token", ""), token):
            return None
        return PlainTextResponse("the token is missing or wrong", 403, HEADERS)

    async def ask(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in QUESTIONS:
            return PlainTextResponse("there is no such question", 404, HEADERS)
        arguments = dict(request.query_params)

        def find(progress: ProgressListener) -> Answer:
            return answer(session, Question.make(name, arguments), progress)

        return refusal(request) or StreamingResponse(_frames(find), 200, HEADERS, FRAMES)

    async def ask_input(request: Request) -> Response:
        refused = refusal(request)
        if refused is not None:
            return refused
        try:
            body = await _read(request)
        except _TooLargeError:
            return PlainTextResponse(f"an image file may have at most {MOST_BYTES:,} bytes", 413, HEADERS)
        except ClientDisconnect:
            return Response(status_code=400)  # to nobody
        kind, arguments = request.headers.get("content-type", ""), dict(request.query_params)

        def take(progress: ProgressListener) -> Answer:
            return take_input(session, body, kind, arguments)

        return StreamingResponse(_frames(take), 200, HEADERS, FRAMES)

    routes = [
        Route("/", index),
        Route("/ask/input", ask_input, methods=["POST"]),
        Route("/ask/{name}", ask, methods=["GET"]),
        Route("/{name}", file),
    ]
    application = Starlette(routes=routes)
    application.router.redirect_slashes = False  # there is one address for each thing
    suffix = "" if port == 80 else f":{port}"  # browsers leave the usual port out
    application.add_middleware(Guard, hosts=(f"{HOST}{suffix}", f"localhost{suffix}"))
    application.add_middleware(Drain)  # outermost: it holds for the guard's refusals too
    return application


def _same(given: str, token: str) -> bool:
    return secrets.compare_digest(given.encode(), token.encode())


class _TooLargeError(Exception):
    pass


async def _read(request: Request) -> bytes:
    """Read a request's body, and no more of it than may be."""
    if int(request.headers.get("content-length") or 0) > MOST_BYTES:
        raise _TooLargeError
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BYTES:
            raise _TooLargeError
    return bytes(body)


async def _frames(find: Callable[[ProgressListener], Answer]) -> AsyncIterator[bytes]:
    """Find an answer on a thread of its own; give its progress as it comes, and at last its answer."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[tuple[bytes, bool]] = asyncio.Queue()
    gone = threading.Event()

    def put(frame: bytes, last: bool) -> None:
        with contextlib.suppress(RuntimeError):  # the server is stopping
            loop.call_soon_threadsafe(queue.put_nowait, (frame, last))

    def progress(done: float, what: str) -> None:
        if gone.is_set():
            raise Cancelled
        put(progress_frame(done, what), False)

    def work() -> None:
        try:
            put(find(progress).frame(), True)
        except Cancelled:
            put(b"", True)
        except Exception as error:  # whatever it is, the page shows it where the answer would be
            put(error_frame(error), True)

    # A daemon, so that Ctrl-C does not wait for what nobody will see.
    threading.Thread(target=work, name="neocog-answer", daemon=True).start()
    try:
        while True:
            frame, last = await queue.get()
            yield frame
            if last:
                break
    finally:
        gone.set()  # after the last frame nobody looks at it; before, the browser has closed the connection


def take_input(session: Session, body: bytes, kind: str, arguments: dict[str, str]) -> Answer:
    """Take an image that the page was given: a file, or the pixels of a drawing."""
    question = Question.make("input", {key: arguments[key] for key in ("height", "width", "side") if key in arguments})
    side = question.whole("side") if "side" in arguments else None
    if kind == PIXELS:
        item: Input = session.pixels(body, question.whole("height"), question.whole("width"), side)
    else:
        item = session.decode(body, arguments.get("name", "your image")[:100], side)
    return Answer({"input": session.add(item), "name": item.name, "note": in_all_languages(item.note)})


class _Server(uvicorn.Server):
    """Ends at once: an answer under way is cut off rather than waited for, then cancelled, which uvicorn logs."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # so that they hear of it
        await super().shutdown(sockets)


@contextlib.contextmanager
def _hang_up_ends(server: uvicorn.Server) -> Iterator[None]:
    """End a server when its terminal closes, as uvicorn does on Ctrl-C and SIGTERM; then what was there before acts."""
    if HANGUP is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    hung_up = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        hung_up.set()
        server.should_exit = True

    before = signal.signal(HANGUP, end)
    try:
        yield
    finally:
        signal.signal(HANGUP, before)
    if hung_up.is_set():
        signal.raise_signal(HANGUP)


class PageServer:
    """Serves one session on a free port of this machine.

    Arguments:
        session: what the page is about.
        port: where; 0 takes a free one.

    Attributes:
        address: to open in a browser; it holds the token of this start.

    Raises:
        NeocogError: the port is taken, or the page was not built.
    """

    def __init__(self, session: Session, port: int = 0) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((HOST, port))
            self._socket.listen()  # so that whoever has the address may connect already
        except OSError as error:
            self._socket.close()
            raise NeocogError(
                f"port {port} of {HOST} cannot be used: {error.strerror}", hint="leave --port out to take a free one"
            ) from None
        self.port: int = self._socket.getsockname()[1]
        token = secrets.token_urlsafe(24)
        self.address = f"http://{HOST}:{self.port}/?token={token}"
        application = make_application(session, token, self.port)
        configuration = uvicorn.Config(
            application,
            http=Connection,
            ws="none",
            lifespan="off",
            log_level="error",
            access_log=False,
            timeout_graceful_shutdown=1,
            h11_max_incomplete_event_size=MOST_HEAD,
        )
        self._server = _Server(configuration)

    def run(self) -> None:
        """Serve until Ctrl-C, another signal that ends programs, or `stop`."""
        with _hang_up_ends(self._server):
            self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """End `run`, from another thread."""
        self._server.should_exit = True

    @property
    def started(self) -> bool:
        """Whether requests are answered."""
        return self._server.started
