"""The page stays small."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

import pytest

from neocog.app.page.files import TEXTS, page_file
from neocog.app.page.session import Session

MOST = 130_000  # bytes of script, style and texts, compressed


@pytest.mark.parametrize("texts", TEXTS)
def test_what_a_reader_of_one_language_loads_stays_below_130_kb_compressed(texts: str, browser: Any) -> None:
    """The other language's texts are fetched when somebody turns to it, which few do: they are not counted."""
    assert sum(len(gzip.compress(page_file(name).encode(), 9)) for name in ("app.js", "app.css", texts)) <= MOST


def test_the_page_names_no_other_place_than_its_own(browser: Any) -> None:
    for name in ("index.html", "app.js", "app.css", *TEXTS):
        text = page_file(name)
        for address in ("//cdn", "googleapis", "unpkg", "jsdelivr", "polyfill"):
            assert address not in text


def test_texts_come_when_a_reader_turns_to_their_language(
    lesson: Session, serve: Callable[[Session], str], open_page: Callable[..., Any]
) -> None:
    page = open_page(serve(lesson), room="pooling?lang=zh")
    page.locator("main .panel").first.wait_for()
    loaded = """() => performance.getEntriesByType('resource')
        .map((one) => one.name.split('/').at(-1)).filter((name) => /^..\\.js/.test(name))"""
    assert page.evaluate(loaded) == ["zh.js"]
    page.locator("[lang=en]").last.click()
    page.locator("h1", has_text="Pooling").wait_for()
    assert page.evaluate(loaded) == ["zh.js", "en.js"]


def test_texts_that_do_not_come_are_told(
    lesson: Session, serve: Callable[[Session], str], open_page: Callable[..., Any]
) -> None:
    page = open_page(serve(lesson), room="pooling?lang=zh")
    page.locator("main .panel").first.wait_for()
    page.route("**/en.js", lambda route: route.fulfill(content_type="text/javascript", body="throw 0"))
    page.locator("[lang=en]").last.click()
    page.locator("main [data-code=stopped]").wait_for()
    assert page.locator("html").get_attribute("lang") == "zh-CN"
