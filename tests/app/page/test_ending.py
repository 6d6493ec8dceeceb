"""The page's server ends at a signal: at once, in a word, whatever its clients are doing."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

LIMIT = 60.0  # seconds; nothing here takes one

# `neocog explain --lesson --no-browser`, with a question that is never answered, and without the built page
PROGRAM = """
import sys, time
from neocog.app.cli import explain
from neocog.app.cli.errors import run_reported
from neocog.app.page import server

def endless(session, question, progress):
    while True:
        progress(0.5, "steps")
        time.sleep(0.01)

server.QUESTIONS["patches"] = endless
server.page_file = lambda name: ""
session = explain.lesson_session()
sys.exit(run_reported(lambda: explain.serve(server.PageServer(session), browser=False, quiet=False)))
"""

GIVE = "POST /ask/input HTTP/1.1\r\nHOST\r\nContent-Length: 99\r\n"
CLIENTS = {
    "nobody": "",
    "half a head": "GET / HT",
    "an answer that streams": "GET /ask/patches HTTP/1.1\r\nHOST\r\nTOKEN\r\n\r\n",
    "half a body": f"{GIVE}TOKEN\r\nExpect: 100-continue\r\n\r\nhalf",
    "half a body that is refused": f"{GIVE}\r\nhalf",
}
ANSWERED = ("an answer that streams", "half a body")  # whose first bytes say that the server is at it


@pytest.fixture
def served() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server in a process of its own, and its address."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
        process.kill()


def connect(address: str, client: str) -> socket.socket:
    """Begin what a client does, when the server answers."""
    host, token = address.removeprefix("http://").split("/?token=")
    connected = socket.create_connection(("127.0.0.1", int(host.partition(":")[2])), LIMIT)
    for text in ("GET /app.js HTTP/1.1\r\nHOST\r\n\r\n", CLIENTS[client]):
        connected.sendall(text.replace("HOST", f"Host: {host}").replace("TOKEN", f"X-Neocog-Token: {token}").encode())
        if text.startswith("GET /app.js") or client in ANSWERED:
            assert connected.recv(2**16).startswith(b"HTTP/1.1 ")
    return connected


@pytest.mark.parametrize("client", CLIENTS)
def test_ctrl_c_ends_it_with_one_word_whatever_goes_on(served: tuple[subprocess.Popen[str], str], client: str) -> None:
    process, address = served
    connected = connect(address, client)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=LIMIT)
    assert told.splitlines() == ["the page is served to this machine only; stop it with Ctrl-C", "stopped"]
    assert process.returncode == 0
    connected.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_end_it_too_and_no_traceback_is_seen(
    served: tuple[subprocess.Popen[str], str], number: signal.Signals
) -> None:
    process, address = served
    connected = connect(address, "an answer that streams")
    process.send_signal(number)
    _, told = process.communicate(timeout=LIMIT)
    assert process.returncode in (-number, 128 + number)
    assert "Traceback" not in told
    assert "ERROR" not in told
    connected.close()
