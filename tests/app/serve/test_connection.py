"""Clients that stop taking part lose their connection, and cost nothing meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from app.serve.loops import run_in_loop
from neocog.app.serve.connection import ClientConnection, Turn
from neocog.app.serve.counters import Counters
from neocog.app.serve.settings import (
    ANSWER_SECONDS,
    BODY_RATE,
    BODY_SECONDS,
    HEAD_SECONDS,
    KEPT_SECONDS,
    Settings,
)

HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000\r\n\r\n"


class Transport:
    """What a connection writes to, and whether it has ended."""

    def __init__(self) -> None:
        self.sent, self.ended, self.unsent = b"", False, 0

    def write(self, data: bytes) -> None:
        self.sent += data

    def close(self) -> None:
        self.ended = True

    abort = close

    def is_closing(self) -> bool:
        return self.ended

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def get_extra_info(self, name: str) -> Any:
        return None

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def _silent(scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    await asyncio.sleep(3600)


class Bench:
    """Connections without a network, whose clock stands still."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.config = uvicorn.Config(_silent, http=ClientConnection, ws="none", lifespan="off", log_level="critical")
        self.config.load()
        self.state, self.counters, self.settings = ServerState(), Counters(1, []), settings or Settings()

    def connect(self) -> tuple[ClientConnection, Transport]:
        connection = ClientConnection(
            config=self.config,
            server_state=self.state,
            app_state={},
            settings=self.settings,
            row=self.counters.row(0),
        )
        transport = Transport()
        connection.connection_made(transport)  # type: ignore[arg-type]
        return connection, transport


def run(test: Any) -> None:
    """Run a test in an event loop."""

    async def within() -> None:
        await test()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    run_in_loop(within)


@pytest.mark.parametrize(
    ("sent", "turn", "seconds", "told"),
    [
        (b"", Turn.IDLE, KEPT_SECONDS, b""),
        (b"POST / HT", Turn.HEAD, HEAD_SECONDS, b"408"),
        (HEAD, Turn.BODY, BODY_SECONDS + len(HEAD) / BODY_RATE, b""),
    ],
)
def test_who_sends_no_more_has_so_long(sent: bytes, turn: Turn, seconds: float, told: bytes) -> None:
    async def test() -> None:
        connection, transport = Bench().connect()
        if sent:
            connection.data_received(sent)
        assert connection.turn is turn
        begun = connection.since
        connection.look(begun + seconds - 0.1)
        assert not transport.ended
        connection.look(begun + seconds + 0.1)
        assert transport.ended
        assert told in transport.sent

    run(test)


def test_a_slow_line_is_no_halt() -> None:
    async def test() -> None:
        connection, transport = Bench().connect()
        connection.data_received(HEAD)
        begun, pieces = connection.since, 0
        while pieces < 40:  # at twice the least rate
            connection.data_received(b"x" * (2 * BODY_RATE))
            pieces += 1
            connection.look(begun + BODY_SECONDS + pieces)
        assert not transport.ended

    run(test)


def test_who_waits_for_an_answer_may_wait() -> None:
    async def test() -> None:
        connection, transport = Bench().connect()
        connection.data_received(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.turn is Turn.SERVER
        connection.look(connection.since + 10_000)
        assert not transport.ended

    run(test)


def test_an_answer_that_nobody_reads_ends_the_connection() -> None:
    async def test() -> None:
        connection, transport = Bench().connect()
        connection.data_received(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        transport.unsent = 5000
        connection.look(100.0)
        transport.unsent = 4000  # it reads, slowly
        connection.look(100.0 + ANSWER_SECONDS)
        connection.look(100.0 + 2 * ANSWER_SECONDS - 0.1)
        assert not transport.ended
        connection.look(100.0 + 2 * ANSWER_SECONDS + 0.1)
        assert transport.ended

    run(test)


def test_of_too_many_the_longest_silent_gives_way_and_none_that_is_served() -> None:
    async def test() -> None:
        bench = Bench(Settings(max_connections=3))
        served, at_work = bench.connect()
        served.data_received(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        _, longest = bench.connect()
        younger, other = bench.connect()
        younger.since += 1
        newest, last = bench.connect()
        newest.since += 2
        assert (at_work.ended, longest.ended, other.ended, last.ended) == (False, True, False, False)

    run(test)


def test_a_head_without_end_is_refused() -> None:
    async def test() -> None:
        connection, transport = Bench().connect()
        connection.data_received(b"GET / HTTP/1.1\r\n")
        for _ in range(100):
            connection.data_received(b"A: " + b"b" * 1000 + b"\r\n")
        assert transport.ended
        assert b" 431 " in transport.sent

    run(test)


def test_a_request_right_behind_a_long_one_is_not_taken_for_a_long_head() -> None:
    async def test() -> None:
        connection, transport = Bench().connect()
        whole = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000
        connection.data_received(whole + b"POST / HTTP/1.1\r\nHost: loc")
        assert (connection.turn, transport.ended) == (Turn.HEAD, False)
        for _ in range(100):
            connection.data_received(b"alhost\r\nA: " + b"b" * 1000)
        assert b" 431 " in transport.sent or transport.ended

    run(test)


def test_a_refused_body_without_end_is_read_only_so_far() -> None:
    async def test() -> None:
        connection, transport = Bench(Settings(max_body=1000)).connect()
        connection.data_received(b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece = b"100000\r\n" + b"x" * (1 << 20) + b"\r\n"
        pieces = 0
        while not transport.ended:
            connection.cycle.body = bytearray()  # as an application takes it
            connection.data_received(piece)
            pieces += 1
            assert pieces < 80

    run(test)
