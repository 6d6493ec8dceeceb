"""The page is never blank: whatever is wrong is said, with its layer and its cause."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

import neocog as nc
from browser.conftest import with_image
from browser.numbers import Oracle, shown_numbers, unchecked_decimals
from browser.test_numbers import settle
from neocog.app.page.server import PageServer
from neocog.app.page.session import FIRST, MOST_BYTES, Input, Session

Open = Callable[..., Any]
Serve = Callable[[Session], str]
Drawn = Callable[[str], tuple[nc.Model, np.ndarray]]


def change(model: nc.Model, name: str, value: float) -> None:
    values = {key: np.array(array) for key, array in model.parameters.items()}
    values[name][...] = value
    model.load_parameters(values, allow_nonfinite=True)


def test_nan_weights_are_named_in_every_room(drawn_model: Drawn, serve: Serve, open_page: Open) -> None:
    model, image = drawn_model("article")
    change(model, "3.weight", np.nan)
    address = serve(with_image(model, image, "spoilt"))
    for room in ("overview", "lens", "connections", "gradient", "output", "detects", "places"):
        page = open_page(address, room=room)
        page.wait_for_selector(".problems")
        assert page.locator(".problems li[data-layer='3'][data-kind=nan]").count() == 1
        page.wait_for_load_state("networkidle")
        assert len(page.inner_text("main")) > 200, room


def test_a_layer_that_stops_everything_is_an_alarm_and_maps_that_one_image_does_not_move_are_not(
    drawn_model: Drawn, serve: Serve, open_page: Open
) -> None:
    model, image = drawn_model("article")
    change(model, "0.bias", -1000.0)
    page = open_page(serve(with_image(model, image, "constant")), room="overview")
    page.wait_for_selector(".problems li[data-layer='1'][data-kind=constant]")
    values = {key: np.array(array) for key, array in model.parameters.items()}
    values["0.bias"][0] = 1000.0
    model.load_parameters(values)
    page = open_page(serve(with_image(model, image, "quiet")), room="overview")
    settle(page)
    page.locator("section[data-layer='1']").scroll_into_view_if_needed()  # cards are drawn when they come into sight
    page.get_by_text("zero on this image").first.wait_for()
    text = page.inner_text("main")
    assert page.locator(".problems").count() == 0
    assert "zero on this image" in text
    assert "zero here" in text
    assert "dead" not in text


def test_a_file_that_is_no_image_is_told_in_its_place(digits: Session, serve: Serve, open_page: Open, tmp_path) -> None:
    (tmp_path / "fake.png").write_bytes(b"no picture at all")
    page = open_page(serve(digits), room="input")
    settle(page)
    page.locator("button[data-way=file]").click()
    page.locator("input[name=image]").set_input_files(tmp_path / "fake.png")
    page.wait_for_selector(".failed")
    assert "not an image" in page.locator(".failed").inner_text()


def test_a_file_that_is_too_large_is_told_before_it_is_sent(
    digits: Session, serve: Serve, open_page: Open, tmp_path
) -> None:
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(MOST_BYTES + 2**20)
    page = open_page(serve(digits), room="input")
    settle(page)
    page.locator("button[data-way=file]").click()
    page.locator("input[name=image]").set_input_files(tmp_path / "large.png")
    page.wait_for_selector(".failed[data-code=large]")
    assert "has 65.0 MiB; at most 64.0 MiB can be taken" in page.locator(".failed").inner_text()


def test_a_refusal_of_65_megabytes_reaches_the_page(digits: Session, serve: Serve, browser: Any) -> None:
    page = browser.new_page()
    page.goto(serve(digits))
    settle(page)
    send = """async (token) => {
        const headers = { 'X-Neocog-Token': token ?? new URLSearchParams(location.search).get('token') }
        const body = new Uint8Array(65 * 2 ** 20)
        const answer = await fetch('/ask/input', { method: 'POST', headers, body })
        return [answer.status, await answer.text()]
    }"""
    assert page.evaluate(send, None) == [413, "an image file may have at most 67,108,864 bytes"]
    assert page.evaluate(send, "wrong") == [403, "the token is missing or wrong"]
    page.close()


def test_names_from_elsewhere_change_nothing_around_them(serve: Serve, open_page: Open) -> None:
    turned, escape, hebrew = "cat \u202egod", "\x1b[31mred\nnext", "כלב 3"
    net = nc.Sequential(nc.Flatten(), nc.Linear(3))
    model = nc.Model(net, (4, 4, 1), class_names=(turned, escape, hebrew), engine="reference")
    session = Session(model, f"run {turned}", engine="reference")
    session.add(Input(np.zeros((4, 4, 1)), "קובץ.png", None, (2,)), FIRST)
    model.load_parameters({**model.parameters, "1.bias": np.array([0.0, 0.0, 5.0], np.float32)})
    page = open_page(serve(session), room="output")
    settle(page)
    shown = page.inner_text("body") + page.title()
    assert "\u202e" not in shown
    assert "\x1b" not in shown
    assert "cat \\u202egod" in shown
    assert "\\x1b[31mred\\nnext" in shown
    # The probability stands behind its class, though that name runs from right to left and ends in a digit.
    name, number = page.locator("header .says b"), page.locator("header .says data.num")
    assert hebrew in name.inner_text()
    assert name.bounding_box()["x"] < number.bounding_box()["x"]


def test_a_page_without_an_image_says_how_to_give_one(drawn_model: Drawn, serve: Serve, open_page: Open) -> None:
    model, _ = drawn_model("colour")
    address = serve(Session(model, "bare", engine="reference"))
    for room in ("overview", "lens", "gradient", "output"):
        page = open_page(address, room=room)
        page.wait_for_selector("h1")
        page.wait_for_load_state("networkidle")
        assert len(page.inner_text("main")) > 120, room


def test_a_server_that_has_stopped_is_told(lesson: Session, browser: Any) -> None:
    server = PageServer(lesson)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    page = browser.new_page()
    page.goto(f"{server.address}#overview")  # and not at the lesson's first card
    settle(page)
    server.stop()
    thread.join(120)
    page.locator("nav button[data-room=gradient]").click()
    page.wait_for_selector(".failed[data-code=stopped]")
    assert "neocog explain" in page.locator(".failed").first.inner_text()
    page.close()


def test_an_address_without_its_token_shows_no_page(lesson: Session, serve: Serve, browser: Any) -> None:
    page = browser.new_page()
    answer = page.goto(serve(lesson).split("?")[0])
    assert answer.status == 403
    assert "token" in page.inner_text("body")
    page.close()


def test_a_saved_page_works_from_a_file(digits: Session, saved: Callable[[Session], str], open_page: Open) -> None:
    address = saved(digits)
    assert address.startswith("file://")
    for room in ("overview", "lens", "pooling", "values", "gradient", "output", "places", "connections", "detects"):
        page = open_page(address, room=room)
        settle(page)
        numbers = shown_numbers(page)
        assert numbers, room
        assert Oracle(digits).wrong(numbers) == [], room
        assert unchecked_decimals(page) == []
    page.locator("nav button[data-room=input]").click()
    assert "neocog explain" in page.inner_text("main")


def test_the_saved_lesson_steps_without_python(
    lesson: Session, saved: Callable[[Session], str], open_page: Open
) -> None:
    page = open_page(saved(lesson), room="lens")
    settle(page)
    page.keyboard.press("End")
    page.wait_for_function("() => document.body.innerText.includes('Step 16 of 16')")
    totals = {number.value for number in shown_numbers(page) if number.array == "total"}
    assert totals == {-1.0}


def test_weights_of_the_saved_lesson_can_be_changed(
    lesson: Session, saved: Callable[[Session], str], open_page: Open
) -> None:
    page = open_page(saved(lesson), room="connections")
    settle(page)
    page.locator("input[data-tap='8']").fill("-2")
    page.locator("input[data-tap='8']").press("Enter")
    page.wait_for_selector("data.num[data-array=original_outputs]")
    assert Oracle(lesson).wrong(shown_numbers(page)) == []


def test_what_a_saved_page_does_not_hold_is_said(
    digits: Session, saved: Callable[[Session], str], open_page: Open
) -> None:
    page = open_page(f"{saved(digits)}#gradient?target=class:9")
    page.wait_for_selector(".failed[data-code=unrecorded]")
    assert "neocog explain" in page.locator(".failed").first.inner_text()
