"""The server answers its own page, on this machine, with its token, and nobody else."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

import neocog as nc
from app.page.conftest import LIMIT
from app.page.frames import read_frames
from neocog.app.page import files as page_files
from neocog.app.page import server
from neocog.app.page.server import PageServer
from neocog.app.page.session import FIRST, Session


def test_the_page_and_its_files_come_with_a_strict_policy(running: PageServer, client: httpx.Client) -> None:
    answers = [
        client.get(running.address),
        *(client.get(f"/{name}") for name in ("app.js", "en.js", "zh.js", "app.css")),
    ]
    assert [answer.status_code for answer in answers] == [200] * 5
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy.replace("http-equiv", "")
    assert client.get("/other.js").status_code == 404
    assert client.get("/..%2fserver.py").status_code == 404


def test_it_listens_on_this_machine_alone(running: PageServer) -> None:
    assert running._socket.getsockname()[0] == "127.0.0.1"


def test_without_its_token_nothing_is_answered(client: httpx.Client) -> None:
    for headers in ({"X-Neocog-Token": ""}, {"X-Neocog-Token": "wrong"}, {"X-Neocog-Token": "schlüssel".encode()}):
        assert client.get("/ask/model", headers=headers).status_code == 403
        assert client.post("/ask/input", content=b"x", headers=headers).status_code == 403
    assert client.get("/").status_code == 403
    assert client.get("/?token=wrong").status_code == 403


@pytest.mark.parametrize("host", ["example.com", "127.0.0.1", "127.0.0.1.example.com:80", "localhost:1"])
def test_another_host_is_refused(client: httpx.Client, host: str) -> None:
    assert client.get("/ask/model", headers={"Host": host}).status_code == 403


def test_another_page_is_refused_and_its_own_is_not(running: PageServer, client: httpx.Client) -> None:
    for origin in ("http://example.com", "null", "file://", f"https://127.0.0.1:{running.port}"):
        assert client.get("/ask/model", headers={"Origin": origin}).status_code == 403
    own = client.get("/ask/model", headers={"Origin": f"http://127.0.0.1:{running.port}"})
    assert own.status_code == 200


def test_a_question_is_answered(client: httpx.Client, session: Session) -> None:
    (frame,) = read_frames(client.get("/ask/run?input=first").content)
    want = session.trace(FIRST).logits
    np.testing.assert_allclose(frame.arrays["logits"], want, rtol=1e-6)
    assert frame.manifest["facts"]["labels"] == [2]


def test_long_work_tells_how_far_it_is(client: httpx.Client) -> None:
    *progress, last = read_frames(client.get("/ask/patches?layer=0").content)
    done = [frame.manifest["progress"]["done"] for frame in progress]
    assert done
    assert done == sorted(done)
    assert last.manifest["facts"]["images"] == 40


def test_a_mistake_is_told_where_the_answer_would_be(client: httpx.Client) -> None:
    (frame,) = read_frames(client.get("/ask/lens?input=first&layer=1&filter=0&row=0").content)
    assert frame.manifest["error"]["code"] == "setting"
    assert "must be a Conv2d" in frame.manifest["error"]["message"]
    assert client.get("/ask/nothing").status_code == 404
    (frame,) = read_frames(client.get("/ask/sample?index=%3Cscript%3E").content)
    assert frame.manifest["error"]["code"] == "setting"


def test_an_image_is_taken_and_brought_to_size(client: httpx.Client, session: Session) -> None:
    file = io.BytesIO()
    Image.new("RGB", (3264, 2448), (200, 30, 60)).save(file, "JPEG")
    (frame,) = read_frames(client.post("/ask/input", content=file.getvalue()).content)
    facts = frame.manifest["facts"]
    assert facts["note"]["en"] == "2448 x 3264 pixels, resized to 10 x 14 by stretch"
    assert facts["note"]["zh"] == "2448 × 3264 像素，按 stretch 缩放到 10 × 14"
    assert session.input(facts["input"]).image.shape == (10, 14, 3)


def test_a_drawing_is_taken_as_pixels(client: httpx.Client, session: Session) -> None:
    rows = np.random.default_rng(0).integers(0, 256, (10, 14, 4)).astype(np.uint8)
    rows[..., 3] = 255
    kind = {"Content-Type": "application/x-neocog-pixels"}
    answer = client.post("/ask/input?height=10&width=14", content=rows.tobytes(), headers=kind)
    (frame,) = read_frames(answer.content)
    np.testing.assert_array_equal(session.input(frame.manifest["facts"]["input"]).image, rows[..., :3])
    (frame,) = read_frames(client.post("/ask/input?height=10&width=13", content=rows.tobytes(), headers=kind).content)
    assert frame.manifest["error"]["code"] == "data"


def test_what_is_no_image_is_told_and_what_is_too_large_refused(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    (frame,) = read_frames(client.post("/ask/input", content=b"not an image").content)
    assert "not an image" in frame.manifest["error"]["message"]
    monkeypatch.setattr(server, "MOST_BYTES", 1000)
    assert client.post("/ask/input", content=b"x" * 1001).status_code == 413

    def pieces() -> Iterator[bytes]:  # no length is told beforehand
        yield from (b"x" * 600, b"x" * 600)

    assert client.post("/ask/input", content=pieces()).status_code == 413


def test_work_ends_when_nobody_waits_for_it(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    def endless(session: Session, question: object, progress: object) -> None:
        try:
            for step in range(10_000):
                time.sleep(0.01)
                progress(step / 10_000, "steps")
        finally:
            ended.set()

    monkeypatch.setitem(server.QUESTIONS, "patches", endless)
    with client.stream("GET", "/ask/patches?layer=0") as answer:
        next(answer.iter_raw())
    assert ended.wait(LIMIT)


def test_questions_are_answered_while_long_work_goes_on(client: httpx.Client) -> None:
    with client.stream("GET", "/ask/patches?layer=0") as answer:
        assert read_frames(client.get("/ask/flatten?layer=3").content)[0].arrays["place"].shape[1] == 3
        answer.read()


def test_a_port_that_is_taken_is_told(running: PageServer, session: Session) -> None:
    with pytest.raises(nc.NeocogError, match=f"port {running.port}"):
        PageServer(session, running.port)


def test_an_installation_without_the_page_says_so(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_files, "files", lambda package: Path("/nonexistent"))
    with pytest.raises(nc.NeocogError, match=r"without Node\.js") as told:
        PageServer(session)
    assert told.value.hint is not None
