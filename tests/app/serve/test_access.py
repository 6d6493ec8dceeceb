"""The access log holds nobody up."""

from __future__ import annotations

import asyncio
import json
import os

from app.serve.loops import run_in_loop
from neocog.app.serve.access import KEPT_LINES, AccessLog

TOO_MANY = KEPT_LINES + 5000  # more than the pipe and the log hold


def test_who_reads_the_log_no_more_holds_no_request_up() -> None:
    async def test() -> None:
        reading, writing = os.pipe()
        log = AccessLog(os.devnull, asyncio.get_running_loop())
        os.dup2(writing, log._file)
        for number in range(TOO_MANY):
            log.note({"method": "GET", "path": f"/{number}"}, 200, 1, 2, 0.5)
        found = b""
        os.set_blocking(reading, False)
        try:
            while True:
                log.write()
                found += os.read(reading, 1 << 16)
        except BlockingIOError:
            pass
        paths = [json.loads(line)["path"] for line in found.splitlines()]
        assert paths == [f"/{number}" for number in range(len(paths))]
        assert KEPT_LINES <= len(paths) < TOO_MANY
        for descriptor in (reading, writing, log._file):
            os.close(descriptor)

    run_in_loop(test)
