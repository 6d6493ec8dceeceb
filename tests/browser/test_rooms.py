"""What a reader does in the rooms: steps, edits, clicks, keys, other languages, narrow screens."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import neocog as nc
from browser.conftest import with_image
from browser.numbers import Oracle, shown_numbers
from browser.test_numbers import settle
from neocog.app.page.session import FIRST, Session
from neocog.explain.trace import trace
from neocog.model.calibration import Calibration, CurvePoint
from neocog.nn.answer import UNKNOWN

ROOMS = (
    "overview",
    "lens",
    "connections",
    "pooling",
    "values",
    "gradient",
    "output",
    "detects",
    "places",
    "learning",
    "input",
    "kernels",
    "worksheet",
)
MAP_ONE = [3, -1, -3, -1, -3, 1, 0, -3, -3, -3, 0, 1, 3, -2, -2, -1]

Open = Callable[..., Any]
Serve = Callable[[Session], str]


def values(page: Any, array: str) -> list[float]:
    """Read the numbers that a page shows of an array, in document order."""
    return [number.value for number in shown_numbers(page) if number.array == array]


def test_the_sixteen_steps_of_the_worked_example_by_keyboard(lesson: Session, serve: Serve, open_page: Open) -> None:
    page = open_page(serve(lesson), room="lens")
    settle(page)
    for step, want in enumerate(MAP_ONE):
        page.wait_for_function(f"() => document.body.innerText.includes('Step {step + 1} of 16')")
        settle(page)
        products = values(page, "products")
        assert len(products) == 9
        assert sum(products) == want
        assert set(values(page, "total")) == {want}
        if step < 15:
            at_end_of_row = step % 4 == 3
            for key in ("ArrowDown", "ArrowLeft", "ArrowLeft", "ArrowLeft") if at_end_of_row else ("ArrowRight",):
                page.keyboard.press(key)
    page.keyboard.press("Home")
    page.wait_for_function("() => document.body.innerText.includes('Step 1 of 16')")
    assert "not flipped" in page.inner_text("main")


def test_one_control_goes_from_576_to_144_to_9_and_edges_follow(lesson: Session, serve: Serve, open_page: Open) -> None:
    page = open_page(serve(lesson), room="connections")
    settle(page)
    for name, count in (("fully", 576), ("local", 144), ("shared", 9)):
        page.locator(f"input[name=wiring][value={name}]").check()
        assert str(count) in page.locator(".wiring.on").inner_text()


def test_changing_one_weight_changes_all_its_edges_and_the_outputs(
    lesson: Session, serve: Serve, open_page: Open
) -> None:
    page = open_page(serve(lesson), room="connections")
    settle(page)
    assert values(page, "outputs")[:16] == MAP_ONE
    page.locator("input[data-tap='4']").fill("3")
    page.locator("input[data-tap='4']").press("Enter")
    page.wait_for_selector("data.num[data-array=original_outputs]")
    image = np.asarray(lesson.input(FIRST).image)[..., 0]
    want = np.array(MAP_ONE).reshape(4, 4) + 2 * image[1:5, 1:5]
    assert values(page, "outputs")[:16] == want.ravel().tolist()
    struck = [old for old, new in zip(MAP_ONE, want.ravel(), strict=True) if old != new]
    assert values(page, "original_outputs") == struck
    assert Oracle(lesson).wrong(shown_numbers(page)) == []


def test_every_room_is_reached_by_its_name_and_by_the_keyboard(digits: Session, serve: Serve, open_page: Open) -> None:
    page = open_page(serve(digits))
    settle(page)
    for room in ROOMS:
        button = page.locator(f"nav button[data-room={room}]")
        button.focus()
        page.keyboard.press("Enter")
        page.wait_for_function(f"() => location.hash.startsWith('#{room}')")
        assert button.get_attribute("aria-current") == "page"
        assert page.inner_text("h1") == re.sub(r"^\d+\s*", "", button.inner_text()).strip()
        assert len(page.inner_text("main")) > 150


@pytest.mark.parametrize("room", ROOMS)
def test_nothing_is_wider_than_a_phone_and_chinese_leaves_no_english_sentence(
    room: str, digits: Session, serve: Serve, open_page: Open
) -> None:
    page = open_page(serve(digits), room=room, width=375, height=800)
    page.wait_for_selector("h1")
    page.wait_for_load_state("networkidle")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 375
    page.set_viewport_size({"width": 1280, "height": 900})
    page.locator(".languages button[lang=zh]").click()
    page.wait_for_function("() => document.documentElement.lang === 'zh-CN'")
    text = page.inner_text("main")
    assert len(re.findall(r"[\u4e00-\u9fff]", text)) > 60
    assert not re.search(r"(?:\b[a-z]{2,}\b ){4}", text), "four lower-case words in a row"


@pytest.mark.parametrize("ratio", [1, 2])
def test_pixels_are_true_at_every_device_ratio(ratio: int, digits: Session, serve: Serve, open_page: Open) -> None:
    """Cells of equal value have one colour from edge to edge, and the order of values is that of colours."""
    page = open_page(serve(digits), room="pooling", device_scale_factor=ratio)
    settle(page)
    read = page.evaluate(
        """() => { const canvas = document.querySelector('canvas[data-array=input]')
        const cell = +canvas.dataset.cell, context = canvas.getContext('2d'), found = []
        const { rows, columns } = canvas.dataset
        for (let row = 0; row < +rows; row++) for (let column = 0; column < +columns; column++) {
            const pixels = context.getImageData(column * cell, row * cell, cell, cell).data
            const first = pixels.slice(0, 4).join()
            for (let at = 0; at < pixels.length; at += 4) if (pixels.slice(at, at + 4).join() !== first) return null
            found.push(first) }
        const box = canvas.getBoundingClientRect()
        return { found, across: box.width * devicePixelRatio / canvas.width } }"""
    )
    assert read is not None, "a cell is not of one colour"
    assert read["across"] == pytest.approx(1.0, abs=0.01), "a canvas pixel must be a device pixel"
    shown = trace(digits.model, digits.input(FIRST).image).input(2)[..., 0].ravel()
    colours: dict[str, set[float]] = {}
    for colour, value in zip(read["found"], shown, strict=True):
        colours.setdefault(colour, set()).add(round(float(value), 2))
    assert len(colours) >= len(np.unique(shown.round(1)))
    assert all(max(group) - min(group) <= 0.05 for group in colours.values())


def test_who_wants_less_motion_still_sees_it_play(lesson: Session, serve: Serve, open_page: Open) -> None:
    page = open_page(serve(lesson), room="lens", reduced_motion="reduce")
    settle(page)
    page.keyboard.press("Space")
    page.wait_for_function("() => document.body.innerText.includes('Step 3 of 16')")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_labels_that_stand_each_for_themselves_are_shown_so(serve: Serve, open_page: Open, language: str) -> None:
    net = nc.Sequential(nc.Conv2d(2, 3), nc.ReLU(), nc.Flatten(), nc.Linear(3))
    model = nc.Model(net, (6, 6, 1), ["cat", "dog", "owl"], seed=1, loss=nc.BinaryCrossEntropy())
    model.load_state_dict({**model.state_dict(), "3.bias": np.array([2.0, -9.0, 3.0], "f4")})
    session = with_image(model, np.full((6, 6, 1), 0.2, np.float32), "labels")
    page = open_page(serve(session), room="output")
    page.locator(f"header button[lang={language}]").click()
    settle(page)
    assert "cat" in page.inner_text("header")
    assert "owl" in page.inner_text("header")
    assert "dog" not in page.inner_text("header")
    assert "sigmoid" in page.inner_text("main")
    assert "softmax" not in page.inner_text("main").lower()
    assert page.locator(".row-of.predicted").count() == 2
    logits = session.trace(FIRST).logits
    np.testing.assert_allclose(sorted(set(values(page, "probabilities"))), sorted(1 / (1 + np.exp(-logits))), rtol=1e-5)
    page.locator("nav button[data-room=gradient]").click()
    page.locator("select[name=kind]").select_option("loss")
    page.locator("select[name=class]").select_option("1")
    settle(page)
    shown = shown_numbers(page)
    assert Oracle(session).wrong(shown) == []
    (value,) = (number.value for number in shown if number.fact == "value")
    assert value == pytest.approx(np.mean(np.log1p(np.exp([logits[0], -logits[1], logits[2]]))), rel=1e-5)
    assert "sigmoid" in page.inner_text("main")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_answers_as_predict_does(serve: Serve, open_page: Open, language: str) -> None:
    net = nc.Sequential(nc.Conv2d(2, 3), nc.ReLU(), nc.Flatten(), nc.Linear(3))
    model = nc.Model(net, (6, 6, 1), ["cat", "dog", "owl"], seed=1, views="flip")
    model.calibration = Calibration(2.5, 4, (CurvePoint(0.9, 4, 2),))
    image = np.random.default_rng(2).random((6, 6, 1)).astype(np.float32)
    for reject_below in (None, 0.99):
        model.reject_below = reject_below
        (said,) = model.predict(image[None])
        unknown = "unknown" if language == "en" else "未知"
        want = unknown if said == UNKNOWN else model.class_names[said]
        session = with_image(model, image, "answers")
        page = open_page(serve(session), room="output")
        page.locator(f"header button[lang={language}]").click()
        settle(page)
        assert page.locator("header .says b").first.inner_text() == want
        assert page.locator(".row-of.predicted").count() == int(said != UNKNOWN)
        np.testing.assert_allclose(
            sorted(set(values(page, "probabilities"))), sorted(model.predict_proba(image[None])[0]), rtol=1e-5
        )
        np.testing.assert_allclose(
            sorted(set(values(page, "mean_logits"))), sorted(model.logits(image[None])[0]), rtol=1e-5
        )
        shown = shown_numbers(page)
        assert Oracle(session).wrong(shown) == []
        told = {number.fact: number.value for number in shown if (number.fact or "").startswith("answers.")}
        assert told == {"answers.temperature": 2.5, **({} if reject_below is None else {"answers.reject_below": 0.99})}
        page.locator("nav button[data-room=places]").click()
        settle(page)
        assert want in page.inner_text("main")


def test_an_image_of_the_data_set_becomes_the_input_of_every_room(
    digits: Session, serve: Serve, open_page: Open
) -> None:
    page = open_page(serve(digits), room="input")
    settle(page)
    page.locator("button[data-way=data]").click()
    page.locator("input[name=sample]").fill("7")
    page.locator("input[name=sample]").press("Enter")
    page.wait_for_function("() => document.body.innerText.includes('digits/7')")
    settle(page)
    want = trace(digits.model, digits.gallery[7:8][0]).probabilities
    np.testing.assert_allclose(sorted(set(values(page, "probabilities"))), sorted(want.astype("f4")), rtol=1e-5)
    page.locator("nav button[data-room=lens]").click()
    settle(page)
    assert Oracle(digits).wrong(shown_numbers(page)) == []


def test_a_photograph_of_eight_megapixels_is_taken(digits: Session, serve: Serve, open_page: Open, tmp_path) -> None:
    from PIL import Image

    Image.new("RGB", (3264, 2448), (90, 90, 200)).save(tmp_path / "photo.jpg")
    page = open_page(serve(digits), room="input")
    settle(page)
    page.locator("button[data-way=file]").click()
    page.locator("input[name=image]").set_input_files(tmp_path / "photo.jpg")
    page.wait_for_function("() => document.body.innerText.includes('2448 x 3264')")
    assert page.locator(".failed").count() == 0


def test_a_row_that_is_still_on_its_way_is_not_passed_off_as_the_next(
    lesson: Session, serve: Serve, open_page: Open
) -> None:
    """While the next row's answer is awaited, the sentence speaks of the row that it has."""
    page = open_page(serve(lesson), room="lens?row=0&column=1")
    settle(page)
    held: list[Any] = []
    page.route(re.compile(r"/ask/lens\?.*row=3"), lambda route: held.append(route))
    for _ in range(3):
        page.keyboard.press("ArrowDown")
        page.wait_for_timeout(150)
    said = page.locator("main .live").first
    assert "row 3" not in said.inner_text()
    assert said.get_attribute("aria-busy") == "true"
    held[0].continue_()
    page.wait_for_function("() => document.querySelector('main .live').innerText.includes('row 3')")
    assert "gives -2" in said.inner_text()


Drawn = Callable[[str], tuple[Any, np.ndarray]]


def test_the_overview_draws_branches_and_joins_and_leads_to_layers(
    drawn_model: Drawn, serve: Serve, open_page: Open
) -> None:
    session = with_image(*drawn_model("residual"), "residual")
    page = open_page(serve(session), room="overview")
    settle(page)
    nodes = session.model.graph.nodes
    assert page.locator("[data-bar]").count() == len(nodes)
    edges = page.locator("path[data-from]").evaluate_all("all => all.map(one => [+one.dataset.from, +one.dataset.to])")
    assert sorted(map(tuple, edges)) == sorted((value, node.index) for node in nodes for value in node.inputs)
    assert page.locator("svg[data-skips]").get_attribute("data-skips") == "1"  # the other shortcut has layers in it
    join = next(node for node in nodes if len(node.inputs) > 1)
    page.locator(f"[data-bar='{join.index}']").click()
    card = page.locator(f"section[data-layer='{join.index}']")
    page.wait_for_function("top => Math.abs(top.getBoundingClientRect().top) < 300", arg=card.element_handle())
    for value in join.inputs:
        assert nodes[value].name in card.inner_text()
    card.locator("button.edge").last.click()  # the value that skipped the layers between
    assert page.evaluate("() => document.activeElement.dataset.layer") == str(join.inputs[-1])


def test_a_cell_that_two_layers_take_shows_what_both_send_back(
    drawn_model: Drawn, serve: Serve, open_page: Open
) -> None:
    session = with_image(*drawn_model("residual"), "residual")
    page = open_page(serve(session), room="gradient")
    settle(page)
    shared = next(n.index for n in session.model.graph.nodes if len(session.model.graph.consumers(n.index)) == 2)
    card = page.locator(f"section[data-layer='{shared}']")
    card.scroll_into_view_if_needed()
    card.locator("p.note button").click()
    page.wait_for_function("card => card.querySelectorAll('.route').length === 2", arg=card.element_handle())
    sent: list[float] = []
    for _ in range(100):  # each route asks for its numbers when it is there
        settle(page)
        sent = [number.value for number in shown_numbers(page) if number.fact == "total"]
        if len(sent) == 2:
            break
        page.wait_for_timeout(100)
    whole = [number.value for number in shown_numbers(page) if number.fact == "gradient"]
    assert len(sent) == 2
    assert len(whole) == 1
    assert sum(sent) == pytest.approx(whole[0], rel=1e-4)
    assert Oracle(session).wrong(shown_numbers(page)) == []
