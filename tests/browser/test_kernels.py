"""The kernel playground: what a reader writes is slid over the picture, and takes a filter's place in the network."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from browser.numbers import Oracle, shown_numbers
from browser.test_numbers import settle
from neocog.app.page.session import Session
from neocog.explain.kernel import PRESETS, OwnKernel, filtered
from neocog.explain.lesson import lesson_image

Open = Callable[..., Any]
Serve = Callable[[Session], str]
CELLS = """() => [...document.querySelector('canvas[data-array=filtered]').closest('.scroll')
    .querySelectorAll('data.num[data-array=filtered]')].map((one) => Number(one.textContent))"""


def written(page: Any) -> list[float]:
    """The numbers in the cells of what comes out."""
    found: list[float] = page.evaluate(CELLS)
    return found


def test_own_weights_stride_and_padding(lesson: Session, serve: Serve, open_page: Open) -> None:
    page = open_page(serve(lesson), room="kernels")
    settle(page)
    assert written(page) == filtered(lesson_image(), PRESETS["falling"]).output(0).ravel().tolist()
    assert page.locator("[data-preset=falling]").get_attribute("aria-pressed") == "true"
    page.locator("[data-cell='4']").fill("2")
    page.locator("[data-cell='4']").press("Tab")
    page.locator("[name=stride]").select_option("2")
    page.locator("[name=padding]").select_option("1")
    page.locator("figcaption", has_text="3 × 3 × 1").wait_for()
    settle(page)
    rows = ((1.0, -1.0, -1.0), (-1.0, 2.0, -1.0), (-1.0, -1.0, 1.0))
    assert written(page) == filtered(lesson_image(), OwnKernel(rows, stride=2, padding=1)).output(0).ravel().tolist()
    assert page.locator("[data-preset][aria-pressed=true]").count() == 0
    assert Oracle(lesson).wrong(shown_numbers(page)) == []
    page.locator("[data-fit]").click()  # stride and padding of the layer whose filter it may replace
    page.locator("canvas[data-array=before]").wait_for()
    settle(page)
    assert Oracle(lesson).wrong(shown_numbers(page)) == []


def test_another_filter_in_the_place_of_the_first_turns_the_answer(
    lesson: Session, serve: Serve, open_page: Open
) -> None:
    page = open_page(serve(lesson), room="kernels")
    settle(page)
    page.locator("[data-preset=upright]").click()
    page.wait_for_function(
        '() => document.querySelector(\'data[data-question*="replaced?"][data-question*="weights=-1,1,-1"]\')'
    )
    settle(page)
    shares = [n.value for n in shown_numbers(page) if n.question.startswith("replaced") and n.array == "probabilities"]
    assert shares == [0.5, 0.5]  # both filters look for the same now


def test_a_photo_keeps_its_shape_and_its_colours(lesson: Session, serve: Serve, open_page: Open) -> None:
    page = open_page(serve(lesson), room="kernels", width=390)
    settle(page)
    pixels = np.random.default_rng(1).integers(0, 256, (40, 80, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    page.locator("[data-image=photo]").click()
    page.locator("[name=photo]").set_input_files({"name": "p.png", "mimeType": "image/png", "buffer": file.getvalue()})
    page.locator("[data-preset=blur]").click()
    page.locator("figcaption", has_text="38 × 78 × 3").wait_for()
    settle(page)
    total = next(n for n in shown_numbers(page) if n.array == "total")
    want = filtered(pixels, PRESETS["blur"]).output(0)[19, 39, 0]
    assert abs(total.value - want) <= 1e-6


def test_a_saved_page_holds_the_kernels_to_begin_with(
    lesson: Session, saved: Callable[[Session], str], open_page: Open
) -> None:
    page = open_page(saved(lesson), room="kernels")
    settle(page)
    for name in PRESETS:
        page.locator(f"[data-preset={name}]").click()
        settle(page)
        assert page.locator(".failed").count() == 0, name
        assert Oracle(lesson).wrong(shown_numbers(page)) == []
    assert page.locator("[data-cell]:enabled").count() == 0
