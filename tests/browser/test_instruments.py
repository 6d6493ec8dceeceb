"""What the other rooms let a reader do with their pictures, and that nothing in them contradicts the data."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

import neocog as nc
from browser.conftest import with_image
from browser.numbers import Oracle, shown_numbers
from browser.test_numbers import settle
from browser.test_rooms import values
from neocog.app.page.session import FIRST, Gallery, Session
from neocog.data.arrays import ArrayDataset
from neocog.explain.trace import trace

Open = Callable[..., Any]
Serve = Callable[[Session], str]
SHOWN = """array => { const canvas = document.querySelector(`canvas[data-array=${array}]`)
    return canvas.closest('.map').querySelector('.numbers').innerText.split(/\\s+/).map(Number) }"""


def test_pooling_both_ways_on_the_same_map_forward_and_back(lesson: Session, serve: Serve, open_page: Open) -> None:
    page = open_page(serve(lesson), room="pooling?row=0&column=0")
    settle(page)
    said = page.locator("main .live")
    assert "how does gradient descent get past it?" in page.inner_text("main")
    assert page.evaluate(SHOWN, "output") == [3, 0, 3, 1]
    page.locator("[data-way=backward]").click()  # the target is the first filter's sum, so that all gradients are 1
    assert page.evaluate(SHOWN, "gradient") == [1, 1, 1, 1]
    assert page.evaluate(SHOWN, "sent") == [1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0]
    assert "onto the winner, at row 0, column 0" in said.inner_text()
    page.locator("[data-kind=average]").click()
    settle(page)
    assert set(values(page, "sent")) == {0.25}
    assert values(page, "share") == [0.25]
    assert "shared among 4 cells" in said.inner_text()
    assert "pools otherwise" in page.inner_text("main")
    page.locator("[data-way=forward]").click()
    assert values(page, "output")[-1] == 0  # the mean of 3, -1, -3 and 1
    assert Oracle(lesson).wrong(shown_numbers(page)) == []


def test_one_neuron_shows_its_nine_edges_and_their_sum(lesson: Session, serve: Serve, open_page: Open) -> None:
    page = open_page(serve(lesson), room="connections", width=1440)
    settle(page)
    network = page.locator(".network svg")
    box = network.bounding_box()
    output = page.locator(".unit.out").nth(5)
    at = output.bounding_box()
    page.mouse.move(at["x"] + 4, at["y"] + at["height"] / 2)
    assert page.locator("[data-lit='9']").count() == 1
    said = page.locator("main div.said")
    assert "Neuron 6: 9 inputs" in said.inner_text()
    products = values(page, "products")
    assert len(products) == 9
    assert sum(products) == values(page, "outputs")[5] == 1
    page.keyboard.press("Tab")
    network.focus()
    page.keyboard.press("ArrowDown")  # the keys go from neuron to neuron too
    assert "Neuron 7" in said.inner_text() or "Neuron 1:" in said.inner_text()
    assert page.locator(".unit.in").nth(35).inner_text().startswith("36")
    page.locator("select[name=units]").select_option("places")
    assert page.locator(".unit.in").nth(35).inner_text().startswith("5,5")
    # the matrix: sixteen rows, thirty-six columns, nine colours; its cells are the edges
    matrix = page.get_by_role("img", name="Matrix of 16 rows")
    colours = matrix.locator("path").evaluate_all("all => all.map((one) => getComputedStyle(one).fill)")
    assert len(set(colours)) == 9
    area = matrix.bounding_box()
    page.mouse.move(area["x"] + area["width"] * 0.5 / 36, area["y"] + area["height"] * 0.5 / 16)
    assert "Input (0, 0) to output (0, 0)" in said.inner_text()
    assert page.locator("[data-lit='16']").count() == 1  # all that carry the same weight
    assert box is not None
    assert Oracle(lesson).wrong(shown_numbers(page)) == []


def test_576_becomes_144_and_9_as_one_cut(lesson: Session, digits: Session, serve: Serve, open_page: Open) -> None:
    page = open_page(serve(lesson), room="connections")
    settle(page)
    page.clock.install()
    assert page.locator(".share").all_inner_texts() == ["576 ÷ 4", "576 ÷ 64"]
    page.locator("button[name=cut]").click()
    for count in ("576", "144", "9"):
        assert page.locator(".wiring.on .count").inner_text() == count
        assert page.locator("path.cut.gone").count() == int(count != "576")
        page.clock.run_for(1510)
    # a bias is counted only where there is one
    assert "with bias" not in page.locator(".wirings").inner_text()
    page = open_page(serve(digits), room="connections")
    settle(page)
    assert page.locator(".wirings").inner_text().count("with bias") == 3


def test_an_edit_strikes_only_what_it_changes_and_numbers_are_not_cut_off(
    lesson: Session, digits: Session, serve: Serve, open_page: Open
) -> None:
    page = open_page(serve(lesson), room="connections")
    settle(page)
    before = values(page, "outputs")[:16]
    page.locator("input[data-tap='4']").fill("3")
    page.locator("input[data-tap='4']").press("Enter")
    page.wait_for_selector("data.num[data-array=original_outputs]")
    after = values(page, "outputs")[:16]
    changed = [old for old, new in zip(before, after, strict=True) if old != new]
    assert 0 < len(changed) < 16
    assert values(page, "original_outputs") == changed
    page = open_page(serve(digits), room="connections")
    settle(page)
    cut = page.locator("input[data-tap]").evaluate_all("all => all.map((one) => one.scrollWidth > one.clientWidth)")
    assert cut == [False] * 9


def test_colours_stand_out_in_the_dark(digits: Session, serve: Serve, open_page: Open) -> None:
    """Each number of a matrix lies on its colour, whose lightness the scheme does not change."""
    page = open_page(serve(digits), room="lens", color_scheme="dark")
    settle(page)
    found = page.locator("[data-part=products] td").evaluate_all(
        """all => all.map((cell) => [getComputedStyle(cell).backgroundColor, cell.querySelector('data').value,
            getComputedStyle(cell.firstElementChild).color])"""
    )
    signs: dict[bool, set[bool]] = {True: set(), False: set()}
    for ground, value, ink in found:
        red, _, blue = (int(part) for part in re.findall(r"\d+", ground)[:3])
        signs[float(value) > 0].add(blue >= red)
        assert ink == "rgb(22, 32, 44)"
    assert signs[True] == {True}
    assert signs[False] <= {False}


def test_a_map_has_one_scale_in_all_rooms_and_the_image_its_own_colours(
    digits: Session, serve: Serve, open_page: Open
) -> None:
    """Room by room, the colours of the maps of the first convolution, its activation, and of the image."""
    read = """([question, array, start]) => { const all = [...document.querySelectorAll('canvas')]
        const canvas = all.find((one) => one.dataset.question === question && one.dataset.array === array
            && one.dataset.start === start)
        if (!canvas) return null
        const cell = +canvas.dataset.cell, context = canvas.getContext('2d')
        return Array.from({ length: 64 }, (_, at) =>
            context.getImageData((at % 8) * cell, Math.floor(at / 8) * cell, 1, 1).data.slice(0, 3).join()) }"""
    conv = ["activation?input=first&layer=0", "output", "0"]
    image = ["run?input=first", "image", "0"]
    address = serve(digits)
    seen: dict[str, list[Any]] = {"conv": [], "image": []}
    for room in ("overview", "lens?layer=0&filter=0&row=0&column=0", "connections?layer=0&filter=0"):
        page = open_page(address, room=room, width=1440)
        settle(page)
        seen["conv"].append(page.evaluate(read, conv))
        seen["image"].append(page.evaluate(read, image))
    for name, found in seen.items():
        assert all(one is not None for one in found), name
        assert found[0] == found[1] == found[2], name
    # and the pooling takes the activation's map in the activation's colours
    page = open_page(address, room="overview")
    settle(page)
    page.locator("section[data-layer='1']").scroll_into_view_if_needed()  # cards are drawn when they come into sight
    page.wait_for_selector("canvas[data-question='activation?input=first&layer=1']")
    want = page.evaluate(read, ["activation?input=first&layer=1", "output", "0"])
    page.locator("nav button[data-room=pooling]").click()
    page.wait_for_selector("canvas[data-array=input]")
    settle(page)
    question = page.locator("canvas[data-array=input]").get_attribute("data-question")
    assert page.evaluate(read, [question, "input", "0"]) == want
    assert "Step 0" not in page.inner_text("main")


def test_a_new_photo_shows_nothing_of_the_old_one(digits: Session, serve: Serve, open_page: Open) -> None:
    page = open_page(serve(digits), room="input")
    settle(page)
    held: list[Any] = []
    page.route(re.compile(r"/ask/run\?"), lambda route: held.append(route))
    old = page.locator("header .image").inner_text()
    page.locator("button[data-way=data]").click()
    page.locator("input[name=sample]").fill("9")
    page.locator("input[name=sample]").press("Enter")
    page.wait_for_function("() => document.querySelector('main [aria-live] .waiting')")
    page.wait_for_function("() => document.querySelector('header .image').innerText.includes('Computing')")
    assert "digits/3" in old
    assert "digits/3" not in page.inner_text("body")
    assert page.locator("main canvas[data-array=image]").count() == 0
    for route in held:
        route.continue_()
    page.wait_for_function("() => document.querySelector('main').innerText.includes('digits/9')")


def test_going_back_finds_the_place_and_a_forgotten_image_gives_way(
    digits: Session, serve: Serve, open_page: Open
) -> None:
    page = open_page(serve(digits), room="overview", height=700)
    settle(page)
    page.evaluate("() => scrollTo(0, 900)")
    page.wait_for_function("() => scrollY === 900")
    page.wait_for_timeout(100)  # the page is told of it
    page.evaluate("() => document.querySelector('nav button[data-room=pooling]').click()")
    page.wait_for_function("() => location.hash.startsWith('#pooling') && scrollY === 0")
    page.go_back()
    page.wait_for_function("() => location.hash.startsWith('#overview') && Math.abs(scrollY - 900) < 2")
    # the image that an address names is gone
    page = open_page(serve(digits), room="lens?input=i987")
    page.wait_for_selector("[role=status]:has-text('not kept any more')")
    settle(page)
    assert page.locator(".failed").count() == 0
    assert "i987" not in page.url


def test_a_photograph_has_a_small_picture_in_the_head(serve: Serve, open_page: Open) -> None:
    net = nc.Sequential(nc.Conv2d(2, 3), nc.GlobalAvgPool2d(), nc.Linear(2))
    model = nc.Model(net, (96, 128, 3), ["a", "b"], seed=1, engine="reference")
    image = np.random.default_rng(0).random((96, 128, 3)).astype(np.float32)
    page = open_page(serve(with_image(model, image, "photo")), room="input")
    settle(page)
    box = page.locator("header canvas").bounding_box()
    assert box is not None
    assert 20 <= max(box["width"], box["height"]) <= 40
    pixel = (
        "() => [...document.querySelector('header canvas').getContext('2d').getImageData(0, 0, 1, 1).data.slice(0, 3)]"
    )
    np.testing.assert_allclose(page.evaluate(pixel), np.round(image[0, 0] * 255), atol=1)


def test_a_hovered_value_is_in_sight(digits: Session, serve: Serve, open_page: Open) -> None:
    page = open_page(serve(digits), room="overview", height=700)
    settle(page)
    card = page.locator("section[data-layer='3']")
    card.scroll_into_view_if_needed()
    page.evaluate("card => scrollTo(0, scrollY + card.getBoundingClientRect().top - 560)", card.element_handle())
    canvas = card.locator("canvas").first
    canvas.wait_for()
    canvas.hover(position={"x": 8, "y": 8})
    look = card.locator(".look", has_text="row")
    look.wait_for()
    box = look.bounding_box()
    assert box["y"] >= 0
    assert box["y"] + box["height"] <= 700


def test_a_peak_that_left_the_picture_is_said_to_have_left(digits: Session, serve: Serve, open_page: Open) -> None:
    page = open_page(serve(digits), room="places?layer=0&filter=0")
    settle(page)
    stage = page.locator("main .stage").first
    before = trace(digits.model, digits.input(FIRST).image).output(0)[..., 0]
    column = int(before.argmax()) % before.shape[1]
    stage.focus()
    for _ in range(8 - column):
        page.keyboard.press("ArrowRight")
        settle(page)
    assert "has left the picture" in page.locator(".other").inner_text()
    assert page.locator("line.way").count() == 0
    page.keyboard.press("Home")
    settle(page)
    assert page.locator(".other").count() == 0


def test_numbers_of_tiles_are_whole_however_large_the_patches_are(serve: Serve, open_page: Open) -> None:
    net = nc.Sequential(nc.Conv2d(2, 5, stride=4), nc.ReLU(), nc.Conv2d(3, 5, stride=2), nc.Flatten(), nc.Linear(2))
    model = nc.Model(net, (96, 96, 1), ["a", "b"], seed=1)
    images = np.random.default_rng(0).random((4, 96, 96, 1)).astype(np.float32)
    data = ArrayDataset(images, np.array([0, 1, 0, 1]), ("a", "b"))
    session = Session(model, "deep")
    session.gallery = Gallery(data, session.size, model.resize, model.class_names, "random")
    session.add(session.gallery.input(0), FIRST)
    for layer in (0, 2):
        page = open_page(serve(session), room=f"detects?layer={layer}")
        page.wait_for_selector(".tile .index")
        hidden = page.locator(".tile:has(> .index)").evaluate_all(
            """all => all.map((tile) => tile.querySelector('.index').getBoundingClientRect().bottom
                > tile.parentElement.getBoundingClientRect().bottom)"""
        )
        assert hidden == [False] * (2 if layer == 0 else 3)


def test_nan_in_one_layer_refuses_no_earlier_one(serve: Serve, open_page: Open, digits: Session) -> None:
    values_of = {name: np.array(value) for name, value in digits.model.parameters.items()}
    net = digits.model.graph
    model = nc.Model(net, (8, 8, 1), class_names=digits.model.class_names, mean=0.3, std=0.37)
    values_of["3.weight"][...] = np.nan
    model.load_parameters(values_of, allow_nonfinite=True)
    session = Session(model, "spoilt", digits.gallery)
    session.add(digits.gallery.input(3), FIRST)
    address = serve(session)
    page = open_page(address, room="detects?layer=0")
    page.wait_for_selector(".patches")
    page = open_page(address, room="detects?layer=3")
    page.wait_for_selector(".failed[data-code=weights]")
    assert "The weights are no numbers" in page.locator(".failed").first.inner_text()
