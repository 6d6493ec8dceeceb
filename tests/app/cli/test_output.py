"""JSON, tables and measured figures."""

from __future__ import annotations

import json

import numpy as np
import pytest

from neocog.app.cli import measured, output
from neocog.errors import DataError


def test_json_holds_no_number_that_json_cannot_say():
    text = output.format_json({"a": float("nan"), "b": np.float32(0.5), "c": np.arange(3), "d": (np.inf, 1)})
    assert json.loads(text) == {"a": None, "b": 0.5, "c": [0, 1, 2], "d": [None, 1]}


def test_json_is_ascii_whatever_a_file_is_called():
    assert output.format_json("caf\udce9").isascii()


def test_classes_are_matched_by_name_in_any_order():
    matched = measured.match_classes(["cat", "dog", "owl"], ["owl", "cat"], np.array([1, 1]))
    assert matched.tolist() == [2, 0]


def test_a_class_without_images_need_not_be_known():
    assert measured.match_classes(["cat"], ["cat", "dog"], np.array([1, 0])).tolist() == [0, -1]


def test_a_class_that_the_model_does_not_know_is_named():
    with pytest.raises(DataError) as caught:
        measured.match_classes(["cat", "dog"], ["cats", "dog"], np.array([3, 3]))
    assert str(caught.value) == (
        "the data has 1 class that the model does not know: cats\n"
        "  the model knows: cat, dog\n"
        "  hint: rename cats to cat"
    )


def test_classes_that_are_only_numbered_are_to_be_named():
    with pytest.raises(DataError) as caught:
        measured.match_classes(["0", "1"], ["cat", "dog"], np.array([3, 3]))
    assert caught.value.hint == "its classes are only numbered: neocog import FILE --labels TXT gives them names"


def test_the_most_confused_pairs_come_first():
    seen = np.array([[0, 0, 5], [0, 1, 1], [1, 0, 3], [1, 1, 5], [1, 2, 2], [2, 2, 5]])
    pairs = measured.most_confused(seen, ["a", "b", "c"])
    assert [str(pair) for pair in pairs] == ["b taken for a (3)", "b taken for c (2)", "a taken for b (1)"]


def test_nothing_confused_gives_no_pair():
    assert measured.most_confused(np.array([[0, 0, 1], [1, 1, 1]]), ["a", "b", "c"]) == []


def test_long_lists_are_cut():
    assert measured.shorten(list("abcdef"), 3) == "a, b, c and 3 more"


def test_very_many_classes_are_matched_and_told_at_once():
    names = [f"class {n}" for n in range(200_000)]
    counts = np.ones(200_000, np.int64)
    assert measured.match_classes(names, names[::-1], counts)[0] == 199_999
    with pytest.raises(DataError) as caught:
        measured.match_classes(names, [*names, "x" * 100_000], np.ones(200_001, np.int64))
    assert len(caught.value.message) < 1000
    assert "and 199,988 more" in caught.value.details[0]
