"""Sessions to ask, and a page that stands in for the built one where only the server is tested."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import httpx
import numpy as np
import pytest

from explain.networks import make_image, make_model
from neocog.app.page.server import PageServer
from neocog.app.page.session import FIRST, Gallery, Input, Session
from neocog.data.arrays import ArrayDataset

FILES = {
    "index.html": "<!doctype html><title>page</title>",
    **dict.fromkeys(("app.js", "en.js", "zh.js"), "'use script'"),
    "app.css": "p{}",
}
LIMIT = 60.0  # seconds; nothing here takes one


@pytest.fixture
def session() -> Session:
    """A session about a small network, with an image and a data set of 40."""
    model = make_model("colour")
    made = Session(model, "colour", engine="reference")
    made.add(Input(make_image(model), "first.png", None, (2,)), FIRST)
    images = np.random.default_rng(1).integers(0, 256, (40, *model.input_shape)).astype(np.uint8)
    dataset = ArrayDataset(images, np.arange(40) % 4, list(model.class_names), prefix="drawn")
    made.gallery = Gallery(dataset, made.size, made.resize, model.class_names, "drawn")
    return made


@pytest.fixture
def unbuilt_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files in place of the built page's."""
    for module in ("files", "server", "saved", "notebook"):
        monkeypatch.setattr(f"neocog.app.page.{module}.page_file", FILES.__getitem__)


@pytest.fixture
def running(session: Session, unbuilt_page: None) -> Iterator[PageServer]:
    """A server of the session, on a free port."""
    page = PageServer(session)
    thread = threading.Thread(target=page.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + LIMIT
    while not page.started:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    yield page
    page.stop()
    thread.join(LIMIT)
    assert not thread.is_alive()


@pytest.fixture
def client(running: PageServer) -> Iterator[httpx.Client]:
    """A client that has the token."""
    base, token = running.address.split("/?token=")
    with httpx.Client(base_url=base, headers={"X-Neocog-Token": token}, timeout=LIMIT) as made:
        yield made
