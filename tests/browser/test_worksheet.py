"""The lesson on paper: all cards with blanks, their right answers on a page of their own."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest

from browser.numbers import Oracle, shown_numbers
from browser.test_print import prepare
from neocog.app.page.answers import answer
from neocog.app.page.question import Question
from neocog.app.page.session import Session

pdfium = pytest.importorskip("pypdfium2")


def test_answers_are_right_and_stand_on_a_page_of_their_own(
    digits: Session, serve: Callable[[Session], str], open_page: Callable[..., Any]
) -> None:
    page = open_page(serve(digits), room="worksheet")
    page.locator(".answers > ol > li:nth-child(16)").wait_for()
    assert Oracle(digits).wrong(shown_numbers(page)) == []
    told = page.locator(".answers > ol > li").all_inner_texts()
    for number, text in enumerate(told, 1):
        facts = answer(digits, Question.read(f"card?input=first&number={number}")).facts
        words = facts["words"]["en"]
        assert page.locator(".sheet h2").nth(number - 1).inner_text() == words["title"]
        for one, line in zip(facts["asks"], text.split("\n\n"), strict=True):
            right = one["options"][one["right"]]
            if right["value"] is None:
                assert line.startswith(words["asks"][one["key"]].get("says", {}).get(right["why"], "row")[:8])
            else:
                assert float(line.split(". ")[0].replace(",", "")) == pytest.approx(right["value"], rel=1e-5)
    prepare(page)
    document = pdfium.PdfDocument(io.BytesIO(page.pdf(format="A4")))
    sheets = [sheet.get_textpage().get_text_range() for sheet in document]
    (of_answers,) = [place for place, text in enumerate(sheets) if "Answers" in text]
    assert sheets[of_answers].strip().startswith("Answers")
    assert "Name ___" in sheets[0]
    assert not any("___" in text or "☐" in text for text in sheets[of_answers:])
