"""A saved page holds the page, its answers, and a policy that lets nothing else in."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

from app.page.frames import Frame, read_frames
from neocog.app.page.answers import answer
from neocog.app.page.examples import lesson_session
from neocog.app.page.message import FEW_VALUES, MANY_VALUES, Answer
from neocog.app.page.question import Question
from neocog.app.page.saved import assemble, pack, record, save_page
from neocog.app.page.session import FIRST, Session


def read_recording(page: str) -> dict[str, Frame]:
    """Take the answers out of a saved page."""
    text = re.search(r'<script type="application/octet-stream" id="neocog-answers">(.*?)</script>', page, re.DOTALL)
    assert text is not None
    index, *frames = read_frames(gzip.decompress(base64.b64decode(text[1], validate=True)))
    return dict(zip(index.manifest["facts"]["questions"], frames, strict=True))


def test_recorded_answers_are_those_of_the_questions(session: Session, unbuilt_page: None, tmp_path: Path) -> None:
    size = save_page(session, tmp_path / "page.html", lambda done, total: None)
    page = (tmp_path / "page.html").read_text()
    assert size == len(page.encode())
    recording = read_recording(page)
    assert len(recording) > 50
    for key, kept in recording.items():
        if key == "model" or "maximise" in key or "patches" in key:
            continue
        want = answer(session, Question.read(key))
        assert list(kept.arrays) == list(want.arrays)
        for name, array in kept.arrays.items():
            exact = np.asarray(want.arrays[name], np.float32)
            within = np.ptp(exact) / 2 / 255 if exact.size >= MANY_VALUES else np.ptp(exact) / 2 / 65535
            if exact.size < FEW_VALUES or (exact == np.round(exact)).all():
                within = 0.0
            np.testing.assert_allclose(array, exact, rtol=1e-6, atol=1.01 * within)
    facts = recording["model"].manifest["facts"]
    assert facts["live"] is False
    assert facts["recorded"]["filters"]["0"]
    assert sorted(facts["recorded"]["channels"]["1"]) == list(range(5))


def test_the_same_session_gives_the_same_bytes(unbuilt_page: None, tmp_path: Path) -> None:
    for name in "ab":
        save_page(lesson_session(), tmp_path / name, lambda done, total: None)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_each_room_has_answers(session: Session) -> None:
    names = {Question.read(key).name for key in record(session, lambda done, total: None)}
    assert {"model", "run", "activation", "lens", "edges", "pooling", "steps", "gradient", "terms", "flatten"} <= names
    assert {"patches", "maximise", "occlusion", "gradcam", "shift", "downsample"} <= names


def test_the_lesson_holds_every_window_every_edit_and_every_route() -> None:
    recording = record(lesson_session(), lambda done, total: None)
    for filter in range(2):
        for row in range(4):
            assert f"lens?filter={filter}&input=first&layer=0&row={row}" in recording
    cut = "edges?channel=0&column=0&filter=1&input=first&layer=0&row=0"
    assert cut in recording
    assert all(f"{cut}&tap={tap}&value={value}" in recording for tap in range(9) for value in range(-3, 4))
    assert "route?channel=0&column=5&input=first&layer=0&row=5&target=class:0" in recording


def test_room_ends_and_smaller_answers_still_find_theirs(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = record(session, lambda done, total: None)
    monkeypatch.setattr("neocog.app.page.saved.MOST_BYTES", 20_000)
    told: list[tuple[int, int]] = []
    less = record(session, lambda done, total: told.append((done, total)))
    assert len(less) < len(everything)
    assert [done for done, _ in told] == list(range(len(told)))
    assert told[-1][0] == told[-1][1] < told[0][1] + len(everything)
    rest = [total for _, total in told if total > told[0][1]]
    assert rest == sorted(rest, reverse=True)
    assert rest[-1] < rest[0]  # what has no room any more is not counted
    assert f"gradient?input={FIRST}&layer=-1&target=class:{session.trace(FIRST).logits.argmax()}" in less


def test_the_policy_names_the_one_script_and_style_and_nothing_ends_them_early() -> None:
    script = 'const a = "</script><!--"; run()'
    recording = {"model": Answer({"title": "</script><script>alert(1)</script>"})}
    page = assemble("<b>&", script, "p{color:red}", pack(recording))
    assert page.count("</script") == 3
    assert "<!--" not in page
    assert "<title>&lt;b>&amp; - neocog" in page
    assert read_recording(page)["model"].manifest["facts"] == recording["model"].facts
    (packed,) = re.findall(r'id="neocog-page">(.*?)</script>', page)
    assert json.loads(gzip.decompress(base64.b64decode(packed))) == [["style", "p{color:red}"], ["script", script]]
    (inside,) = re.findall(r'<script type="module">(.*?)</script>', page, re.DOTALL)
    for text in (inside, script, "p{color:red}"):
        assert f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" in page
    assert "connect-src" not in page
    assert "default-src 'none'" in page
