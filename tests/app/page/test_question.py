"""A question is written one way only."""

from __future__ import annotations

import pytest

import neocog as nc
from neocog.app.page.question import Question


def test_a_question_reads_back_and_sorts_its_arguments() -> None:
    question = Question.read("lens?row=2&layer=0&input=first")
    assert str(question) == "lens?input=first&layer=0&row=2"
    assert Question.read(str(question)) == question
    assert str(Question.read("model")) == "model"


@pytest.mark.parametrize("value", ["", "a b", "<script>", "../x", "a" * 251, "é"])
def test_values_that_no_question_holds_are_refused(value: str) -> None:
    with pytest.raises(nc.SettingError):
        Question.make("sample", {"index": value})


def test_arguments_are_read_as_what_they_must_be() -> None:
    question = Question.read("shift?box=1,2,3,4&rows=-3&value=-2.5")
    assert question.whole("rows") == -3
    assert question.wholes("box", 4) == (1, 2, 3, 4)
    assert question.real("value") == -2.5
    assert question.wholes("missing", 4) is None
    for read in (
        lambda: question.whole("value"),
        lambda: question.whole("missing"),
        lambda: question.wholes("box", 3),
        lambda: Question.read("x?value=nan").real("value"),
        lambda: Question.read("x?value=1e9").real("value"),
    ):
        with pytest.raises(nc.SettingError):
            read()
