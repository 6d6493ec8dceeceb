"""A real browser, and pages to open in it: the worked example, a trained network, a saved file."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neocog as nc
from neocog.app.page.examples import lesson_session
from neocog.app.page.files import page_file
from neocog.app.page.server import PageServer
from neocog.app.page.session import FIRST, Gallery, Input, Session
from neocog.data.builtin import read_digits
from neocog.errors import NeocogError

LIMIT = 120.0  # seconds
REQUIRED = os.environ.get("NEOCOG_BROWSER_TESTS") == "required"
# Without the last ones Chromium looks for its maker's hosts at every start.
HERE = ("http://127.0.0.1:", "blob:", "data:", "file:")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",  # a camera that shows a moving figure
]


def missing(what: str) -> None:
    """Skip a test that needs something that is not here; fail where browser tests are required."""
    if REQUIRED:
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's Chromium, driven by Playwright; a skip, or a failure where it is required, without it."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        missing("there is no chromium: apt-get install chromium")
    try:
        page_file("app.js")
    except NeocogError:
        missing("the page is not built: npm ci && npm run build in web/")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def serve() -> Iterator[Callable[[Session], str]]:
    """Serve a session for as long as the tests run; gives its address."""
    running: list[tuple[PageServer, threading.Thread]] = []

    def begin(session: Session) -> str:
        server = PageServer(session)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        running.append((server, thread))
        deadline = time.monotonic() + LIMIT
        while not server.started:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return server.address

    yield begin
    for server, thread in running:
        server.stop()
        thread.join(LIMIT)


@pytest.fixture(scope="session")
def lesson() -> Session:
    """The worked example."""
    return lesson_session()


@pytest.fixture(scope="session")
def digits() -> Session:
    """A network that learnt the built-in digits for a few epochs, and those digits to look through."""
    data = read_digits().unsplit
    assert data is not None
    images = data.images()
    net = nc.Sequential(
        nc.Conv2d(8, 3, padding=1),
        nc.ReLU(),
        nc.MaxPool2d(2),
        nc.Conv2d(12, 3),
        nc.ReLU(),
        nc.Flatten(),
        nc.Linear(16),
        nc.ReLU(),
        nc.Linear(10),
    )
    model = nc.Model(net, (8, 8, 1), class_names=data.class_names, mean=0.3, std=0.37, seed=1)
    model.fit(images, data.labels, epochs=4, verbose=0)
    made = Session(model, "digits")
    made.gallery = Gallery(data, made.size, model.resize, model.class_names, "digits")
    made.add(made.gallery.input(3), FIRST)
    return made


def _is_trouble(said: Any) -> bool:
    """Whether the browser complains; that a test reads many pixels is its own doing."""
    return said.type in ("error", "warning") and "willReadFrequently" not in said.text


# A page in one file is there when it has unpacked itself, which is behind its load event.
UNPACKED = """() => !document.getElementById('neocog-page') || document.getElementById('neocog').hasChildNodes()"""


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open an address; what goes wrong in the page, or leaves this machine, fails the test at its end."""
    contexts, trouble = [], []

    def begin(address: str, *, room: str = "", width: int = 1280, height: int = 900, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: trouble.append(f"error: {error}"))
        page.on("console", lambda said: _is_trouble(said) and trouble.append(f"console: {said.text}"))
        page.on("request", lambda asked: asked.url.startswith(HERE) or trouble.append(f"request: {asked.url}"))
        page.set_default_timeout(LIMIT * 1000)
        page.goto(f"{address}#{room}" if room else address)
        page.wait_for_function(UNPACKED)
        return page

    yield begin
    for context in contexts:
        context.close()
    assert trouble == []


@pytest.fixture
def drawn_model() -> Callable[[str], tuple[nc.Model, np.ndarray]]:
    """One of the twelve networks, and an image for it."""
    from explain.networks import make_image, make_model

    def make(name: str) -> tuple[nc.Model, np.ndarray]:
        model = make_model(name)
        return model, make_image(model)

    return make


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[Session], str]:
    """Save a session's page; gives its file:// address."""
    from neocog.app.page.saved import save_page

    def write(session: Session) -> str:
        save_page(session, tmp_path / "page.html", lambda done, total: None)
        return (tmp_path / "page.html").as_uri()

    return write


def with_image(model: nc.Model, image: np.ndarray, title: str) -> Session:
    """Make a session of a model and an image."""
    session = Session(model, title, engine="reference")
    session.add(Input(image, "drawn"), FIRST)
    return session
