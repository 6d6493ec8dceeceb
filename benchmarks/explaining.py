"""The command `python -m benchmarks.explaining MNIST`: how fast one sees inside, and how well patterns are found.

Measures what the explaining page promises, on networks trained here on MNIST: the time of looking through 10,000 images
beside that of predicting them, in alternating rounds; the share of filters whose maximising image beats the data set;
the sizes of the page. With a Chromium and Playwright, also how long a browser takes to open it, and for a lens step.
"""

from __future__ import annotations

import argparse
import gzip
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import neocog as nc
from benchmarks.machine import describe
from neocog.app.page.files import page_file
from neocog.app.page.saved import save_page
from neocog.app.page.server import PageServer
from neocog.app.page.session import FIRST, Gallery, Session
from neocog.data.dataset import Dataset
from neocog.data.sources import read_source
from neocog.nn.shapes import ImageShape
from neocog.nn.zoo import default_net

ROUNDS = 7
LOOKED_THROUGH = 10_000
TRIED = 32  # filters of a layer, evenly spread
STEPS = 40  # of the lens
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def seconds(action: Callable[[], object]) -> float:
    """Time an action."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def train(data: Dataset, net: nc.Sequential) -> nc.Model:
    """Train a network on MNIST for two epochs."""
    model = nc.Model(net, (28, 28, 1), class_names=data.class_names, mean=0.1307, std=0.3081)
    model.fit(data.images(), data.labels, epochs=2, verbose=0)
    return model


def measure_patches(name: str, model: nc.Model, images: Any) -> dict[int, Any]:
    """Time the search for patches beside a prediction of the same images."""
    patches = nc.explain.top_patches(model, images)  # compiles, as predicting does once
    model(images)
    looks, answers = [], []
    for _ in range(ROUNDS):
        answers.append(seconds(lambda: model(images)))
        looks.append(seconds(lambda: nc.explain.top_patches(model, images)))
    look, answer = statistics.median(looks), statistics.median(answers)
    ratio = f"prediction {answer:.3f} s; ratio {look / answer:.2f}"
    say(f"top patches, {name}: {look:.3f} s for {len(images):,} images; {ratio}")
    return patches


def measure_maxima(name: str, model: nc.Model, patches: dict[int, Any]) -> None:
    """Count the live filters whose maximising image beats the data set's maximum."""
    for layer, found in patches.items():
        live = [filter for filter in range(len(found.maximum)) if found.maximum[filter] > 0]
        live = live[:: max(1, len(live) // TRIED)]
        began = time.perf_counter()
        results = [
            nc.explain.maximise(model, layer, filter, data_maximum=float(found.maximum[filter])) for filter in live
        ]
        spent = (time.perf_counter() - began) / max(1, len(live))
        beaten = sum(bool(result.beats) for result in results)
        equal = sum(
            not result.beats and result.value >= found.maximum[filter] * (1 - 1e-5)
            for filter, result in zip(live, results, strict=True)
        )
        say(
            f"maximisation, {name} layer {layer}: {beaten} of {len(live)} live filters tried beat the data set "
            f"({equal} more reach the same value), {spent:.2f} s each"
        )


def measure_page(title: str, session: Session) -> None:
    """Measure sizes, and the page in a browser if there is one."""
    packed = {name: len(gzip.compress(page_file(name).encode(), 9)) for name in ("app.js", "app.css", "en.js")}
    parts = ", ".join(f"{name} {size / 1000:.1f}" for name, size in packed.items())
    say(f"page: {sum(packed.values()) / 1000:.1f} kB gzip ({parts})")
    with tempfile.TemporaryDirectory() as folder:
        size = save_page(session, Path(folder, "page.html"), lambda done, total: None)
    shell = sum(len(page_file(name).encode()) for name in ("app.js", "app.css"))
    say(
        f"saved page, {title}: {size / 1e6:.2f} MB, of which the page itself {shell / 1e6:.2f} MB, the rest are answers"
    )
    path = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        path = None
    if path is None:
        say("no browser: how long it takes is not measured")
        return
    server = PageServer(session)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        openings = []
        for _ in range(ROUNDS):
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            began = time.perf_counter()
            page.goto(server.address)
            page.wait_for_selector("data.num")
            openings.append(time.perf_counter() - began)
            page.close()
        say(f"{title} usable in the browser: {statistics.median(openings):.2f} s, slowest {max(openings):.2f} s")
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(f"{server.address}#lens")
        page.wait_for_selector("data.num")
        page.wait_for_load_state("networkidle")
        page.locator("[data-lens]").first.focus()
        steps = []
        for _ in range(STEPS):
            began = page.evaluate("() => performance.now()")
            page.keyboard.press("ArrowRight")
            steps.append(page.evaluate(DRAWN) - began)
        median, slowest = statistics.median(steps), max(steps)
        say(f"{title}, one lens step, from key to second frame drawn: {median:.0f} ms, slowest {slowest:.0f} ms")
        browser.close()
    server.stop()
    thread.join()


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="folder of MNIST's four IDX files")
    parser.add_argument("--patches-only", action="store_true", help="leave maximisation and the page out")
    options = parser.parse_args()
    for name, value in describe().items():
        say(f"{name}: {value}")
    source = read_source(options.data)
    assert source.train is not None
    assert source.test is not None
    images = source.test.images()[:LOOKED_THROUGH]
    networks = {"article": nc.zoo.article(10), "default": default_net(ImageShape(28, 28, 1), 10)}
    for name, net in networks.items():
        model = train(source.train, net)
        patches = measure_patches(name, model, images)
        if not options.patches_only:
            measure_maxima(name, model, patches)
    if not options.patches_only:
        lenet = train(source.train, nc.zoo.lenet5(10))
        session = Session(lenet, "LeNet-5")
        session.gallery = Gallery(source.test, session.size, lenet.resize, lenet.class_names, "mnist")
        session.add(session.gallery.input(0), FIRST)
        measure_page("LeNet-5", session)
    return 0


if __name__ == "__main__":
    sys.exit(main())
