"""The strip above each room: the whole network in thumbnails, lit where values come from and go to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from browser.conftest import with_image
from browser.test_numbers import settle
from neocog.app.page.session import Session

DRAWN = """index => { const canvas = document.querySelector('[data-strip] canvas')
    const bar = document.querySelector(`[data-thumbnail="${index}"]`).getBoundingClientRect()
    const of = canvas.getBoundingClientRect()
    const scale = canvas.width / of.width
    const [left, top] = [(bar.left - of.left) * scale, (bar.top - of.top) * scale]
    return canvas.getContext('2d').getImageData(left, top, bar.width, bar.height).data.some((value) => value !== 0) }"""


def test_the_pointer_lights_sources_and_targets_and_a_click_opens_the_layer(
    drawn_model: Callable[[str], Any], serve: Callable[[Session], str], open_page: Callable[..., Any]
) -> None:
    model, image = drawn_model("branches")
    page = open_page(serve(with_image(model, image, "branches")), room="connections", width=390)
    settle(page)
    nodes = model.graph.nodes
    assert page.locator("[data-strip] [data-thumbnail]").count() == len(nodes) + 1  # the image too
    joined = next(node for node in nodes if len(node.inputs) > 2)
    page.locator(f"[data-thumbnail='{joined.index}']").hover()
    takers = [node.index for node in nodes if joined.index in node.inputs]
    lit = [int(one.get_attribute("data-thumbnail")) for one in page.locator("[data-strip] g.near").all()]
    assert sorted(lit) == sorted({joined.index, *joined.inputs, *takers})
    assert page.locator("[data-strip] path.on").count() == len(joined.inputs) + sum(
        list(nodes[taker].inputs).count(joined.index) for taker in takers
    )
    pooling = next(node for node in nodes if type(node.layer).__name__ == "MaxPool2d")
    assert page.evaluate(DRAWN, pooling.index)
    page.locator(f"[data-thumbnail='{pooling.index}']").click()
    page.wait_for_function(f"() => location.hash.startsWith('#pooling?layer={pooling.index}&')")
    assert page.locator("[data-strip] g.here").get_attribute("data-thumbnail") == str(pooling.index)


def test_the_strip_by_keyboard_and_from_a_file(
    digits: Session, saved: Callable[[Session], str], open_page: Callable[..., Any]
) -> None:
    page = open_page(saved(digits), room="places")
    settle(page)
    assert page.evaluate(DRAWN, 0)
    page.locator("[data-strip] svg").focus()
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    assert page.locator("[data-strip] g.on").get_attribute("data-thumbnail") == "1"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    page.wait_for_function("() => location.hash.startsWith('#lens?layer=0')")
