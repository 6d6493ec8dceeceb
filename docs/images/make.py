"""Draws the README's pictures: `python docs/images/make.py MNIST`, with Chromium, Playwright and a built page."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

import neocog as nc
from neocog.app.page.examples import lesson_session
from neocog.app.page.server import PageServer
from neocog.app.page.session import FIRST, Gallery, Session
from neocog.data.sources import read_source

PICTURES = {  # name → whose page, where in it, and whether its end is shown
    "lens": ("lesson", "#lens?row=0&column=0", False),
    "connections": ("lesson", "#connections", False),
    "gradient": ("digits", "#gradient", True),
    "detects": ("digits", "#detects?layer=3&filter=6", False),
}
HERE = Path(__file__).parent
SIZE = {"width": 1180, "height": 860}
COLOURS = 128  # of a palette: small files, and nobody sees it


def trained(folder: str) -> Session:
    """Train the article's network on MNIST for an epoch."""
    source = read_source(folder)
    assert source.train is not None
    assert source.test is not None
    model = nc.Model(nc.zoo.article(10), (28, 28, 1), class_names=source.train.class_names, mean=0.1307, std=0.3081)
    model.fit(source.train.images(), source.train.labels, epochs=1, verbose=0)
    session = Session(model, "digits")
    session.gallery = Gallery(source.test, session.size, model.resize, model.class_names, "mnist")
    session.add(session.gallery.input(4), FIRST)
    return session


def main() -> None:
    """Serve both pages, and photograph them."""
    servers = {
        name: PageServer(session) for name, session in (("lesson", lesson_session()), ("digits", trained(sys.argv[1])))
    }
    for server in servers.values():
        threading.Thread(target=server.run, daemon=True).start()
    while not all(server.started for server in servers.values()):
        time.sleep(0.01)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, (whose, where, at_end) in PICTURES.items():
            page = browser.new_page(viewport=SIZE)
            page.goto(servers[whose].address + where)
            page.wait_for_load_state("networkidle")
            page.wait_for_timeout(2000)
            if at_end:
                page.evaluate("scrollTo(0, document.body.scrollHeight)")
                page.wait_for_timeout(1000)
            page.screenshot(path=HERE / f"{name}.png")
            Image.open(HERE / f"{name}.png").convert("RGB").quantize(COLOURS).save(HERE / f"{name}.png", optimize=True)
        browser.close()


if __name__ == "__main__":
    main()
