"""Learning that is seen: what a run kept, what the worked example learns, and sentences that the data bear out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neocog as nc
from neocog.app.cli.explain import open_session
from neocog.app.page.answers import answer
from neocog.app.page.examples import lesson_session
from neocog.app.page.practice import EPOCHS, RATES, SEEDS, Practice, practise
from neocog.app.page.question import Question
from neocog.errors import SettingError
from neocog.explain.change import LITTLE, SAME, SMALL, change_of
from neocog.explain.lesson import lesson_examples, lesson_image, lesson_model


def test_learning_is_read_from_a_run_folder(trained_once: Any) -> None:
    session = open_session(trained_once[0], None, None, "reference", None, quiet=True)
    found = answer(session, Question.read("learning")).facts
    assert [epoch["epoch"] for epoch in found["epochs"]] == list(range(1, 13))
    assert found["kept"] == [0, 1, 2, 3, 4, 6, 8, 12, None]
    nodes = session.model.graph.nodes
    assert [one["layer"] for one in found["layers"]] == [n.index for n in nodes if isinstance(n.layer, nc.Conv2d)]
    for one in found["layers"]:
        learnt = answer(session, Question.read(f"learnt?layer={one['layer']}"))
        filters, maps = learnt.arrays["filters"], learnt.arrays["maps"]
        assert filters.shape == (len(found["kept"]), *one["shape"])
        now = session.model.parameters[f"{one['name']}.weight"]
        np.testing.assert_array_equal(filters[-1], now[..., : one["shape"][3]])
        np.testing.assert_allclose(
            learnt.arrays["changes"], one["magnified"] * (filters.astype(float) - filters[0]), atol=1e-6
        )
        # the last maps are those of the model itself, the others lay in the file
        image = learnt.arrays["image"]
        want = session.model.outputs(image[None], [one["layer"]])[one["layer"]][0][..., : one["maps"]]
        np.testing.assert_array_equal(maps[-1], want)
        assert not np.array_equal(maps[0], maps[-1])


def test_numbers_and_words_about_change_follow_from_the_weights(trained_once: Any) -> None:
    session = open_session(trained_once[0], None, None, "reference", None, quiet=True)
    for one in answer(session, Question.read("learning")).facts["layers"]:
        filters = answer(session, Question.read(f"learnt?layer={one['layer']}")).arrays["filters"].astype(float)
        begun, ended = filters[0].ravel(), filters[-1].ravel()
        size = np.sqrt(((ended - begun) ** 2).sum() / (begun**2).sum())
        correlation = np.corrcoef(begun, ended)[0, 1]
        assert one["change"][-1] == pytest.approx(size)
        assert one["correlation"][-1] == pytest.approx(correlation)
        same, little = correlation >= SAME, correlation < LITTLE
        assert one["impression"] == ("same" if same else "little left" if little else "recognisable")
        assert one["magnified"] == (10 if size < SMALL else 1)


@pytest.mark.parametrize(
    ("moved", "impression", "magnified"),
    [(0.0, "same", 10), (0.01, "same", 10), (0.6, "recognisable", 1), (5.0, "little left", 1)],
)
def test_small_changes_are_magnified_and_large_ones_called_large(moved: float, impression: str, magnified: int) -> None:
    rng = np.random.default_rng(0)
    begun = rng.standard_normal((3, 3, 4, 8))
    found = change_of([begun, begun + moved * rng.standard_normal(begun.shape)])
    assert (found.impression, found.magnified) == (impression, magnified)
    assert found.sizes[1] == pytest.approx(moved, rel=0.2)


def test_weights_that_began_all_alike_have_no_correlation() -> None:
    found = change_of([np.zeros(4), np.arange(4.0)])
    assert np.isinf(found.sizes[1])
    assert np.isnan(found.correlations).all()
    assert found.impression == "little left"


def test_a_run_without_filters_says_why(trained_once: Any, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(trained_once[0], tmp_path / "run")
    (tmp_path / "run/filters.safetensors").write_bytes(b"broken")
    session = open_session(tmp_path / "run", None, None, "reference", None, quiet=True)
    found = answer(session, Question.read("learning")).facts
    assert len(found["epochs"]) == 12
    assert (found["layers"], found["kept"]) == ([], [])
    assert "filters.safetensors" in found["trouble"]["en"]
    with pytest.raises(SettingError, match="no filters of layer 0"):
        answer(session, Question.read("learnt?layer=0"))


# -- the worked example ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(SEEDS))
def test_the_two_filters_learn_their_task_from_noise(seed: int) -> None:
    began = time.process_time()
    found = practise(Practice(seed=seed))
    used = time.process_time() - began
    print(f"{used:.2f} s")
    losses = [epoch.loss for epoch in found.epochs]
    assert len(losses) == EPOCHS
    assert losses[-1] < 0.2 * losses[0]
    assert found.epochs[-1].accuracy == 1
    for filter in range(2):
        begun, ended = found.filters[0, ..., filter], found.filters[-1, ..., filter]
        assert np.linalg.norm(ended - begun) > 0.5 * np.linalg.norm(begun)
    assert np.abs(found.filters[0]).max() < 0.5  # it was noise
    # as the network itself answers to what it learnt from
    images, labels = lesson_examples()
    model = lesson_model()
    model.parameters = {**model.parameters, "0.weight": found.filters[-1]}
    assert (model(images).argmax(axis=1) == labels).all()
    np.testing.assert_allclose(found.maps[-1], model.outputs(lesson_image()[None], [0])[0][0], rtol=1e-6)


def test_all_that_is_offered_lowers_the_loss_and_stays_finite() -> None:
    for settings in Practice().offered():
        found = practise(settings)
        losses = [epoch.loss for epoch in found.epochs]
        assert np.isfinite(losses).all(), settings
        assert min(losses) < losses[0], settings
        assert np.isfinite(found.filters).all(), settings


def test_momentum_and_rate_matter() -> None:
    slow, fast = (practise(Practice(rate=rate, momentum=0.0)).epochs[-1].loss for rate in (RATES[0], RATES[-1]))
    assert fast < slow
    assert practise(Practice(momentum=0.9)).epochs[-1].loss < practise(Practice(momentum=0.0)).epochs[-1].loss


def test_the_lesson_is_asked_by_the_same_questions() -> None:
    session = lesson_session()
    assert answer(session, Question.read("model")).facts["has_learning"]
    facts = answer(session, Question.read("learning")).facts
    assert facts["kept"] == [*range(9), *range(12, EPOCHS + 1, 4)]
    assert facts["practice"]["rate"] in facts["practice"]["rates"]
    assert facts["practice"]["momentum"] in facts["practice"]["momenta"]
    (layer,) = facts["layers"]
    assert layer["impression"] != "same"
    given = "layer=0&momentum=0&optimizer=adam&rate=0.1&seed=2"
    learnt = answer(session, Question.read(f"learnt?{given}"))
    np.testing.assert_array_equal(learnt.arrays["filters"], practise(Practice("adam", 0.1, 0.0, 2)).filters)
    assert learnt.arrays["maps"].shape == (17, 4, 4, 2)
    for wrong, message in (
        ("optimizer=best", "must be one of sgd"),
        ("rate=-1", "learning_rate"),
        ("momentum=2", "momentum"),
    ):
        with pytest.raises(SettingError, match=message):
            answer(session, Question.read(f"learning?{wrong}"))
