"""The page on which a server is tried: a picture goes in, and what the server answers is what it shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.serve.conftest import Served, make_models, picture, serve

TOKEN = "0123456789abcdef"


def file(seed: int) -> dict[str, Any]:
    """Return a picture as a browser is given it."""
    return {"name": "cat.jpg", "mimeType": "image/jpeg", "buffer": picture(seed)}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two models."""
    return make_models(tmp_path_factory.mktemp("tried"))


@pytest.fixture(scope="module")
def server(models: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server of both."""
    with serve(models, tmp_path_factory.mktemp("log") / "access.log", "--workers", "1") as running:
        yield running


def answered(server: Served, name: str, seed: int, **headers: str) -> list[tuple[str, float]]:
    """Return what a server answers."""
    found = httpx.post(f"{server.address}/models/{name}", content=picture(seed), headers=headers).json()
    return [(entry["label"], entry["score"]) for entry in found]


def shown(page: Any) -> list[tuple[str, float]]:
    """Return the labels and scores that a page shows."""
    rows = page.locator("#labels li").all()
    labels = [row.locator("span").inner_text() for row in rows]
    return [
        (label, float(row.locator("output").get_attribute("data-score")))
        for label, row in zip(labels, rows, strict=True)
    ]


def told(page: Any, beginning: str) -> None:
    """Wait until the page says something."""
    page.wait_for_function("begin => document.getElementById('told').textContent.startsWith(begin)", arg=beginning)


def test_a_picture_is_answered_by_each_model_in_both_languages(open_page: Callable[..., Any], server: Served) -> None:
    page = open_page(f"{server.address}/try", locale="en-GB")
    page.set_input_files("#file", file(3))
    told(page, "pets, answered")
    assert shown(page) == answered(server, "pets", 3)
    page.select_option("#model", "colours")
    told(page, "colours, answered")
    assert shown(page) == answered(server, "colours", 3)
    assert page.locator("html").get_attribute("lang") == "en"
    page.click("#language")
    told(page, "colours，用时")
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    assert "图片" in page.locator("#about").inner_text()


def test_a_picture_may_be_dropped(open_page: Callable[..., Any], server: Served) -> None:
    page = open_page(f"{server.address}/try", locale="zh-CN")
    page.wait_for_selector("#model option", state="attached")
    page.evaluate(
        """bytes => {
            const dropped = new DataTransfer()
            dropped.items.add(new File([new Uint8Array(bytes)], 'a.jpg', { type: 'image/jpeg' }))
            const event = new DragEvent('drop', { dataTransfer: dropped, bubbles: true })
            document.getElementById('drop').dispatchEvent(event)
        }""",
        list(picture(4)),
    )
    told(page, "pets，用时")
    assert shown(page) == answered(server, "pets", 4)


def test_the_token_is_asked_for_where_one_is_needed(browser: Any, models: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    flags = ("--workers", "1", "--token-file", str(tmp_path / "token"))
    with serve(models[:1], tmp_path / "access.log", *flags) as server:
        page = browser.new_context(locale="en-GB").new_page()  # the refusal is an error on the browser's console
        page.goto(f"{server.address}/try")
        told(page, "this server needs its token")
        page.fill("#token", TOKEN)
        page.press("#token", "Tab")
        page.wait_for_selector("#model option", state="attached")
        page.set_input_files("#file", file(5))
        told(page, "pets, answered")
        assert shown(page) == answered(server, "pets", 5, Authorization=f"Bearer {TOKEN}")
        page.set_input_files("#file", {"name": "a.txt", "mimeType": "text/plain", "buffer": b"no picture"})
        told(page, "image: not an image")
        assert shown(page) == []
        page.context.close()
