"""Exported networks in Chromium: the page that a server hands out, the page in one file, and the module by itself."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import neocog as nc
from neocog.app.page.session import Session
from neocog.app.prediction import prediction_of
from neocog.data.decode import decode_image
from neocog.data.resize import ImageSize
from neocog.standalone.web import Web, web_of, write_web

CLOSE = 1e-5
PIXELS = np.random.default_rng(5).integers(0, 256, (31, 22, 3), dtype=np.uint8)
ASK = """async ([name, pixels, width, height]) => {
  const { classify } = await import(`${location.origin}/${name}.js`)
  const data = new Uint8ClampedArray(pixels)
  const bitmap = await createImageBitmap(new ImageData(data, width, height))
  const canvas = new OffscreenCanvas(width, height)
  canvas.getContext('2d').drawImage(bitmap, 0, 0)
  const blob = await canvas.convertToBlob()
  const image = new Image()
  image.src = URL.createObjectURL(blob)
  const found = []
  for (const picture of [new ImageData(data, width, height), bitmap, canvas, blob, image]) {
    found.push(await classify(picture, { top: 10 }))
  }
  return found
}"""


@pytest.fixture(scope="module")
def network(digits: Session) -> nc.Model:
    """A network that learnt digits."""
    model = digits.model
    assert isinstance(model, nc.Model)
    return model


@pytest.fixture(scope="module")
def web(network: nc.Model) -> Web:
    return web_of(network, "digits")


@pytest.fixture(scope="module")
def address(network: nc.Model, web: Web, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The folder on a server that knows nothing of it."""
    folder = tmp_path_factory.mktemp("web")
    write_web(folder, web, network, "Ziffern <1>")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *told: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(60)


def picture() -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG")
    return file.getvalue()


def wanted(network: nc.Model, top: int) -> tuple[tuple[str, float], ...]:
    """Return what `neocog predict` says of the picture."""
    pixels = decode_image(picture(), ImageSize(*network.input_shape), network.resize)
    return prediction_of(network, "", network.predict_proba(pixels[None])[0], top).classes


def check(found: list[tuple[str, float]], expected: tuple[tuple[str, float], ...]) -> None:
    assert [label for label, _ in found] == [label for label, _ in expected]
    np.testing.assert_allclose([score for _, score in found], [p for _, p in expected], rtol=0, atol=CLOSE)


def shown(page: Any, beginning: str) -> list[tuple[str, float]]:
    """Wait until the page says something, and return the labels that it shows."""
    page.wait_for_function("begin => document.getElementById('told').textContent.startsWith(begin)", arg=beginning)
    rows = page.locator("#labels li").all()
    return [
        (row.locator("span").inner_text(), float(row.locator("output").get_attribute("data-score"))) for row in rows
    ]


def test_every_kind_of_picture_is_answered_as_by_predict(
    open_page: Callable[..., Any], address: str, network: nc.Model
) -> None:
    page = open_page(address)
    rgba = np.dstack([PIXELS, np.full(PIXELS.shape[:2], 255, np.uint8)])
    found = page.evaluate(ASK, ["digits", rgba.ravel().tolist(), 22, 31])
    assert len(found) == 5
    for one in found:
        check([(entry["label"], entry["score"]) for entry in one], wanted(network, 10))


def test_the_page_answers_in_both_languages(open_page: Callable[..., Any], address: str, network: nc.Model) -> None:
    page = open_page(address, locale="en-GB")
    assert page.title() == page.locator("h1").inner_text() == "Ziffern <1>"
    page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": picture()})
    check(shown(page, "answered in"), wanted(network, 5))
    page.locator("#language").click()
    check(shown(page, "用时"), wanted(network, 5))
    page.set_input_files("#file", {"name": "a.txt", "mimeType": "text/plain", "buffer": b"no picture"})
    assert shown(page, "浏览器无法读取这张图片") == []


def test_the_camera_is_answered_until_it_is_stopped(open_page: Callable[..., Any], address: str) -> None:
    page = open_page(address, locale="en-GB", permissions=["camera"])
    page.locator("#camera").click()
    assert len(shown(page, "answered in")) == 5
    assert page.locator("#video").is_visible()
    page.locator("#camera").click()
    page.locator("#invitation").wait_for()
    assert page.locator("#video").is_hidden()
    assert page.locator("#labels li").count() == 0


SLOW_CAMERA = """() => {
  const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices)
  window.opened = []
  navigator.mediaDevices.getUserMedia = async (wanted) => {
    await new Promise((done) => { window.allow = done })
    const stream = await open(wanted)
    window.opened.push(stream)
    return stream
  }
}"""
LIVE = "() => opened.map((stream) => stream.getTracks().some((track) => track.readyState === 'live'))"


def test_a_picture_that_comes_before_the_camera_stays(
    open_page: Callable[..., Any], address: str, network: nc.Model
) -> None:
    page = open_page(address, locale="en-GB", permissions=["camera"])
    page.evaluate(SLOW_CAMERA)
    page.locator("#camera").click()
    page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": picture()})
    check(shown(page, "answered in"), wanted(network, 5))
    page.evaluate("() => allow()")
    page.wait_for_function("() => opened.length === 1 && opened[0].getTracks()[0].readyState === 'ended'")
    check(shown(page, "answered in"), wanted(network, 5))
    assert page.locator("#video").is_hidden()


def test_a_camera_that_cannot_be_shown_is_stopped(open_page: Callable[..., Any], address: str) -> None:
    page = open_page(address, locale="en-GB", permissions=["camera"])
    page.evaluate(SLOW_CAMERA)
    page.evaluate("() => { HTMLMediaElement.prototype.play = async () => { throw new DOMException('no decoder') } }")
    page.locator("#camera").click()
    page.evaluate("() => allow()")
    assert shown(page, "what the camera sees cannot be shown: no decoder") == []
    assert page.evaluate(LIVE) == [False]
    assert page.locator("#camera").inner_text() == "Use the camera"


def test_a_network_that_cannot_be_loaded_is_told(open_page: Callable[..., Any], address: str) -> None:
    page = open_page("about:blank", locale="en-GB")
    page.route("**/digits.wasm", lambda route: route.fulfill(body="no module"))
    page.goto(address)
    assert shown(page, "the network cannot be loaded: ") == []
    page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": picture()})
    assert shown(page, "the network cannot be loaded: ") == []
    assert "WebAssembly" in page.locator("#told").inner_text()


def test_one_file_needs_no_server(open_page: Callable[..., Any], web: Web, network: nc.Model, tmp_path: Path) -> None:
    (tmp_path / "digits.html").write_text(web.page("digits", inside=True))
    page = open_page((tmp_path / "digits.html").as_uri(), locale="zh-CN")
    page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": picture()})
    check(shown(page, "用时"), wanted(network, 5))
