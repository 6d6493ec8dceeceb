import json

import numpy as np
import pytest

from neocog.errors import DataError
from neocog.nn.blocks import Sequential
from neocog.nn.layers import Flatten, Linear
from neocog.nn.losses import BinaryCrossEntropy, CrossEntropy, MeanSquaredError
from neocog.train.evaluation import evaluate
from neocog.train.model import Model

IMAGES = np.eye(4, dtype=np.float32)[[0, 0, 1, 1, 2]].reshape(5, 2, 2, 1)
LABELS = np.array([0, 1, 1, 1, 2])


@pytest.fixture
def model():
    """Gives the pixel that is lit twice as logits of three classes; the class d is never right."""
    model = Model(Sequential(Flatten(), Linear(4)), (2, 2, 1), ["a", "b", "c", "d"], engine="reference")
    model.load_parameters({"1.weight": 2 * np.eye(4), "1.bias": np.zeros(4)})
    return model


def test_every_figure_of_a_case_worked_by_hand(model):
    found = model.evaluate(IMAGES, LABELS)
    right, wrong = -np.log(np.exp(2) / (np.exp(2) + 3)), -np.log(1 / (np.exp(2) + 3))
    assert found.accuracy == 0.8
    assert found.loss == pytest.approx((4 * right + wrong) / 5, rel=1e-12)
    assert found.images == 5
    assert found.confusion.tolist() == [[1, 0, 0, 0], [1, 2, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert (found.per_class["b"].accuracy, found.per_class["b"].images) == (2 / 3, 3)
    assert (found.per_class["d"].accuracy, found.per_class["d"].images) == (None, 0)


def test_macro_recall_and_the_table_of_the_same_case(model):
    found = model.evaluate(IMAGES, LABELS)
    a, b, c, _ = found.per_class.values()
    assert (a.recall, a.precision, a.f1) == (1.0, 0.5, 2 / 3)
    assert (b.recall, b.precision, b.f1) == (2 / 3, 1.0, 0.8)
    assert (c.recall, c.precision, c.f1) == (1.0, 1.0, 1.0)
    assert found.macro_recall == pytest.approx((1 + 2 / 3 + 1) / 3)
    assert found.most_frequent == "b"
    assert found.weakest() == ["b"]
    low, high = found.accuracy_interval
    assert low < found.accuracy < high
    low, high = found.macro_recall_interval
    assert low < found.macro_recall < high


def test_calibration_errors_and_coverage_of_the_same_case(model):
    sure = np.exp(2) / (np.exp(2) + 3)
    found = model.evaluate(IMAGES, LABELS).certainty
    assert (found.error, found.error_before, found.temperature) == (found.error_before, pytest.approx(0.8 - sure), 1.0)
    assert [tuple(point[1:]) for point in found.curve] == [(5, 4)]
    temperature = model.calibrate(IMAGES, LABELS).temperature
    assert np.exp(2 / temperature) / (np.exp(2 / temperature) + 3) == pytest.approx(0.8)
    found = model.evaluate(IMAGES, LABELS).certainty
    assert (found.error, found.error_before) == (pytest.approx(0, abs=1e-6), pytest.approx(0.8 - sure))
    assert found.kept is None


def test_answers_below_the_threshold_are_unknown_and_counted_apart(model):
    dim = IMAGES.copy()
    dim[2] /= 2
    model.calibrate(dim, LABELS, reject="coverage=0.8")
    assert model.predict(dim).tolist() == [0, 0, -1, 1, 2]
    told = model.evaluate(dim, LABELS).to_json()
    assert told["accuracy"] == 0.8
    assert (told["reject"]["answered"], told["reject"]["right"], told["reject"]["coverage"]) == (4, 3, 0.8)
    assert told["reject"]["threshold"] == model.reject_below
    model.fit(dim, LABELS, epochs=1, verbose=0)
    assert (model.calibration, model.reject_below) == (None, None)


def test_the_result_is_json(model):
    text = json.dumps(model.evaluate(IMAGES, LABELS).to_json())
    assert json.loads(text)["confusion"][1] == [1, 2, 0, 0]
    assert json.loads(text)["per_class"]["d"] == {
        "accuracy": None,
        "images": 0,
        "answers": 0,
        "right": 0,
        "recall": None,
        "recall_interval": None,
        "precision": None,
        "f1": None,
    }


def test_batches_of_any_size_give_the_same(model):
    pieces = [(IMAGES[:2], LABELS[:2]), (IMAGES[2:2], LABELS[2:2]), (IMAGES[2:], LABELS[2:])]
    assert evaluate(model, pieces).to_json() == model.evaluate(IMAGES, LABELS).to_json()


def test_label_smoothing_is_left_out_of_the_measure(model):
    assert model.evaluate(IMAGES, LABELS, CrossEntropy(0.1)).loss == model.evaluate(IMAGES, LABELS).loss


def test_squared_errors_are_measured_where_they_are_trained(model):
    want = np.square(model(IMAGES) - np.eye(4)[LABELS]).mean()
    assert model.evaluate(IMAGES, LABELS, MeanSquaredError()).loss == pytest.approx(want)
    vectors = np.eye(4, dtype=np.float32)[LABELS]
    assert model.evaluate(IMAGES, vectors, MeanSquaredError()).accuracy == 0.8


def test_the_loss_is_the_one_that_the_model_was_trained_with(model):
    for loss in (MeanSquaredError(), CrossEntropy(weights=(1, 2, 3, 4))):
        model.fit(IMAGES, LABELS, epochs=1, loss=loss, verbose=0)
        assert model.loss == loss
        assert model.evaluate(IMAGES, LABELS).loss == model.evaluate(IMAGES, LABELS, loss).loss
        assert model.evaluate(IMAGES, LABELS).loss != model.evaluate(IMAGES, LABELS, CrossEntropy()).loss
    assert model.fit(IMAGES, LABELS, epochs=1, verbose=0)
    assert model.loss == loss  # and the next training goes on with it


def test_class_weights_weigh_the_mean(model):
    right, wrong = -np.log(np.exp(2) / (np.exp(2) + 3)), -np.log(1 / (np.exp(2) + 3))
    found = model.evaluate(IMAGES, LABELS, CrossEntropy(weights=(1, 5, 2, 0)))
    assert found.loss == pytest.approx((right + 5 * wrong + 10 * right + 2 * right) / 18, rel=1e-12)


def test_rows_of_probabilities_count_as_their_most_probable_class(model):
    rows = np.eye(4)[LABELS] * 0.6 + 0.1
    assert model.evaluate(IMAGES, rows).accuracy == 0.8


def test_several_labels_are_measured_label_by_label(model):
    model.load_parameters({"1.weight": 2 * np.eye(4), "1.bias": -np.ones(4)})  # gives the lit pixel, if any
    truth = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]])
    found = model.evaluate(IMAGES, truth, BinaryCrossEntropy())
    assert (found.accuracy, found.images) == (3 / 5, 5)
    assert found.label_accuracy == 18 / 20
    a, b, c, d = found.per_class.values()
    assert (a.precision, a.recall, a.f1, a.average_precision, a.images) == (1.0, 1.0, 1.0, 1.0, 2)
    assert (b.precision, b.recall, b.f1, b.images) == (0.5, 0.5, 0.5, 2)
    assert b.average_precision == pytest.approx(0.5 * 1 / 2 + 0.5 * 2 / 5)
    assert (c.precision, c.recall, c.images) == (1.0, 1.0, 1)
    assert (d.precision, d.recall, d.f1, d.average_precision, d.images) == (None, None, None, None, 0)
    assert found.macro_f1 == pytest.approx((1 + 0.5 + 1) / 3)
    assert found.micro_f1 == pytest.approx(2 * 4 / (5 + 5))
    assert found.mean_average_precision == pytest.approx((1 + 0.45 + 1) / 3)
    assert json.loads(json.dumps(found.to_json()))["per_class"]["a"]["images"] == 2
    pieces = [(IMAGES[:2], truth[:2]), (IMAGES[2:], truth[2:])]
    assert evaluate(model, pieces, BinaryCrossEntropy()) == found


def test_wrong_labels_and_empty_sets_are_refused(model):
    with pytest.raises(DataError, match="between 0 and 3"):
        model.evaluate(IMAGES, LABELS + 2)
    with pytest.raises(DataError, match="at least one image"):
        model.evaluate(IMAGES[:0], LABELS[:0])


def test_very_many_classes_need_no_matrix():
    classes = 50_000  # whose matrix would take 20 GB
    model = Model(Sequential(Flatten(), Linear(classes)), (1, 1, 1), engine="reference")
    bias = np.zeros(classes, np.float32)
    bias[40_000] = 1.0
    model.load_parameters({"1.weight": np.zeros((1, classes)), "1.bias": bias})
    found = model.evaluate(np.zeros((4, 1, 1, 1), np.uint8), np.array([40_000, 7, 7, 49_999]))
    assert found.accuracy == 0.25
    assert found.pairs.tolist() == [[7, 40_000, 2], [40_000, 40_000, 1], [49_999, 40_000, 1]]
    told = found.to_json()
    assert told["confusion"] is None
    assert told["confusion_pairs"] == found.pairs.tolist()
    assert (told["per_class"]["7"]["accuracy"], told["per_class"]["7"]["images"]) == (0.0, 2)
