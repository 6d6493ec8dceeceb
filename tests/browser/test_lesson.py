"""The guided lesson, card by card, by keyboard alone: every answer is given, wrong ones first; in both languages."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from browser.numbers import Oracle, shown_numbers, unchecked_decimals
from neocog.app.page.answers import answer
from neocog.app.page.lesson.cards import ROWS
from neocog.app.page.question import Question
from neocog.app.page.saved import save_page
from neocog.app.page.session import FIRST, Session

Open = Callable[..., Any]

# Each language, each width, and each way to come by the page is walked through; all of their combinations in the
# thorough profile.
EVERY = tuple(product(("digits", "lesson"), ("served", "saved"), ("en", "zh"), (1440, 390)))
USUAL = (("digits", "served", "en", 1440), ("digits", "saved", "zh", 390))
WALKS = EVERY if os.environ.get("NEOCOG_TEST_PROFILE") == "thorough" else USUAL
MOST_TABS = 40  # to what is looked for on a card


@pytest.fixture(scope="module")
def addresses(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, serve: Callable[[Session], str]
) -> Callable[[str, str], tuple[Session, str]]:
    """Give a session and its page's address by names; each is served, or saved, once."""
    known: dict[tuple[str, str], str] = {}

    def find(name: str, carrier: str) -> tuple[Session, str]:
        session = request.getfixturevalue(name)
        if (name, carrier) not in known:
            if carrier == "served":
                known[name, carrier] = serve(session)
            else:
                path: Path = tmp_path_factory.mktemp(name) / "page.html"
                save_page(session, path, lambda done, total: None)
                known[name, carrier] = path.as_uri()
        return session, known[name, carrier]

    return find


def settled(page: Any, number: int) -> None:
    """Wait until a card and its room are there."""
    page.wait_for_selector(f"aside[data-card='{number}'][data-row]")
    page.wait_for_selector("main .room-name")
    page.wait_for_function("() => !document.querySelector('main[aria-busy=true]')")


def tab_to(page: Any, selector: str) -> None:
    """Press Tab until something has the focus."""
    for _ in range(MOST_TABS):
        if page.evaluate("selector => document.activeElement?.matches(selector) ?? false", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the keyboard does not come to {selector}")


def give(page: Any, at: int, one: dict[str, Any], option: int) -> str:
    """Answer a question by keyboard, from wherever the focus is; return what the page makes of it."""
    group = page.locator("aside .question").nth(at)
    if one["typed"]:
        box = group.locator("input[type=text]")
        box.focus()
        page.keyboard.press("Control+a")
        page.keyboard.type(str(int(one["options"][option]["value"])))
    else:
        group.locator("input[type=radio]").first.focus()
        for _ in range(option):
            page.keyboard.press("ArrowDown")
        if not group.locator("input[type=radio]").nth(option).is_checked():
            page.keyboard.press("Space")
    page.keyboard.press("Enter")
    verdict = group.locator("[data-verdict]")
    verdict.wait_for()
    return str(verdict.get_attribute("data-verdict"))


@pytest.mark.parametrize(("name", "carrier", "language", "width"), WALKS)
def test_next_alone_leads_through_all_cards_and_each_answer_is_judged(
    name: str,
    carrier: str,
    language: str,
    width: int,
    addresses: Callable[[str, str], tuple[Session, str]],
    open_page: Open,
) -> None:
    session, address = addresses(name, carrier)
    page = open_page(address, room=f"lesson?card=1&lang={language}", width=width, height=900)
    oracle = Oracle(session)
    for number, row in enumerate(ROWS, 1):
        settled(page, number)
        facts = answer(session, Question.read(f"card?input={FIRST}&number={number}")).facts
        words = facts["words"][language]
        card = page.locator("aside.card")
        assert page.inner_text("aside.card h1") == words["title"]
        assert page.locator("main .failed").count() == 0, row.name
        assert page.locator(f"main [data-spot='{row.name}']").count() == 1, row.name
        for at, one in enumerate(facts["asks"]):
            order = [option for option in range(len(one["options"])) if option != one["right"]] + [one["right"]]
            for option in order:
                right = option == one["right"]
                assert give(page, at, one, option) == ("right" if right else "wrong"), (row.name, option)
                said = card.locator(".question").nth(at).locator("[data-verdict]").inner_text()
                first = re.split(r"\{\w+\}", words["asks"][one["key"]]["why"][one["options"][option]["why"]])[0]
                assert first.strip() in said
            after = re.split(r"\{\w+\}", words["asks"][one["key"]]["after"][one["after"]])[0]
            assert after.strip() in card.inner_text()
        assert not re.search(r"[{}]", card.inner_text()), row.name
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width, row.name
        settled(page, number)
        assert page.locator("main .failed").count() == 0, row.name
        assert oracle.wrong(shown_numbers(page)) == [], row.name
        assert unchecked_decimals(page) == [], row.name
        if number < len(ROWS):
            tab_to(page, "[data-step=next]")
            page.keyboard.press("Enter")
            page.wait_for_function("number => location.hash.startsWith(`#lesson?card=${number}&`)", arg=number + 1)
            assert page.evaluate("() => document.activeElement.tagName") == "H1"
    assert page.locator(".dots button.done").count() == len(ROWS)
    page.reload()
    settled(page, len(ROWS))
    assert page.locator(".dots button.done").count() == len(ROWS)


def test_a_card_is_reached_by_its_address_and_the_rooms_from_it(
    addresses: Callable[[str, str], tuple[Session, str]], open_page: Open
) -> None:
    _, address = addresses("digits", "served")
    page = open_page(address, room="overview")
    page.wait_for_selector("[data-invite]")
    page.locator("[data-invite]").click()
    settled(page, 1)
    page.locator("[data-dot='13']").click()
    settled(page, 13)
    page.go_back()
    settled(page, 1)
    page.goto(f"{address}#lesson?card=10&lang=en")
    settled(page, 10)
    assert page.locator("input[name=wiring][value=fully]").is_checked()
    page.locator("input[name=wiring][value=shared]").check()
    page.locator("main .away button").click()
    assert page.locator("input[name=wiring][value=fully]").is_checked()
    page.locator("aside .leave").click()
    page.wait_for_selector("nav button[data-room=connections][aria-current=page]")
    page.locator("nav [data-lesson]").click()
    settled(page, 10)


def test_a_number_that_is_no_answer_is_told_so_and_the_answer_can_be_shown(
    addresses: Callable[[str, str], tuple[Session, str]], open_page: Open
) -> None:
    _, address = addresses("lesson", "served")
    page = open_page(address)  # without an address of a room the worked example opens its lesson
    settled(page, 1)
    box = page.locator("aside .question input")
    box.fill("37")
    box.press("Enter")
    assert page.locator("[data-verdict]").get_attribute("data-verdict") == "wrong"
    page.locator("[data-reveal]").click()
    assert page.locator("[data-verdict]").get_attribute("data-verdict") == "right"
    assert box.input_value() == "36"
