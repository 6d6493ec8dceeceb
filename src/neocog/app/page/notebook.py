"""The page inside JupyterLab: the same bundle, its questions carried by the notebook's own messages."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neocog.app.page.answers import answer
from neocog.app.page.files import page_file, whole_script
from neocog.app.page.message import error_frame, progress_frame
from neocog.app.page.question import Question
from neocog.app.page.server import PIXELS, Cancelled, take_input
from neocog.app.page.session import FIRST, Gallery, Input, Session
from neocog.data.arrays import ArrayDataset
from neocog.engines.base import check_images
from neocog.errors import NeocogError
from neocog.explain.subject import Subject, one_image

UNNAMED = "?"  # the class of images that come without one


def show(model: Subject, image: NDArray[Any] | None = None, *, data: NDArray[Any] | None = None) -> Any:
    """Show the explaining page in a notebook.

    Arguments:
        model: any neocog model.
        image: (H, W, C), uint8 or in [0, 1], to begin with; without one, the page asks for one.
        data: (N, H, W, C) images to look for patterns in.

    Returns:
        A widget; as the last line of a cell it is displayed.

    Raises:
        NeocogError: the extra `notebook` is not installed, or neocog was installed without its page.
        ShapeError, DataError: the image does not fit the network.
    """
    engine = getattr(model, "engine", "reference")
    session = Session(model, "model", notebook=True, engine=engine if isinstance(engine, str) else engine.name)
    if data is not None:
        images = check_images(model.graph, data)
        dataset = ArrayDataset(images, np.zeros(len(images), np.int64), [UNNAMED], prefix="data", layout="NHWC")
        session.gallery = Gallery(dataset, session.size, session.resize, model.class_names, "data")
    if image is not None:
        session.add(Input(one_image(model, image)[0], "image"), FIRST)
    elif session.gallery is not None and len(session.gallery):
        session.add(session.gallery.input(0), FIRST)
    return _make_widget(session)


def _make_widget(session: Session) -> Any:
    try:
        from anywidget import AnyWidget
    except ImportError:
        raise NeocogError("the page in a notebook needs anywidget", hint="pip install 'neocog[notebook]'") from None

    class PageWidget(AnyWidget):  # type: ignore[misc]  # made here, since its base may be missing
        """Carries questions and answers between a session and the page."""

        _esm = whole_script()
        _css = page_file("app.css")

        def __init__(self) -> None:
            super().__init__()
            self._cancelled: set[str] = set()
            self.on_msg(self._hear)

        def _hear(self, _: Any, content: dict[str, Any], buffers: list[memoryview]) -> None:
            if "cancel" in content:
                self._cancelled.add(str(content["cancel"]))
                return
            # On a thread, since the kernel hears of a wish to cancel only while it does nothing else.
            threading.Thread(target=self._answer, args=(content, buffers), daemon=True).start()

        def _answer(self, content: dict[str, Any], buffers: list[memoryview]) -> None:
            number = str(content.get("id"))

            def progress(done: float, what: str) -> None:
                if number in self._cancelled:
                    raise Cancelled
                self._tell(number, progress_frame(done, what))

            try:
                question = Question.read(str(content.get("question")))
                if question.name == "input":
                    kind = PIXELS if "height" in question.arguments else ""
                    found = take_input(session, bytes(buffers[0]), kind, dict(question.arguments))
                else:
                    found = answer(session, question, progress)
                self._tell(number, found.frame())
            except Cancelled:
                self._cancelled.discard(number)
            except Exception as error:  # whatever it is, the page shows it where the answer would be
                self._tell(number, error_frame(error))

        def _tell(self, number: str, frame: bytes) -> None:
            self.send({"id": number}, [frame[4:]])  # a message knows its own length

    return PageWidget()
