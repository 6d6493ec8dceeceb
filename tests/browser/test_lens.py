"""The lens: window, filter and products between input and output, on one screen. It plays, and begins at a peak."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import neocog as nc
from browser.conftest import with_image
from browser.numbers import Oracle, shown_numbers
from browser.test_numbers import settle
from browser.test_rooms import values
from neocog.app.page.session import FIRST, Session
from neocog.explain.trace import trace

Open = Callable[..., Any]
Serve = Callable[[Session], str]
# What the room is about, each in its place; the terms of the chosen channel, where there are several.
PARTS = {
    "input": ".in canvas",
    "window": "[data-part=window]",
    "filter": "[data-part=filter]",
    "products": "[data-part=products]",
    "output": ".out canvas",
    "total": ".sum data[data-array=total]",
}
BOXES = """parts => Object.fromEntries(Object.entries(parts).map(([name, at]) => {
    const chosen = document.querySelector('.channel.chosen') ?? document.querySelector('.channel')
    const part = chosen.querySelector(at) ?? document.querySelector(at)
    const { left, right, top, bottom } = part.getBoundingClientRect()
    return [name, { left, right, top, bottom }] }))"""


def boxes(page: Any) -> dict[str, dict[str, float]]:
    """Return where the parts of the room stand in the window."""
    found: dict[str, dict[str, float]] = page.evaluate(BOXES, PARTS)
    return found


@pytest.fixture(scope="module")
def coloured() -> Session:
    """Three channels, then sixteen, with normalised images."""
    net = nc.Sequential(nc.Conv2d(16, 3, padding=1), nc.ReLU(), nc.Conv2d(8, 5), nc.Flatten(), nc.Linear(3))
    model = nc.Model(net, (12, 12, 3), ["a", "b", "c"], seed=3, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.25))
    return with_image(model, np.random.default_rng(5).random((12, 12, 3)).astype(np.float32), "coloured")


@pytest.mark.parametrize("name", ["lesson", "digits", "coloured"])
def test_input_terms_and_output_stand_side_by_side_on_one_screen(
    name: str, request: pytest.FixtureRequest, serve: Serve, open_page: Open
) -> None:
    session = request.getfixturevalue(name)
    convolutions = [node.index for node in session.model.graph.nodes if isinstance(node.layer, nc.Conv2d)]
    for layer in convolutions[:1] if name == "coloured" else convolutions:
        page = open_page(serve(session), room=f"lens?layer={layer}", width=1440, height=900)
        settle(page)
        at = boxes(page)
        for part, box in at.items():
            assert box["top"] >= 0, (layer, part)
            assert box["bottom"] <= 900, (layer, part)
            assert box["right"] <= 1440, (layer, part)
        order = ["input", "window", "filter", "products", "output"]
        for left, right in pairwise(order):
            assert at[left]["right"] <= at[right]["left"], (layer, left, right)
        assert page.evaluate("() => scrollY") == 0


@pytest.mark.parametrize("name", ["lesson", "digits"])
def test_products_and_output_are_in_sight_on_a_phone_while_it_plays(
    name: str, request: pytest.FixtureRequest, serve: Serve, open_page: Open
) -> None:
    page = open_page(serve(request.getfixturevalue(name)), room="lens?row=0&column=0", width=390, height=844)
    settle(page)
    page.clock.install()
    page.locator(".play").click()
    for step in (2, 3):
        page.clock.run_for(410)
        assert f"Step {step} of" in page.inner_text("main")
        at = boxes(page)
        for part in ("products", "output"):
            assert at[part]["top"] >= 0, part
            assert at[part]["bottom"] <= 844, part
            assert at[part]["right"] <= 390, part


def test_it_begins_at_the_peak_of_the_strongest_filter(digits: Session, serve: Serve, open_page: Open) -> None:
    maps = trace(digits.model, digits.input(FIRST).image).output(0)
    row, column, filter = (int(i) for i in np.unravel_index(int(maps.argmax()), maps.shape))
    page = open_page(serve(digits), room="lens")
    settle(page)
    page.wait_for_function(f"() => location.hash.includes('row={row}&column={column}')")
    assert page.locator("input[name=filter]").input_value() == str(filter)
    assert np.isclose(values(page, "total")[0], maps.max(), rtol=1e-5)
    # another filter from the strip, then to its own peak
    other = (filter + 1) % maps.shape[2]
    page.locator(f".strip [role=option]:has-text('{other}')").first.click()
    page.get_by_role("button", name="Go to the peak").click()
    settle(page)
    assert page.locator("input[name=filter]").input_value() == str(other)
    assert np.isclose(values(page, "total")[0], maps[..., other].max(), rtol=1e-5)
    # what an address says is not overruled
    page = open_page(serve(digits), room="lens?filter=0&row=0&column=0")
    settle(page)
    assert np.isclose(values(page, "total")[0], maps[0, 0, 0], rtol=1e-5)


def test_the_output_fills_as_it_plays_cell_by_cell_or_row_by_row(
    lesson: Session, serve: Serve, open_page: Open
) -> None:
    page = open_page(serve(lesson), room="lens?row=0&column=0")
    settle(page)
    page.clock.install()  # time passes only where it is told to
    covered = page.locator("[data-until]")
    assert covered.count() == 0
    page.locator(".play").click()
    page.clock.run_for(500)
    assert covered.get_attribute("data-until") == "2"
    page.locator(".play").click()  # what is still to come stays covered
    assert covered.count() == 1
    page.keyboard.press("Home")
    assert covered.count() == 0
    page.locator("select[name=by]").select_option("rows")
    page.locator(".play").click()
    for cells in ("4", "8", "12"):
        page.clock.run_for(410)
        assert covered.get_attribute("data-until") == cells
    page.clock.run_for(410)
    assert covered.count() == 0
    assert "Step 16 of 16" in page.inner_text("main")


@pytest.mark.parametrize(("motion", "flies"), [("no-preference", True), ("reduce", False)])
def test_products_fly_in_unless_less_motion_is_wanted(
    motion: str, flies: bool, lesson: Session, serve: Serve, open_page: Open
) -> None:
    page = open_page(serve(lesson), room="lens?row=0&column=0", reduced_motion=motion)
    settle(page)
    moved = """() => { const step = document.querySelectorAll('.stepper button')[2]; step.click()
        return new Promise((done) => requestAnimationFrame(() => setTimeout(() => done([
            ...document.querySelectorAll('[data-part=products] td')].flatMap((cell) => cell.getAnimations())
            .map((flight) => flight.effect.getTiming().duration)), 20))) }"""
    assert page.evaluate(moved) == ([300] * 9 if flies else [])


def test_signs_and_columns_stay_where_they_are_and_all_digits_can_be_had(
    digits: Session, serve: Serve, open_page: Open
) -> None:
    page = open_page(serve(digits), room="lens?layer=3&row=0&column=0", width=1440)
    settle(page)
    places = """() => [...document.querySelectorAll('.terms .sign, .terms table')]
        .map((one) => one.getBoundingClientRect().left)"""
    first = page.evaluate(places)
    for key in ("ArrowRight", "ArrowDown", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
        settle(page)
        assert page.evaluate(places) == first
    narrow = [number for number in shown_numbers(page) if number.array == "products"]
    assert all(len(number.text) <= 7 for number in narrow)
    page.locator("input[name=exact]").check()
    whole = [number for number in shown_numbers(page) if number.array == "products"]
    assert any(len(number.text) > 7 for number in whole)
    assert [number.value for number in whole] == [number.value for number in narrow]
    assert Oracle(digits).wrong(shown_numbers(page)) == []


def test_normalisation_is_told_as_step_0_where_there_is_one(
    coloured: Session, lesson: Session, serve: Serve, open_page: Open
) -> None:
    page = open_page(serve(coloured), room="lens?layer=0&channel=1&row=4&column=5", width=1440)
    settle(page)
    told = page.locator(".zeroth")
    image = np.asarray(coloured.input(FIRST).image, np.float64)
    said = [float(text) for text in told.locator("data").evaluate_all("all => all.map((one) => one.value)")]
    np.testing.assert_allclose(
        said, [image[4, 5, 1], image[4, 5, 1], 0.4, 0.3, (image[4, 5, 1] - 0.4) / 0.3], rtol=1e-5
    )
    assert Oracle(coloured).wrong(shown_numbers(page)) == []
    page = open_page(serve(lesson), room="lens")
    settle(page)
    assert page.locator(".zeroth").count() == 0
