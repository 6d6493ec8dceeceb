"""Which images are worst, which are the closest calls, and what stands behind each cell of the matrix."""

from __future__ import annotations

import dataclasses

import numpy as np

from neocog.app.report.answers import Answers, answers_of
from neocog.app.report.confusion import cell_images, orders, pairs
from neocog.data.arrays import ArrayDataset
from neocog.model.calibration import Calibration, CurvePoint
from neocog.model.network import Network
from neocog.nn.answer import UNKNOWN
from neocog.train.evaluation import Evaluation, evaluate
from small_models import brightnesses, make_small

PROBABILITIES = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.05, 0.95], [0.55, 0.45]], np.float32)
TRUTH = np.array([0, 0, 1, 0, 0])


def made(several: bool = False) -> Answers:
    truth = TRUTH[:, None] == np.arange(2)
    given = PROBABILITIES.argmax(axis=1)[:, None] == np.arange(2)
    return Answers(np.arange(10, 15), PROBABILITIES, truth, given, several)


def test_the_mistake_whose_truth_seemed_least_likely_comes_first() -> None:
    assert made().worst().tolist() == [3, 1]


def test_the_right_answer_of_the_smallest_probability_comes_first() -> None:
    assert made().least_certain().tolist() == [4, 2, 0]
    assert made().focus.tolist() == [0, 1, 1, 1, 0]


def test_one_image_of_each_cell_comes_before_a_second_one_and_mistakes_first() -> None:
    found = list(cell_images(made(), most=2))
    assert found == [("0,1", 3), ("0,1", 1), ("0,0", 4), ("1,1", 2), ("0,0", 0)]
    assert list(cell_images(made(), most=1)) == [("0,1", 3), ("0,0", 4), ("1,1", 2)]


def test_of_several_labels_the_one_furthest_from_the_truth_is_looked_at() -> None:
    answers = made(several=True)
    assert answers.focus.tolist() == [0, 0, 0, 0, 0]
    np.testing.assert_allclose(answers.certainty, [0.9, 0.6, 0.8, 0.95, 0.55])


def test_an_answer_of_too_small_a_probability_is_withheld_and_no_other() -> None:
    answers = dataclasses.replace(made(), reject_below=0.8)
    # The probability at which the threshold lies is enough, as in `Network.predict`: in float32.
    np.testing.assert_array_equal(answers.withheld, [False, True, PROBABILITIES[2, 1] < 0.8, False, True])
    assert not made().withheld.any()
    assert not dataclasses.replace(made(several=True), reject_below=0.8).withheld.any()


def test_what_is_withheld_is_what_predict_and_an_evaluation_withhold() -> None:
    model = make_small(Network)
    images, labels = brightnesses()
    model.calibration = Calibration(1.5, 1, (CurvePoint(0.5, 1, 1),))
    model.reject_below = float(np.median(model.predict_proba(images).max(axis=1)))
    answers = answers_of(model, ArrayDataset(images, labels, ["dark", "bright"]), [0, 1])
    np.testing.assert_array_equal(answers.withheld, model.predict(images) == UNKNOWN)
    evaluation = evaluate(model, [(images, labels)])
    assert isinstance(evaluation, Evaluation)
    assert evaluation.certainty is not None
    kept = evaluation.certainty.kept
    assert kept is not None
    assert 0 < kept.answered < len(images)
    assert kept.answered == (~answers.withheld).sum()
    assert kept.right == (answers.right & ~answers.withheld).sum()


def test_orders_hold_every_class_once() -> None:
    confusion = np.random.default_rng(2).integers(0, 9, (7, 7))
    confusion[3] = 0  # a class without images is not the weakest
    found = orders(confusion)
    assert all(sorted(order) == list(range(7)) for order in found.values())
    recalls = confusion.diagonal() / np.maximum(confusion.sum(axis=1), 1)
    known = [recalls[label] for label in found["weakest"] if label != 3]
    assert known == sorted(known)
    assert found["weakest"][-1] == 3


def test_pairs_are_those_of_the_evaluation_without_right_answers() -> None:
    assert pairs(np.array([[0, 0, 9], [0, 1, 2], [1, 0, 5]])) == [
        {"true": 1, "answer": 0, "images": 5},
        {"true": 0, "answer": 1, "images": 2},
    ]


def test_answers_are_those_that_an_evaluation_counts() -> None:
    model = make_small(Network)
    images, labels = brightnesses()
    swapped = ArrayDataset(images, labels, ["bright", "dark"])  # the model knows them in the other order
    answers = answers_of(model, swapped, [1, 0])
    evaluation = evaluate(model, [(images, 1 - labels)])
    assert isinstance(evaluation, Evaluation)
    truth, given = answers.truth.argmax(axis=1), answers.given.argmax(axis=1)
    matrix = np.zeros((2, 2), np.int64)
    np.add.at(matrix, (truth, given), 1)
    np.testing.assert_array_equal(matrix, evaluation.confusion)
    np.testing.assert_array_equal(answers.probabilities, model.predict_proba(images))
    assert answers.right.mean() == evaluation.accuracy
