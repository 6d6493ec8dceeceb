"""Questions about what a network looks for: images, patches, attributions, places, learning."""

from __future__ import annotations

from neocog.app.page.message import Answer
from neocog.app.page.question import Question
from neocog.app.page.session import Session
from neocog.errors import SettingError
from neocog.explain.subject import Progress


def sample(session: Session, question: Question, progress: Progress) -> Answer:
    """Take an image of the data set as input."""
    if session.gallery is None:
        raise SettingError("there is no data set to take images from", hint="start with --data DATA")
    item = session.gallery.input(question.whole("index"))
    return Answer({"input": session.add(item), "name": item.name, "note": item.note, "label": item.label})


PATTERNS = {"sample": sample}
