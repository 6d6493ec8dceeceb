"""The OpenAPI document is true: whatever it allows is answered as it says, and what it does not is refused."""

from __future__ import annotations

import os
import subprocess
import sys

import httpx
import pytest

from app.serve.conftest import Served

schemathesis = pytest.importorskip("schemathesis")

THOROUGH = os.environ.get("NEOCOG_TEST_PROFILE") == "thorough"
EFFORT = ("--max-examples", "200") if THOROUGH else ("--max-examples", "3", "--phases", "coverage,fuzzing")


def test_schemathesis_finds_nothing_that_it_does_not_say(running: Served) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli"),
            *("run", f"{running.address}/openapi.json"),
            *("--generation-deterministic", "--no-color", *EFFORT),
            *(
                "--exclude-checks",
                "positive_data_acceptance",
            ),  # bytes that are no image fit the schema, and are refused
        ],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_it_names_every_address(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    for path, methods in paths.items():
        for method in methods:
            answer = client.request(method.upper(), path, follow_redirects=False)
            assert answer.status_code in map(int, methods[method]["responses"]), (method, path, answer.text)
