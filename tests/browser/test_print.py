"""What comes out of the printer: everything computed, nothing cut off, in ink that is there."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from browser.test_numbers import settle
from browser.test_rooms import ROOMS
from neocog.app.page.session import Session

pdfium = pytest.importorskip("pypdfium2")

Open = Callable[..., Any]
Serve = Callable[[Session], str]
SCALE = 2  # pixels for a point of the page
NEAR = 12  # levels of 256, by which a printed colour may differ: thin lines are smoothed
# Pictures, and what of each is beyond an ancestor that cuts it off or beyond the sheet, in pixels.
CUT = """() => [...document.querySelectorAll('main canvas, main svg')]
    .filter((one) => one.checkVisibility()).map((one) => {
    const box = one.getBoundingClientRect()
    let cut = Math.max(0, box.right - document.querySelector('.neocog').getBoundingClientRect().right)
    for (let at = one.parentElement; at && !at.matches('.neocog'); at = at.parentElement) {
        if (at instanceof SVGElement || getComputedStyle(at).overflow === 'visible') continue
        const frame = at.getBoundingClientRect()
        cut = Math.max(cut, frame.left - box.left, box.right - frame.right)
        cut = Math.max(cut, frame.top - box.top, box.bottom - frame.bottom)
    }
    return [one.outerHTML.slice(0, 120), cut] }).filter(([, cut]) => cut > 2)"""
COLOURS = """() => [...new Set([...document.querySelectorAll('main .bar')].flatMap((bar) => {
    const found = getComputedStyle(bar).backgroundImage.match(/rgb\\([^)]*\\)/g) ?? []
    return found.slice(-1) }))]"""
STROKES = """() => [...new Set(
    [...document.querySelectorAll('.edges path:not(.cut)')].map((one) => getComputedStyle(one).stroke))]"""


def prepare(page: Any) -> None:
    """Press "Print", and stop where the browser would open its dialog."""
    page.evaluate("() => { window.printed = false; window.print = () => { window.printed = true } }")
    page.locator("[data-print]").click()
    page.wait_for_function("() => window.printed")
    page.emulate_media(media="print")


def sheets(page: Any) -> Any:
    """Print for real, and open what was printed."""
    return pdfium.PdfDocument(io.BytesIO(page.pdf(format="A4")))


def has_colour(pictures: list[np.ndarray], colour: str) -> bool:
    """Whether a colour of CSS is somewhere on the sheets."""
    want = np.array([int(float(part)) for part in re.findall(r"[\d.]+", colour)[:3]])
    return any((np.abs(picture.astype(int) - want).max(-1) <= NEAR).any() for picture in pictures)


def look(document: Any) -> list[np.ndarray]:
    """Return the sheets as (rows, columns, RGB)."""
    return [np.asarray(sheet.render(scale=SCALE).to_pil().convert("RGB")) for sheet in document]


def test_every_room_is_printed_whole(digits: Session, serve: Serve, open_page: Open) -> None:
    page = open_page(serve(digits), color_scheme="dark")
    settle(page)
    for room in ROOMS:
        page.locator(f"nav button[data-room={room}]").click()
        prepare(page)
        assert page.locator(".waiting:visible").count() == 0, room
        assert page.evaluate(CUT) == [], room
        colours = page.evaluate(COLOURS)
        pictures = page.locator("main canvas:visible").count()
        document = sheets(page)
        text = "".join(sheet.get_textpage().get_text_range() for sheet in document)
        assert page.inner_text("h1") in re.sub(r"\s+", " ", text)
        assert "Computing" not in text
        assert "not computed yet" not in text
        found = sum(
            one.type == pdfium.raw.FPDF_PAGEOBJ_IMAGE for sheet in document for one in sheet.get_objects(max_depth=15)
        )
        assert found >= pictures, f"{room}: {pictures} pictures, {found} of them on paper"
        seen = look(document)
        assert seen[0][5, 5].tolist() == [255, 255, 255], "paper is white, in a dark room too"
        missing = [colour for colour in colours if not has_colour(seen, colour)]
        assert missing == [], room
        page.emulate_media(media="screen")
        assert page.locator(".paper").count() == 0


def test_edges_have_their_colours_on_paper(lesson: Session, serve: Serve, open_page: Open) -> None:
    page = open_page(serve(lesson), room="connections")
    settle(page)
    prepare(page)
    strokes = page.evaluate(STROKES)
    assert len(strokes) == 9
    seen = look(sheets(page))
    assert [stroke for stroke in strokes if not has_colour(seen, stroke)] == []


def test_what_was_not_in_sight_is_computed_before_the_dialog_opens(
    digits: Session, serve: Serve, open_page: Open
) -> None:
    page = open_page(serve(digits), room="overview", height=300)
    settle(page)
    there = page.locator("main canvas").count()
    prepare(page)
    assert page.locator("main canvas").count() > there
    for grid in page.locator("[data-count]").all():
        tiles = grid.locator("[role=option]").count()
        assert tiles == min(int(grid.get_attribute("data-count")), 96)


def test_the_keys_of_printing_wait_too(lesson: Session, serve: Serve, open_page: Open) -> None:
    page = open_page(serve(lesson), room="gradient")
    settle(page)
    page.evaluate("() => { window.print = () => { window.printed = document.querySelector('.paper') !== null } }")
    page.keyboard.press("Control+p")
    page.wait_for_function("() => window.printed")
