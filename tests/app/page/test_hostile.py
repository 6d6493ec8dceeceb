"""What no browser sends: the server refuses it in a word, or closes the connection, and goes on answering."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from app.page.conftest import LIMIT
from app.page.frames import read_frames
from neocog.app.page import connection, guard, server
from neocog.app.page.connection import Connection
from neocog.app.page.server import PageServer
from neocog.app.page.session import Session


class Wire:
    """A client that sends what it likes."""

    def __init__(self, page: PageServer) -> None:
        self._socket = socket.create_connection(("127.0.0.1", page.port), LIMIT)
        self._token = page.address.split("token=")[1]
        self._port = page.port

    def send(self, text: str | bytes) -> None:
        """Send text, in which HOST and TOKEN stand for the right headers."""
        data = text.encode("latin-1") if isinstance(text, str) else text
        data = data.replace(b"HOST", f"Host: 127.0.0.1:{self._port}".encode())
        self._socket.sendall(data.replace(b"TOKEN", f"X-Neocog-Token: {self._token}".encode()))

    def read(self) -> bytes:
        """Read until the server closes; a reset is an end too."""
        found = b""
        try:
            while piece := self._socket.recv(2**16):
                found += piece
        except ConnectionError:
            pass
        return found

    def is_ended_while_sending(self, piece: bytes, pause: float = 0.0) -> bool:
        """Send the same again and again, until the server ends it; it is False if it has not after a minute."""
        deadline = time.monotonic() + LIMIT
        try:
            while time.monotonic() < deadline:
                self._socket.sendall(piece)
                time.sleep(pause)
        except ConnectionError:
            return True
        return False

    def finish(self) -> None:
        """Send no more."""
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Go."""
        self._socket.close()


@pytest.fixture
def wire(running: PageServer) -> Iterator[Callable[[], Wire]]:
    """Connect to the server."""
    made: list[Wire] = []

    def connect() -> Wire:
        made.append(Wire(running))
        return made[-1]

    yield connect
    for one in made:
        one.close()


def statuses(found: bytes) -> list[int]:
    """List the statuses of the answers in what a connection gave."""
    return [int(piece[:3]) for piece in found.split(b"HTTP/1.1 ")[1:]]


MANY = "".join(f"X-{index}: y\r\n" for index in range(500))  # 5 KB
DIGITS = "9" * 5000
ASK = "GET /ask/model HTTP/1.1\r\nHOST\r\nTOKEN\r\nConnection: close\r\n"
GIVE = "POST /ask/input HTTP/1.1\r\nHOST\r\nTOKEN\r\n"

# what is sent, then the statuses of the answers
REQUESTS: dict[str, tuple[str | bytes, list[int]]] = {
    "zeros": (b"\0" * 200, [400]),
    "noise": (bytes(range(256)) * 8, [400]),
    "the greeting of TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500) + b"\r\n\r\n", [400]),
    "the preface of HTTP/2": ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [403, 400]),
    "HTTP/0.9": ("GET /\r\n\r\n", [400]),
    "HTTP/9.9": ("GET / HTTP/9.9\r\nHOST\r\nConnection: close\r\n\r\n", [403]),
    "HTTP/1.0 without a host": ("GET / HTTP/1.0\r\n\r\n", [403]),
    "no host": ("GET / HTTP/1.1\r\n\r\n", [400]),
    "two hosts": ("GET / HTTP/1.1\r\nHOST\r\nHost: example.com\r\n\r\n", [400]),
    "a host with a user": ("GET / HTTP/1.1\r\nHost: me@127.0.0.1\r\nConnection: close\r\n\r\n", [403]),
    "an address that names another host": (
        "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n",
        [403],
    ),
    "two origins": (f"{ASK}Origin: http://127.0.0.1\r\nOrigin: http://example.com\r\n\r\n", [403]),
    "a header line that never ends": ("GET / HTTP/1.1\r\nHOST\r\nX: " + "y" * 2**17, [400]),
    "many headers": (f"{ASK}{MANY}\r\n", [200]),
    "too many headers": (f"{ASK}{MANY * 20}", [400]),
    "a header folded over lines": ("GET / HTTP/1.1\r\nHOST\r\nX: a\r\n b\r\nConnection: close\r\n\r\n", [403]),
    "a header without a colon": (f"{ASK}nothing\r\n\r\n", [400]),
    "a header with a zero byte": (f"{ASK}X: a\0b\r\n\r\n", [400]),
    "a space before the colon": (f"{ASK}X : y\r\n\r\n", [400]),
    "a token in Latin-1": (
        "GET /ask/model HTTP/1.1\r\nHOST\r\nX-Neocog-Token: \xe9\r\nConnection: close\r\n\r\n",
        [403],
    ),
    "a token in another header": (
        "GET /ask/model HTTP/1.1\r\nHOST\r\nCookie: TOKEN\r\nConnection: close\r\n\r\n",
        [403],
    ),
    "a negative length": (f"{GIVE}Content-Length: -1\r\n\r\n", [400]),
    "a length that is no number": (f"{GIVE}Content-Length: 1e3\r\n\r\n", [400]),
    "a length of 5,000 digits": (f"{GIVE}Content-Length: {DIGITS}\r\n\r\n", [400]),
    "two lengths": (f"{GIVE}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", [400]),
    "an encoding that is unknown": (f"{GIVE}Transfer-Encoding: gzip\r\n\r\nab", [400]),
    "chunks of no number": (f"{GIVE}Transfer-Encoding: chunked\r\n\r\nxyz\r\n", [400]),
    "a chunk of 5,000 digits": (f"{GIVE}Transfer-Encoding: chunked\r\n\r\n{DIGITS}\r\n", [400]),
    "a chunk that is longer than told": (f"{GIVE}Transfer-Encoding: chunked\r\n\r\n1\r\nabcdef\r\n", [400]),
    "a body that is longer than told": (f"{GIVE}Content-Length: 2\r\n\r\nabGARBAGE\r\n\r\n", [200, 400]),
    "a body that is none": (f"{GIVE}Content-Length: 0\r\nConnection: close\r\n\r\n", [200]),
    "a body where none belongs": (f"{ASK}Content-Length: 4\r\n\r\nbody", [200]),
    "a wish to speak WebSocket": (f"{ASK}Upgrade: websocket\r\n\r\n", [200]),
    "several requests at once": (ASK.replace("Connection: close\r\n", "\r\n") * 3 + ASK + "\r\n", [200] * 4),
    "thousands of arguments": (
        ASK.replace("model", f"model?{'&'.join(f'{n}=1' for n in range(1500))}") + "\r\n",
        [200],
    ),
    **{
        f"the method {method}": (ASK.replace("GET", method) + "\r\n", [405])
        for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "POST", "MADEUP")
    },
    **{
        f"the path {path[:20]}": (f"GET {path} HTTP/1.1\r\nHOST\r\nTOKEN\r\nConnection: close\r\n\r\n", [404])
        for path in (
            "/../server.py",
            "/%2e%2e/server.py",
            "/..%5cserver.py",
            "//app.js",
            "/app.js%00.png",
            "/app.js/",
            "/static/app.js",
            "/ask",
            "/ask/",
            "/ask/model/",
            "/ask/%ff%fe",
            "/ask/__init__",
            f"/{'a' * 8000}",
            "/etc/passwd",
        )
    },
}


@pytest.mark.parametrize("request_name", REQUESTS)
def test_a_hostile_request_is_refused_and_the_next_one_answered(
    wire: Callable[[], Wire], client: httpx.Client, capfd: pytest.CaptureFixture[str], request_name: str
) -> None:
    sent, want = REQUESTS[request_name]
    one = wire()
    one.send(sent)
    found = one.read()
    # Whoever sends more than is read of it may see a reset in place of the refusal.
    assert statuses(found) == want or (len(sent) > server.MOST_HEAD and found == b"")
    assert b"Traceback" not in found
    assert client.get("/ask/model").status_code == 200
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "arguments",
    [
        {"layer": DIGITS},
        {"layer": "9" * 100},
        {"layer": "-9223372036854775809"},
        {"layer": "NaN"},
        {"layer": "0x0"},
        {"layer": "\u0660"},  # a digit, in Arabic
        {"row": "1e400"},
        {"row": "-1"},
        {"filter": "inf"},
        {"filter": ""},
        {"input": "\u202egnp.x"},
        {"input": "../first"},
        {"input": "\0"},
        {"x" * 5000: "\n"},
        {"x\x1b[2J": "\x1b[2J"},
    ],
)
def test_an_argument_that_cannot_be_is_told_as_a_setting(client: httpx.Client, arguments: dict[str, str]) -> None:
    whole = {"input": "first", "layer": "0", "filter": "0", "row": "0"} | arguments
    (frame,) = read_frames(client.get("/ask/lens", params=whole).content)
    assert frame.manifest["error"]["code"] == "setting"
    assert len(frame.manifest["error"]["message"]) < 400
    assert "\x1b" not in frame.manifest["error"]["message"]


@pytest.mark.parametrize("value", ["nan", "inf", "-1e7", "1e400", "one", "9" * 99])
def test_a_weight_that_cannot_be_is_told_as_a_setting(client: httpx.Client, value: str) -> None:
    cut = {"input": "first", "layer": 0, "filter": 0, "channel": 0, "row": 0, "column": 0, "tap": 0, "value": value}
    (frame,) = read_frames(client.get("/ask/edges", params=cut).content)
    assert frame.manifest["error"]["code"] == "setting"


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return what makes the server lose its patience at once."""
    monkeypatch.setattr(connection, "LOOK_SECONDS", 0.02)

    def begin() -> None:
        for name in ("HEAD_SECONDS", "BODY_SECONDS", "ANSWER_SECONDS"):
            monkeypatch.setattr(connection, name, 0.1)

    return begin


@pytest.mark.parametrize(
    "half",
    [
        "",
        "GET / HT",
        "GET / HTTP/1.1\r\nHOST\r\n",
        f"{GIVE}Content-Length: 1000\r\n\r\nhalf",
        f"{GIVE}Transfer-Encoding: chunked\r\n\r\n4\r\nhalf",
        f"{GIVE}Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n",
        "GET /app.js HTTP/1.1\r\nHOST\r\n\r\nGET / HT",  # a whole one, then half a one
    ],
)
def test_half_a_request_holds_no_connection_for_ever(
    hurry: Callable[[], None], wire: Callable[[], Wire], capfd: pytest.CaptureFixture[str], half: str
) -> None:
    hurry()
    one = wire()
    one.send(half)
    assert statuses(one.read()) in ([], [200], [100])  # it ends, which is what is tested: a client never has to
    assert capfd.readouterr().err == ""


def test_a_drip_of_bytes_is_no_request_either(hurry: Callable[[], None], wire: Callable[[], Wire]) -> None:
    hurry()
    one = wire()
    one.send("GET / HTTP/1.1\r\nX: ")
    assert one.is_ended_while_sending(b"y", pause=0.01)


def test_an_answer_that_nobody_reads_is_not_kept(
    hurry: Callable[[], None], wire: Callable[[], Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()

    def endless(session: Session, question: object, progress: Callable[[float, str], None]) -> None:
        hurry()
        try:
            while True:
                progress(0.5, "x" * 2**20)
                time.sleep(0.005)
        finally:
            ended.set()

    monkeypatch.setitem(server.QUESTIONS, "patches", endless)
    wire().send("GET /ask/patches?layer=0 HTTP/1.1\r\nHOST\r\nTOKEN\r\n\r\n")
    assert ended.wait(LIMIT)


def test_who_waits_for_a_long_answer_is_not_cut_off(
    hurry: Callable[[], None], client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = threading.Semaphore(0)
    check = Connection._check

    def counted(self: Connection) -> None:
        looks.release()
        check(self)

    def slow(session: Session, question: object, progress: object) -> object:
        hurry()
        for _ in range(20):  # looks, four times as long as a client may be silent
            assert looks.acquire(timeout=LIMIT)
        return server.Answer({"late": True})

    monkeypatch.setattr(Connection, "_check", counted)
    monkeypatch.setitem(server.QUESTIONS, "patches", slow)
    (frame,) = read_frames(client.get("/ask/patches?layer=0").content)
    assert frame.manifest["facts"] == {"late": True}


def test_a_crowd_of_silent_clients_does_not_keep_the_page_out(
    wire: Callable[[], Wire], client: httpx.Client, running: PageServer
) -> None:
    crowd = [wire() for _ in range(2 * connection.MOST_CONNECTIONS)]
    for one in crowd[1::2]:
        one.send("GET / HTTP/1.1\r\n")
    assert client.get("/ask/model").status_code == 200
    assert crowd[0].read() == b""  # the first to come went first
    assert len(running._server.server_state.connections) <= connection.MOST_CONNECTIONS


def test_a_client_that_goes_in_the_middle_of_its_body_leaves_no_trace(
    wire: Callable[[], Wire], client: httpx.Client, capfd: pytest.CaptureFixture[str]
) -> None:
    for head in (GIVE, GIVE.replace("TOKEN\r\n", "")):
        one = wire()
        one.send(f"{head}Content-Length: 1000\r\n\r\nhalf")
        one.finish()
        assert one.read() == b""
    assert client.get("/ask/model").status_code == 200
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("ends", ["Connection: close\r\n", ""])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("headers", "status", "reason"),
    [
        ("HOST\r\nTOKEN\r\n", 413, b"an image file may have at most 67,108,864 bytes"),
        ("HOST\r\nX-Neocog-Token: wrong\r\n", 403, b"the token is missing or wrong"),
        ("Host: example.com\r\nTOKEN\r\n", 403, b"this server only answers requests to 127.0.0.1"),
        ("HOST\r\nTOKEN\r\nOrigin: http://example.com\r\n", 403, b"this server only answers its own page"),
    ],
)
def test_who_sends_65_megabytes_reads_why_not(
    wire: Callable[[], Wire], ends: str, chunked: bool, headers: str, status: int, reason: bytes
) -> None:
    one, body = wire(), bytes(65 * 2**20)
    length = f"Transfer-Encoding: chunked\r\n\r\n{len(body):x}" if chunked else f"Content-Length: {len(body)}\r\n"
    one.send(f"POST /ask/input HTTP/1.1\r\n{headers}{ends}{length}\r\n")
    one.send(body)  # all of it, as a browser does before it looks at the answer
    one.send("\r\n0\r\n\r\n" if chunked else b"")
    one.send("GET /nothing HTTP/1.1\r\nHOST\r\nConnection: close\r\n\r\n" if not ends else b"")
    found = one.read()
    assert statuses(found) == [status] if ends else [status, 404]
    assert reason in found


def test_who_waits_for_leave_to_send_is_refused_without_a_byte(wire: Callable[[], Wire]) -> None:
    one = wire()
    one.send("POST /ask/input HTTP/1.1\r\nHOST\r\nExpect: 100-continue\r\nContent-Length: 70000000\r\n\r\n")
    assert statuses(one.read()) == [403]


def test_a_refused_client_that_never_ends_is_read_up_to_a_limit(
    wire: Callable[[], Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "DRAINED_BYTES", 2**20)
    one = wire()
    one.send("POST /ask/input HTTP/1.1\r\nHOST\r\nContent-Length: 99999999999999\r\n\r\n")
    assert one.is_ended_while_sending(bytes(2**16))
