"""Sixteen cards: their words fit, their answers are the engine's, and what a network lacks an example shows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import neocog as nc
from explain.networks import NETWORKS, make_image, make_model
from neocog.app.page.answers import answer
from neocog.app.page.examples import EXAMPLES, example_session, lesson_session
from neocog.app.page.lesson.cards import ROWS
from neocog.app.page.lesson.words import LANGUAGES, all_words, words_of
from neocog.app.page.message import Answer
from neocog.app.page.question import Question
from neocog.app.page.session import FIRST, Input, Session
from neocog.explain.subject import exact_parameters
from neocog.reference.network import forward

HOLE = re.compile(r"\{(\w+)\}")
OWN = "own"  # instead of the name of an example


def ask(session: Session, name: str, **arguments: object) -> Answer:
    """Ask a question about a session."""
    return answer(session, Question(name, {key: str(value) for key, value in arguments.items()}))


def card(session: Session, row: str) -> Answer:
    """Ask for the card of a row."""
    return ask(session, "card", input=FIRST, number=[one.name for one in ROWS].index(row) + 1)


def trained(*layers: nc.Layer, shape: tuple[int, int, int] = (8, 8, 1), seed: int = 3) -> Session:
    """Make the session of a network with three classes, and an image with something on it."""
    model = nc.Model(nc.Sequential(*layers), shape, class_names=["a", "b", "c"], seed=seed)
    image = np.zeros(shape, np.float32)
    image[2:5, 1:4] = np.random.default_rng(0).random((3, 3, shape[2]))
    made = Session(model, "small", engine="reference")
    made.add(Input(image, "drawn", None, (1,)), FIRST)
    return made


@pytest.fixture(scope="module")
def small() -> Session:
    """A network that has all but a history of its training."""
    return trained(
        nc.Conv2d(4, 3),
        nc.ReLU(),
        nc.MaxPool2d(2),
        nc.Conv2d(3, 2, padding=1),
        nc.AvgPool2d(2),
        nc.Flatten(),
        nc.Linear(3),
    )


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """List all texts of a catalogue with their paths."""
    for key, value in tree.items():
        if isinstance(value, str):
            yield f"{path}{key}", value
        else:
            yield from leaves(value, f"{path}{key}.")


def test_both_languages_say_the_same_with_the_same_numbers() -> None:
    english, chinese = (dict(leaves(all_words(language))) for language in LANGUAGES)
    assert list(english) == list(chinese)
    for path, text in english.items():
        assert sorted(set(HOLE.findall(text))) == sorted(set(HOLE.findall(chinese[path]))), path
    assert list(all_words("en")) == [row.name for row in ROWS] == [f"A{number}" for number in range(1, 17)]


def test_chinese_names_of_layers_and_classes_bring_their_own_marks() -> None:
    """第 0 层（Conv2d） and “3” stand without spaces around them."""
    for path, text in leaves(all_words("zh")):
        assert not re.search(r" \{(layer|class|other|way)\}|\{(layer|class|other|way)\} ", text), path
        assert not re.search(r"[\u4e00-\u9fff][,;:!?]|[。，；：！？）] ", text), path


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_number_of_a_card_is_written_by_hand(language: str) -> None:
    for path, text in leaves(all_words(language)):
        assert not re.search(r"\d", HOLE.sub("", text)), path


def check_words(found: Answer) -> None:
    """Every key that a card names has words, and every hole in them something that fills it, in both languages."""
    facts = found.facts
    for language in LANGUAGES:
        words = facts["words"][language]
        for one in facts["asks"]:
            told = words["asks"][one["key"]]
            known = {*one["values"], *one["counts"], *one["names"]}
            texts = [words["tell"], told["ask"], told["after"][one["after"]]]
            texts += [told["why"][option["why"]] for option in one["options"]]
            if one["kind"] == "words":
                says = [told["says"][option["why"]] for option in one["options"] if not option["counts"]]
                assert len(set(says)) == len(says)
                texts += says
            for text in texts:
                assert set(HOLE.findall(text)) <= known, (facts["row"], one["key"], text)


@pytest.mark.parametrize("name", [f"example {name}" for name in EXAMPLES] + sorted(NETWORKS))
def test_every_network_has_sixteen_cards_with_one_right_answer_each(name: str) -> None:
    if name not in NETWORKS:
        session = example_session(name.removeprefix("example "))
    else:
        model = make_model(name)
        session = Session(model, name, engine="reference")
        session.add(Input(make_image(model), "drawn"), FIRST)
    for row in ROWS:
        found = card(session, row.name)
        check_words(found)
        json.dumps(found.frame().decode("latin-1"))
        for one in found.facts["asks"]:
            assert 0 <= one["right"] < len(one["options"])
            assert len(one["options"]) > 1
            values = [option["value"] for option in one["options"] if option["value"] is not None]
            assert all(np.isfinite(values))
            assert values == sorted(set(values))
            if one["typed"]:
                assert all(float(value).is_integer() for value in values)


def test_the_cards_of_the_worked_example_are_the_textbooks() -> None:
    session = lesson_session()
    right = {}
    for row in ROWS:
        facts = card(session, row.name).facts
        right[row.name] = [one["options"][one["right"]]["value"] for one in facts["asks"]]
        assert facts["example"] == ("colour" if row.name == "A9" else "")
    assert right["A1"] == [36]
    assert right["A6"] == [18]
    assert right["A7"] == [-1]
    assert right["A8"] == [2]
    assert right["A9"] == [1]
    assert (right["A10"], right["A11"], right["A12"]) == ([9], [144], [9])
    assert card(session, "A12").facts["asks"][0]["counts"]["times"] == 64


def test_what_a_network_lacks_the_worked_examples_show(small: Session) -> None:
    def stands(session: Session) -> dict[str, str]:
        return {row.name: card(session, row.name).facts["example"] or OWN for row in ROWS}

    assert {row for row, example in stands(small).items() if example != OWN} == {"A6", "A16"}
    flat = trained(nc.Flatten(), nc.Linear(3))
    own = {row for row, example in stands(flat).items() if example == OWN}
    assert own == {"A1", "A4", "A5", "A15"}
    assert stands(flat)["A9"] == "colour"
    broken = trained(nc.Conv2d(2, 3), nc.MaxPool2d(2), nc.Flatten(), nc.Linear(3))
    lost = {**broken.model.state_dict(), "0.weight": np.full((2, 1, 3, 3), np.nan, "f4")}
    broken.model.load_state_dict(lost, allow_nonfinite=True)
    assert stands(broken)["A7"] == stands(broken)["A13"] == stands(broken)["A14"] == "example"
    empty = Session(small.model, "no image", engine="reference")
    assert {ask(empty, "card", number=number).facts["example"] for number in range(1, 17)} == {"example", "colour"}


def test_questions_about_an_example_are_answered_about_it(small: Session) -> None:
    assert ask(small, "example.model").facts["title"] == "6 x 6"
    assert ask(small, "colour.run", input=FIRST).arrays["image"].shape == (6, 6, 3)


@pytest.mark.parametrize("name", ["small", "lesson"])
def test_the_next_cell_is_what_the_lens_gives(name: str, small: Session) -> None:
    session = small if name == "small" else lesson_session()
    found = card(session, "A7")
    one, place, then = found.facts["asks"][0], found.facts["place"], found.facts["then"]
    seen = ask(session, "lens", input=FIRST, layer=place["layer"], filter=place["filter"], row=place["row"])
    right = one["options"][one["right"]]["value"]
    assert right == np.float32(seen.arrays["total"][then["column"]])
    np.testing.assert_array_equal(found.arrays["0.window"], seen.arrays["window"][then["column"], ..., 0])
    assert (found.arrays["0.window"] * found.arrays["0.filter"]).sum() + one["values"]["bias"] == pytest.approx(right)


def test_a_peak_that_a_card_follows_does_move_along(small: Session) -> None:
    for session in (small, lesson_session()):
        facts = card(session, "A3").facts
        assert facts["example"] == ""
        one, place = facts["asks"][0], facts["place"]
        by = {"rows": 0, "columns": 0}
        way = one["names"]["way"]["way"]
        by["columns" if way in ("left", "right") else "rows"] = one["counts"]["by"] * (
            -1 if way in ("left", "up") else 1
        )
        moved = ask(session, "shift", input=FIRST, layer=place["layer"], filter=place["filter"], **by)
        right = one["options"][one["right"]]["counts"]
        assert (right["row"], right["column"]) == tuple(moved.facts["peak"])
        assert one["values"]["peak_after"] == pytest.approx(one["values"]["peak"], rel=1e-6)


def test_whether_a_small_image_is_answered_the_same_is_found_out() -> None:
    said = set()
    for seed in range(12):
        session = trained(nc.Conv2d(4, 3), nc.ReLU(), nc.Flatten(), nc.Linear(3), seed=seed)
        image = np.random.default_rng(seed).random((8, 8, 1)).astype("f4")
        session.add(Input(image, "noise"), FIRST)
        one = card(session, "A4").facts["asks"][0]
        small = ask(session, "downsample", input=FIRST, size=4)
        same = list(small.facts["predicted"]) == list(ask(session, "run", input=FIRST).facts["predicted"])
        why = one["options"][one["right"]]["why"]
        assert why == ("keeps" if same else "changes")
        assert one["after"] == ("after" if same else "lost")
        said.add(why)
    assert said == {"keeps", "changes"}


def test_counts_are_those_of_the_drawing(small: Session) -> None:
    for session in (small, lesson_session()):
        place = card(session, "A11").facts["place"]
        cut = ask(
            session, "edges", input=FIRST, layer=place["layer"], filter=place["filter"], channel=0, row=0, column=0
        )
        for row, key in (("A11", "local"), ("A12", "shared")):
            one = card(session, row).facts["asks"][0]
            assert one["options"][one["right"]]["value"] == cut.facts["counts"][key]
        kept = card(session, "A10").facts["asks"][0]
        units = np.bincount(cut.arrays["edges"][:, 0].astype(int))
        assert kept["options"][kept["right"]]["value"] == units.max()


def test_both_poolings_keep_what_the_reference_keeps(small: Session) -> None:
    for session in (small, lesson_session()):
        found = card(session, "A13")
        place, then = found.facts["place"], found.facts["then"]
        for one, layer in zip(found.facts["asks"], (nc.MaxPool2d, nc.AvgPool2d), strict=True):
            node = session.model.graph.nodes[place["layer"]]
            maps = session.trace(FIRST).input(node.index)[..., place["channel"]]
            twin = nc.Model(nc.Sequential(layer(2), nc.Flatten()), (*maps.shape, 1))
            kept = forward(twin.graph, {}, maps[None, ..., None]).outputs[0][0, then["row"], then["column"], 0]
            assert one["options"][one["right"]]["value"] == np.float32(kept)


@pytest.mark.parametrize("kind", ["max", "average"])
def test_the_gradient_of_a_window_goes_where_the_card_says(kind: str) -> None:
    pooling = nc.MaxPool2d(2) if kind == "max" else nc.AvgPool2d(2)
    session = trained(nc.Conv2d(4, 3), pooling, nc.Flatten(), nc.Linear(3))
    found = card(session, "A14")
    one = found.facts["asks"][0]
    sent, window = found.arrays["0.sent"], found.arrays["0.window"]
    gradient = one["values"]["gradient"]
    assert one["key"] == kind
    assert gradient != 0
    assert sent.sum() == pytest.approx(gradient)
    if kind == "max":
        assert one["options"][one["right"]]["why"] == "right"
        assert sent.ravel()[window.argmax()] == pytest.approx(gradient)
        assert np.count_nonzero(sent) == 1
    else:
        assert one["options"][one["right"]]["why"] == "right_share"
        np.testing.assert_allclose(sent, gradient / window.size)


def test_a_feature_adds_what_the_card_says(small: Session) -> None:
    found = card(small, "A15").facts
    one = found["asks"][0]
    classes = one["names"]["class"]["classes"]
    terms = ask(
        small, "terms", input=FIRST, layer=found["place"]["layer"], output=small.model.class_names.index(classes[0])
    )
    index = one["counts"]["index"]
    assert one["options"][one["right"]]["value"] == np.float32(terms.arrays["products"][index])
    assert np.abs(terms.arrays["products"]).max() == np.abs(terms.arrays["products"][index])
    assert one["values"]["sum"] + one["values"]["bias"] == pytest.approx(one["values"]["total"])
    features = small.model.features(small.input(FIRST).image[None])
    assert one["counts"]["features"] == features[0].size


def test_a_step_against_the_gradient_lowers_the_loss() -> None:
    session = lesson_session()
    one = card(session, "A16").facts["asks"][0]
    counts, values = one["counts"], one["values"]
    target = session.model.class_names.index(one["names"]["class"]["classes"][0])

    def loss(weight: float) -> float:
        parameters = dict(exact_parameters(session.model))
        parameters["0.weight"] = parameters["0.weight"].copy()
        parameters["0.weight"][counts["row"], counts["column"], 0, counts["filter"]] = weight
        logits = forward(session.model.graph, parameters, session.input(FIRST).image[None].astype("f8")).logits[0]
        return float(np.log(np.exp(logits - logits[target]).sum()))

    weight = values["weight"]
    slope = (loss(weight + 1e-5) - loss(weight - 1e-5)) / 2e-5
    assert slope == pytest.approx(values["gradient"], rel=1e-4)
    assert loss(values["new"]) < loss(weight)
    grows = one["options"][one["right"]]["why"] == "right_grows"
    assert grows == (values["new"] > weight)


def test_nouns_stand_in_the_number_of_what_they_count() -> None:
    said = words_of("A8", {"channels": 1, "filters": 2})
    assert said["en"]["tell"].endswith("takes {channels} channel, and has {filters} filters.")
    for row in ROWS:
        assert "|" not in json.dumps(words_of(row.name, {"by": 1}))


def test_cards_show_the_digits_that_rooms_show(small: Session) -> None:
    """Arrays travel as float32: so do a card's numbers."""
    for row in ("A7", "A13", "A14", "A15"):
        for one in card(small, row).facts["asks"]:
            numbers = [*one["values"].values(), *(option["value"] for option in one["options"])]
            assert all(value is None or value == np.float32(value) for value in numbers), row
    term = card(small, "A15").facts["asks"][0]
    room = ask(small, "terms", input=FIRST, layer=6, output=int(np.argmax(small.trace(FIRST).logits)))
    assert term["values"]["product"] == np.float32(room.arrays["products"][term["counts"]["index"]])


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_negative_gradient_stands_in_brackets_and_a_positive_one_does_not(language: str) -> None:
    after = all_words(language)["A16"]["asks"]["step"]["after"]
    assert "({gradient})" in after["negative"]
    assert "({gradient})" not in after["after"]
    step = card(lesson_session(), "A16").facts["asks"][0]
    assert step["after"] == ("negative" if step["values"]["gradient"] < 0 else "after")
