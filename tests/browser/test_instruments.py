"""What the other rooms let a reader do with their pictures, and that nothing in them contradicts the data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from browser.numbers import Oracle, shown_numbers
from browser.test_numbers import settle
from browser.test_rooms import values
from neocog.app.page.session import Session

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
