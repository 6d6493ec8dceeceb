import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neocog.errors import NeocogError, SettingError
from neocog.model.calibration import (
    Calibration,
    CurvePoint,
    Reject,
    calibrated,
    curve_of,
    fit_temperature,
    is_curve,
    softmax,
)


def answers(images=400, classes=4, scale=3.0, seed=0):
    """Logits that are `scale` times those which the classes were drawn from."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(images, classes))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    drawn = (shares.cumsum(axis=1) > random.random((images, 1))).argmax(axis=1)
    return (scale * logits).astype(np.float32), drawn


def cross_entropy(logits, classes, temperature):
    values = logits.astype(np.float64) / temperature
    sums = np.log(np.exp(values - values.max(axis=1, keepdims=True)).sum(axis=1)) + values.max(axis=1)
    return float((sums - values[np.arange(len(classes)), classes]).sum())


def test_the_temperature_is_the_same_as_scikit_learns():
    calibration = pytest.importorskip("sklearn.calibration")
    base = pytest.importorskip("sklearn.base")
    frozen = pytest.importorskip("sklearn.frozen")

    class Logits(base.ClassifierMixin, base.BaseEstimator):
        """Returns its inputs as logits."""

        def fit(self, rows, labels):
            self.classes_ = np.unique(labels)
            return self

        def decision_function(self, rows):
            return rows

        def predict(self, rows):
            return self.classes_[rows.argmax(axis=1)]

    for seed, scale in enumerate((3.0, 0.5, 1.0, 8.0)):
        logits, classes = answers(scale=scale, seed=seed)
        fitted = calibration.CalibratedClassifierCV(
            frozen.FrozenEstimator(Logits().fit(logits, classes)), method="temperature", ensemble=False
        ).fit(logits.astype(np.float64), classes)
        factor = fitted.calibrated_classifiers_[0].calibrators[0].beta_
        # it searches the logarithm of the factor to 64 float64 epsilons in its cross-entropy; near a minimum the place
        # is known to the root of that
        assert fit_temperature(logits, classes) == pytest.approx(1 / factor, rel=1e-6)
        assert softmax(logits, 1 / factor) == pytest.approx(fitted.predict_proba(logits.astype(np.float64)), abs=1e-6)


@given(st.integers(0, 1000), st.sampled_from([0.3, 1.0, 5.0]), st.integers(2, 6))
def test_no_other_temperature_has_a_lower_cross_entropy(seed, scale, classes):
    logits, drawn = answers(60, classes, scale, seed)
    found = fit_temperature(logits, drawn)
    if found is not None:
        least = cross_entropy(logits, drawn, found)
        for other in (0.5, 0.9, 0.999, 1.001, 1.1, 2.0):
            assert least <= cross_entropy(logits, drawn, found * other) + 1e-9 * abs(least)


def test_images_that_are_all_right_or_answered_at_random_give_none():
    logits = np.array([[2, 0], [0, 2]], np.float32)
    assert fit_temperature(logits, np.array([0, 1])) is None
    assert fit_temperature(logits, np.array([1, 0])) is None
    assert fit_temperature(np.zeros((3, 2), np.float32), np.array([0, 1, 1])) is None
    assert calibrated(logits, np.array([0, 1])).temperature == 1.0


def test_overconfident_answers_are_calibrated():
    logits, classes = answers(4000, 5, 3.0)
    # the cross-entropy's curvature at the minimum gives a standard deviation of 0.06 here
    assert fit_temperature(logits, classes) == pytest.approx(3.0, abs=0.25)


sureness = st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=1, max_size=60)


@given(sureness, st.integers(1, 30))
def test_each_point_of_a_curve_counts_the_images_at_its_threshold_or_above(images, most):
    sure = np.array([n / 20 for n, _ in images], np.float32)
    right = np.array([hit for _, hit in images])
    points = curve_of(sure, right, most)
    assert is_curve(len(images), points)
    assert len(points) <= most
    for threshold, answered, hits in points:
        at_least = sure >= threshold
        assert (answered, hits) == (at_least.sum(), right[at_least].sum())


def test_a_threshold_gives_what_it_was_chosen_for():
    logits, classes = answers(1000)
    found = calibrated(logits, classes)
    sure, right = softmax(logits, found.temperature).max(axis=1), logits.argmax(axis=1) == classes
    for share in (0.5, 0.9, 1.0):
        answered = sure >= found.threshold(Reject("coverage", share))
        assert share <= answered.mean() <= share + 1 / 200  # the steps of a curve
    answered = sure >= found.threshold(Reject("precision", 0.8))
    assert right[answered].mean() >= 0.8
    assert right.mean() < 0.8
    more = sure >= np.sort(sure)[-(answered.sum() + 20)]
    assert right[more].mean() < 0.8


def test_shares_are_those_that_were_written():
    tenths = Calibration(1.0, 10, tuple(CurvePoint(1 - count / 20, count, count) for count in range(1, 11)))
    for count in range(1, 11):
        assert tenths.threshold(Reject.parse(f"coverage={count / 10}")) == 1 - count / 20  # 0.7 * 10 is more than 7
    some = Calibration(1.0, 30, (CurvePoint(0.5, 25, 7), CurvePoint(0.1, 30, 7)))
    assert some.threshold(Reject.parse("precision=0.28")) == 0.5  # and 0.28 * 25 too


def test_a_precision_that_is_out_of_reach_is_refused_with_the_best():
    wrong = calibrated(np.array([[3, 0], [1, 0], [2, 0]], np.float32), np.array([1, 0, 1]))
    with pytest.raises(
        NeocogError, match=r"no threshold gives a precision of 0\.9 on the 3 validation images"
    ) as raised:
        wrong.threshold(Reject.parse("precision=0.9"))
    assert raised.value.details == ("the best is 0.333, where 100.0% of them are answered",)


@pytest.mark.parametrize("text", ["", "0.9", "coverage", "coverage=0", "coverage=1.5", "recall=0.5", "precision=-1"])
def test_what_is_asked_for_is_checked(text):
    with pytest.raises(SettingError, match="reject must be coverage=SHARE or precision=SHARE"):
        Reject.parse(text)


def test_points_that_are_no_curve_are_told():
    good = (CurvePoint(0.9, 1, 1), CurvePoint(0.5, 3, 2))
    assert is_curve(3, good)
    assert not is_curve(4, good)
    assert not is_curve(3, good[::-1])
    assert not is_curve(3, ())
    assert not is_curve(3, (CurvePoint(1.5, 3, 2),))
    assert not is_curve(3, (CurvePoint(0.5, 3, 4),))
    assert not is_curve(3, (CurvePoint(0.9, 1, 1), CurvePoint(0.5, 3, 0)))
