"""One file that shows a network without neocog, from file:// too: the page, and answers recorded ahead."""

from __future__ import annotations

import base64
import gzip
import zlib
from collections.abc import Callable
from pathlib import Path

from neocog.app.page.answers import answer
from neocog.app.page.files import one_file, page_file, whole_script
from neocog.app.page.lesson.recorded import cards_recorded
from neocog.app.page.message import Answer, plain
from neocog.app.page.question import Question
from neocog.app.page.recording import essential, optional
from neocog.app.page.session import Session
from neocog.errors import NeocogError
from neocog.model.writing import write_atomically

MOST_BYTES = 1_700_000  # of answers, compressed, up to which others than the essential ones are recorded
LARGEST = 2**17  # bytes, compressed, of one of these: none shall keep many others out

Recording = dict[str, Answer]


def save_page(session: Session, path: Path, progress: Callable[[int, int], None]) -> int:
    """Write a page that holds its answers.

    Arguments:
        session: what it is about.
        path: of the file; one that is there is replaced.
        progress: called with (recorded, all) as it goes on.

    Returns:
        The size of the file, bytes.

    Raises:
        NeocogError: the page was not built, or the file cannot be written.
    """
    script, style = whole_script(), page_file("app.css")
    lesson = cards_recorded(session, lambda example: record(example, lambda done, total: None))
    page = assemble(session.title, script, style, pack({**record(session, progress), **lesson})).encode()
    write_atomically(path, page)
    return len(page)


def record(session: Session, progress: Callable[[int, int], None]) -> Recording:
    """Answer the essential questions, then others for as long as there is room."""
    wanted = list(essential(session))
    recording, room = {}, MOST_BYTES
    for done, question in enumerate(wanted):
        progress(done, len(wanted))  # how many others there are is not known yet
        recording[str(question)] = answer(session, question)
        room -= _size(recording[str(question)])
    facts = dict(recording["model"].facts)
    rest = list(optional(session, facts["defaults"]))
    full: set[tuple[str, str | None]] = set()
    done, total = len(wanted), len(wanted) + len(rest)
    for place, question in enumerate(rest):
        kind = _kind(question)
        if kind in full:
            continue
        progress(done, total)
        done += 1
        try:
            found = answer(session, question)
        except NeocogError:
            continue  # the network's weights do not allow it; whoever asks is told that it is not here
        size = _size(found)
        if size <= min(room, LARGEST):  # a smaller one may still have room
            recording[str(question)] = found
            room -= size
        else:
            full.add(kind)  # others of the kind are as large, and computing them would take time for nothing
            total -= sum(_kind(other) == kind for other in rest[place + 1 :])
    progress(done, total)
    facts |= {
        "live": False,
        "recorded": {"filters": _whole_filters(session, recording), "channels": _channels(recording)},
    }
    recording["model"] = Answer(facts)
    return recording


def _kind(question: Question) -> tuple[str, str | None]:
    """Return what answers to alike questions have in common: their size, about."""
    return question.name, question.arguments.get("layer")


def _size(found: Answer) -> int:
    """Return how many bytes an answer takes, about."""
    return len(zlib.compress(found.frame(packed=True), 1))


def pack(recording: Recording) -> str:
    """Write a recording as text: base64 of gzip of frames, the first of which lists the questions of the others."""
    frames = [
        Answer({"questions": list(recording)}).frame(),
        *(found.frame(packed=True) for found in recording.values()),
    ]
    return base64.b64encode(gzip.compress(b"".join(frames), mtime=0)).decode()


def _whole_filters(session: Session, recording: Recording) -> dict[str, list[int]]:
    """List the filters of each convolution whose arithmetic the recording holds for every row, in its order."""
    rows: dict[tuple[str, int], int] = {}
    for key in recording:
        question = Question.read(key)
        if question.name == "lens":
            of = (question.text("layer"), question.whole("filter"))
            rows[of] = rows.get(of, 0) + 1
    filters: dict[str, list[int]] = {}
    for (layer, filter), count in rows.items():
        shape = session.model.graph.nodes[int(layer)].output
        if count == getattr(shape, "height", 0):
            filters.setdefault(layer, []).append(filter)
    return filters


def _channels(recording: Recording) -> dict[str, list[int]]:
    """List the channels of each layer whose steps the recording holds, in its order."""
    channels: dict[str, list[int]] = {}
    for key in recording:
        question = Question.read(key)
        if question.name == "steps":
            channels.setdefault(question.text("layer"), []).append(question.whole("channel"))
    return channels


def assemble(title: str, script: str, style: str, answers: str) -> str:
    """Put the file together."""
    holder = f'<script type="application/octet-stream" id="neocog-answers">{answers}</script>'
    return one_file(f"{plain(title)} - neocog: see inside", script, style, holder)
