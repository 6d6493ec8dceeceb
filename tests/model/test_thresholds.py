"""Thresholds of labels: what they are fitted to, how they are kept, and that answers go by them."""

import json
from itertools import pairwise

import numpy as np
import pytest

from neocog.errors import FormatError, SettingError, ShapeError
from neocog.model import modelfile
from neocog.model.files import tensor_bytes
from neocog.model.thresholds import HALF, LEAST_IMAGES, check_thresholds, fit_thresholds, given_labels, sigmoid
from neocog.nn.blocks import Sequential
from neocog.nn.layers import Conv2d, Flatten, Linear
from neocog.nn.losses import BinaryCrossEntropy, CrossEntropy
from neocog.train.model import Model, load


def f1_of(given, truth) -> float:
    both = np.count_nonzero(given & truth)
    return 2 * both / (np.count_nonzero(given) + np.count_nonzero(truth))


def test_no_threshold_gives_a_larger_f1_nor_the_same_nearer_to_a_half():
    stream = np.random.default_rng(0)
    for trial in range(200):
        steps = [4, 10, 1000][trial % 3]  # many scores are equal, or few
        scores = (stream.integers(0, steps, (40, 1)) / steps).astype(np.float32)
        truth = stream.random((40, 1)) < 0.2 + 0.3 * scores
        (found,) = fit_thresholds(scores, truth)
        if np.count_nonzero(truth) < LEAST_IMAGES:
            assert found == HALF
            continue
        cuts = sorted({0.0, *map(float, scores[:, 0])})  # between two of them all thresholds are alike
        ways = [HALF if low <= HALF < high else (low + high) / 2 for low, high in pairwise(cuts)]
        best = max(f1_of(scores > way, truth) for way in ways)
        nearest = min(abs(way - HALF) for way in ways if f1_of(scores > way, truth) == best)
        assert f1_of(given_labels(scores, [found]), truth) == best
        assert abs(found - HALF) == nearest


@pytest.mark.parametrize(
    ("scores", "having", "want"),
    [
        ([0.1] * 5 + [0.9] * 5, [0] * 5 + [1] * 5, 0.5),  # a half is as good as any
        ([0.1] * 5 + [0.3] * 5, [0] * 5 + [1] * 5, 0.2),  # midway
        ([0.7] * 5 + [0.9] * 5, [0] * 5 + [1] * 5, 0.8),
        ([0.1] * 5 + [0.3] * 4, [0] * 5 + [1] * 4, 0.5),  # four images say too little
        ([0.2] * 5, [1] * 5, 0.1),  # all have it
        ([0.0] * 5, [1] * 5, 0.5),  # no threshold gives a probability of nothing
        ([0.4] * 20 + [0.8] * 5, [1] * 5 + [0] * 15 + [1] * 5, 0.5),
    ],
)
def test_ties_go_to_the_threshold_nearest_to_a_half(scores, having, want):
    (found,) = fit_thresholds(np.array(scores, np.float32)[:, None], np.array(having, bool)[:, None])
    assert found == pytest.approx(want, abs=1e-7)


def test_of_two_thresholds_equally_near_the_higher_is_taken():
    scores = np.array([0.875] * 5 + [0.625] * 5 + [0.375] * 10 + [0.125] * 10, np.float32)
    truth = np.array([1] * 5 + [0] * 5 + [1] * 5 + [0] * 5 + [0] * 10, bool)
    assert f1_of(scores > 0.75, truth) == f1_of(scores > 0.25, truth) > f1_of(scores > 0.5, truth)
    assert fit_thresholds(scores[:, None], truth[:, None]) == (0.75,)


def test_neighbouring_floats_are_told_apart():
    upper = np.float32(0.3)
    lower = np.nextafter(upper, np.float32(0))
    scores = np.array([lower] * 5 + [upper] * 5, np.float32)[:, None]
    truth = np.array([0] * 5 + [1] * 5, bool)[:, None]
    assert (given_labels(scores, fit_thresholds(scores, truth)) == truth).all()


def test_sigmoid_needs_no_warning_however_large():
    with np.errstate(all="raise", under="ignore"):
        found = sigmoid(np.array([-1e30, -2, 0, 2, 1e30], np.float32))
    assert found.dtype == np.float32
    assert found.tolist() == pytest.approx([0, 1 / (1 + np.e**2), 0.5, 1 / (1 + np.e**-2), 1])


# -- a model's --------------------------------------------------------------------------------------------------------


@pytest.fixture
def model():
    """Two labels; each pixel is the logit of one, less 1/2."""
    model = Model(
        Sequential(Flatten(), Linear(2)), (1, 2, 1), ["left", "right"], loss=BinaryCrossEntropy(), engine="reference"
    )
    model.load_parameters({"1.weight": np.eye(2), "1.bias": np.full(2, -0.5)})
    return model


IMAGES = np.linspace(0, 1, 20, dtype=np.float32).reshape(10, 1, 2, 1)
LABELS = np.stack([np.arange(10) > 3, np.arange(10) > 7], axis=1).astype(int)


def test_answers_and_measures_go_by_the_thresholds(model):
    assert model.thresholds is None
    before = model.evaluate(IMAGES, LABELS)
    model.fit_thresholds(IMAGES, LABELS)
    assert model.thresholds[0] < HALF == model.thresholds[1]  # only two images have the second label
    after = model.evaluate(IMAGES, LABELS)
    assert after.per_class["left"].f1 == 1.0 > before.per_class["left"].f1
    assert after.per_class["left"].threshold == model.thresholds[0]
    assert after.mean_average_precision == before.mean_average_precision
    assert (model.predict(IMAGES)[:, 0] == LABELS[:, 0]).all()
    assert (model.predict(IMAGES) == given_labels(model.predict_proba(IMAGES), model.thresholds)).all()
    assert (model.folded().predict(IMAGES) == model.predict(IMAGES)).all()


def test_thresholds_are_saved_with_the_model(model, tmp_path):
    model.save(tmp_path / "old")
    assert load(tmp_path / "old").thresholds is None  # a file without them, as older ones are
    model.thresholds = [0.1, 2 / 3]
    model.save(tmp_path / "m")
    assert load(tmp_path / "m").thresholds == (0.1, 2 / 3)
    assert load(tmp_path / "m").loss == BinaryCrossEntropy()


def test_training_on_and_other_weights_drop_them(model):
    model.thresholds = 0.25
    assert model.thresholds == (0.25, 0.25)
    model.restore(model.parameters)
    assert model.thresholds == (0.25, 0.25)
    model.fit(IMAGES, LABELS, epochs=1, verbose=0)
    assert model.thresholds is None
    model.thresholds = 0.25
    model.load_parameters(model.parameters)
    assert model.thresholds is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.5], "as many as the labels, 2, got 1"),
        ([0.5, 1.5], "numbers from 0 to 1"),
        ([0.5, float("nan")], "numbers from 0 to 1"),
        (-1, "numbers from 0 to 1"),
        ("ab", "numbers from 0 to 1"),
        ([[0.5, 0.5]], "numbers from 0 to 1"),
    ],
)
def test_what_is_no_threshold_is_refused(model, values, message):
    with pytest.raises((SettingError, ShapeError), match=message):
        model.thresholds = values


def test_arrays_of_numpy_are_thresholds():
    assert check_thresholds(np.array([0.25, 0.5], np.float32), 2) == (0.25, 0.5)


def test_models_of_one_class_have_none(model):
    single = Model(model.net, (1, 2, 1), engine="reference")
    with pytest.raises(SettingError, match="this one gives one class"):
        single.thresholds = 0.5
    with pytest.raises(SettingError, match="this one gives one class"):
        single.fit_thresholds(IMAGES, LABELS)
    pixels = Model(Sequential(Conv2d(1, 1)), (1, 2, 1), loss=BinaryCrossEntropy(), engine="reference")
    with pytest.raises(SettingError, match="answers pixel by pixel"):
        pixels.fit_thresholds(IMAGES, IMAGES)


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        (0.5, "thresholds must be a list of numbers, got 0.5"),
        ([0.5], "as many as the labels, 2, got 1"),
        ([0.5, "a"], r"thresholds\[1\] must be a finite number"),
        ([0.5, -0.5], r"thresholds\[1\] must be 0 or more"),
        ([0.5, 1.5], "numbers from 0 to 1"),
    ],
)
def test_a_damaged_file_is_refused(model, tmp_path, thresholds, message):
    document = json.loads(json.dumps(modelfile.document_of(model)))
    (tmp_path / "m").write_bytes(tensor_bytes({**document, "thresholds": thresholds}, model.state_dict()))
    with pytest.raises(FormatError, match=message):
        load(tmp_path / "m")


def test_a_model_that_was_made_to_give_one_class_is_saved_without_them(model, tmp_path):
    model.thresholds = 0.25
    model.loss = CrossEntropy()
    model.save(tmp_path / "m")
    assert load(tmp_path / "m").thresholds is None
