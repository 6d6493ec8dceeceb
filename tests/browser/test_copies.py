"""What a reader takes along from a panel: a program that recomputes its numbers, and its figure."""

from __future__ import annotations

import contextlib
import io
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from browser.numbers import COLLECT, Shown
from browser.test_numbers import settle
from neocog.app.page.session import Session

Open = Callable[..., Any]
Serve = Callable[[Session], str]
ROOMS = ("overview", "lens", "connections", "pooling", "values", "gradient", "output", "places", "kernels")
RECOMPUTED = {"lens", "edges", "pooling", "gradient", "terms", "run", "activation"}
KEEP = (
    """() => { navigator.clipboard.write = async ([item]) => { window.taken = await item.getType(item.types[0]) } }"""
)
READ = """async () => { const bytes = new Uint8Array(await window.taken.arrayBuffer())
    return [window.taken.type, [...bytes]] }"""
NUMBERS = COLLECT.replace("() =>", "(document) =>", 1)  # of a panel in place of the whole page


def take(panel: Any, what: str) -> tuple[str, bytes]:
    """Copy something of a panel; what came onto the clipboard, and its kind."""
    panel.page.evaluate("() => { window.taken = null }")
    panel.hover()
    panel.locator("> details.kit > summary").click()
    panel.locator(f"[data-copy={what}]").click()
    panel.page.wait_for_function("() => window.taken")
    kind, content = panel.page.evaluate(READ)
    return kind, bytes(content)


@pytest.mark.parametrize("name", ["lesson", "digits"])
def test_the_program_of_each_panel_gives_the_numbers_that_it_shows(
    name: str, serve: Serve, open_page: Open, request: pytest.FixtureRequest
) -> None:
    page = open_page(serve(request.getfixturevalue(name)), room="overview")
    settle(page)
    page.evaluate(KEEP)
    recomputed = set()
    for room in ROOMS:
        page.locator(f"nav button[data-room={room}]").click()
        page.wait_for_load_state("networkidle")
        page.wait_for_function("() => !document.querySelector('[aria-busy=true]')")
        for panel in page.locator("main .panel:has([data-question])").all():
            shown = [Shown(**entry) for entry in panel.evaluate(NUMBERS)]
            kind, program = take(panel, "numpy")
            assert kind == "text/plain"
            names: dict[str, Any] = {}
            with contextlib.redirect_stdout(io.StringIO()):
                exec(program.decode(), names)  # it checks its own formulas
            asked = [
                line[2:] for line in program.decode().splitlines() if line.startswith("# ") and ":" not in line[:9]
            ]
            for number in shown:
                place = asked.index(number.question)
                suffix = "" if place == 0 else f"_{place + 1}"
                if f"computed{suffix}" in names:
                    recomputed.add(number.question.split("?")[0])
                if number.array is not None:
                    array = names["".join(c if c.isalnum() else "_" for c in number.array) + suffix]
                    want = array.ravel()[int(number.index or 0)]
                    assert number.value == pytest.approx(want, rel=1e-5, nan_ok=True)
    assert recomputed >= RECOMPUTED - ({"activation"} if name == "lesson" else set()), recomputed


def test_a_figure_is_a_drawing_and_a_picture(lesson: Session, serve: Serve, open_page: Open) -> None:
    page = open_page(serve(lesson), room="connections")
    settle(page)
    page.evaluate(KEEP)
    panel = page.locator("main .panel:has(.edges)")
    kind, content = take(panel, "svg")
    assert kind == "image/svg+xml"
    tree = ET.fromstring(content)
    strokes = {path.get("stroke") for path in tree.iter("{http://www.w3.org/2000/svg}path")}
    assert len(strokes) >= 9, "each shared weight has its colour"
    words = " ".join(text.text or "" for text in tree.iter("{http://www.w3.org/2000/svg}text"))
    assert "576" in words
    assert "144" in words
    kind, content = take(panel, "png")
    assert kind == "image/png"
    picture = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    assert picture.shape[1] > 1000
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50
