"""The widget carries questions and answers; it is heard here as the page would."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

import neocog as nc
from app.page.frames import Frame, read_frame
from explain.networks import make_image, make_model
from neocog.app.page.notebook import show
from neocog.explain.trace import trace

LIMIT = 120.0  # seconds
pytest.importorskip("anywidget")


def ask(widget: Any, question: str, body: bytes | None = None, number: str = "1") -> list[Frame]:
    """Ask a widget as the page does, and wait for the last frame."""
    frames: list[Frame] = []
    widget.send = lambda content, buffers: frames.append(read_frame(buffers[0]))
    widget._hear(widget, {"question": question, "id": number}, [] if body is None else [memoryview(body)])
    deadline = time.monotonic() + LIMIT
    while not frames or "progress" in frames[-1].manifest:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return frames


def test_a_question_of_the_page_is_answered_by_the_model(unbuilt_page: None) -> None:
    model = make_model("colour")
    image = make_image(model)
    (frame,) = ask(show(model, image), "run?input=first")
    np.testing.assert_allclose(frame.arrays["logits"], trace(model, image).logits, rtol=1e-6)


def test_a_drawing_becomes_an_input(unbuilt_page: None) -> None:
    widget = show(make_model("colour"))
    pixels = bytes(range(4)) * 10 * 14
    (frame,) = ask(widget, "input?height=10&width=14", pixels)
    name = frame.manifest["facts"]["input"]
    (frame,) = ask(widget, f"run?input={name}")
    np.testing.assert_allclose(frame.arrays["image"][0, 0], np.array([0, 1, 2]) / 255, rtol=1e-6)


def test_a_mistake_is_told_and_data_can_be_looked_through(unbuilt_page: None) -> None:
    model = make_model("colour")
    (frame,) = ask(show(model, make_image(model)), "patches?layer=0")
    assert "no data set" in frame.manifest["error"]["message"]
    data = np.random.default_rng(0).integers(0, 256, (20, *model.input_shape)).astype(np.uint8)
    *progress, last = ask(show(model, data=data), "patches?layer=0")
    assert progress
    assert last.manifest["facts"]["images"] == 20


def test_an_image_that_does_not_fit_is_refused_at_once(unbuilt_page: None) -> None:
    with pytest.raises(nc.ShapeError):
        show(make_model("colour"), np.zeros((3, 3)))
