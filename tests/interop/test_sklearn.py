"""scikit-learn's own checks, and what its users do: pipelines, searches, cross-validation, pickles."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

import neocog as nc

os.environ.setdefault("SCIPY_ARRAY_API", "1")  # asked for by one of the checks, before SciPy is loaded
pytest.importorskip("sklearn", reason="scikit-learn is not installed")

import joblib
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from neocog.interop.sklearn import NeocogClassifier, NeocogTransformer

DIGIT = (8, 8, 1)


@parametrize_with_checks([NeocogClassifier(), NeocogTransformer()])
def test_scikit_learns_checks_pass(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    """Return rows of 64 numbers from 0 to 16, as scikit-learn has them, with names as labels: of training, and test."""
    data = load_digits()
    names = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
    return train_test_split(data.data, names[data.target], random_state=0)


def convolution(classes: int) -> nc.Sequential:
    return nc.Sequential(nc.Conv2d(16, 3), nc.ReLU(), nc.MaxPool2d(2), nc.Flatten(), nc.Linear(classes))


@pytest.fixture(scope="module")
def fitted(digits):
    train, _, labels, _ = digits
    return NeocogClassifier(convolution, image_shape=DIGIT, epochs=15, learning_rate=0.01).fit(train, labels)


def test_rows_become_images_and_labels_stay_texts(fitted, digits):
    _, test, _, labels = digits
    assert fitted.score(test, labels) > 0.95
    assert fitted.predict(test).dtype == labels.dtype
    assert fitted.model_.input_shape == DIGIT
    assert fitted.model_.class_names == tuple(fitted.classes_)
    np.testing.assert_allclose(fitted.predict_proba(test).sum(axis=1), 1.0, rtol=1e-12)


def test_every_form_of_the_same_images_gives_the_same_bits(fitted, digits):
    test = digits[1]
    wanted = fitted.predict_proba(test)
    for form in (test.reshape(-1, 8, 8), test.reshape(-1, *DIGIT), test.astype(np.uint8).astype(np.int64)):
        # columns are counted along the second axis, so images need an estimator that was fitted to images
        same = clone(fitted).set_params(image_shape=None if form.ndim > 2 else DIGIT)
        same = same.fit(form, fitted.predict(test))
        again = clone(fitted).fit(test, fitted.predict(test))
        np.testing.assert_array_equal(same.predict_proba(form), again.predict_proba(test))
    assert wanted.shape == (len(test), 10)


def test_bytes_are_taken_as_they_are():
    images = np.random.default_rng(0).integers(0, 256, (40, 6, 6, 3)).astype(np.uint8)
    labels = np.arange(40) % 2
    both = [
        NeocogClassifier(epochs=1).fit(X, labels).predict_proba(X) for X in (images, images.astype(np.float32) / 255)
    ]
    np.testing.assert_allclose(*both, atol=1e-5)


def test_a_pipeline_a_search_and_cross_validation(digits):
    train, test, labels, wanted = digits
    pipeline = make_pipeline(StandardScaler(), NeocogClassifier(epochs=10))
    search = GridSearchCV(pipeline, {"neocogclassifier__learning_rate": [1e-6, 0.01]}, cv=2)
    search.fit(train[:400], labels[:400])
    assert search.best_params_ == {"neocogclassifier__learning_rate": 0.01}
    assert search.score(test, wanted) > 0.85
    small = NeocogClassifier(convolution, image_shape=DIGIT, epochs=8, learning_rate=0.01)
    scores = [cross_val_score(small, train[:400], labels[:400], cv=3, n_jobs=jobs) for jobs in (None, 2)]
    np.testing.assert_array_equal(*scores)
    assert min(scores[0]) > 0.8


def test_features_are_for_other_estimators(fitted, digits, tmp_path):
    train, test, labels, wanted = digits
    untrained = make_pipeline(NeocogTransformer(clone(fitted).set_params(epochs=3)), LogisticRegression(max_iter=300))
    assert untrained.fit(train, labels).score(test, wanted) > 0.9
    file = tmp_path / "model.safetensors"
    fitted.model_.save(file)
    scaled = train / 16.0
    features = [NeocogTransformer(model).fit(scaled).transform(scaled) for model in (fitted.model_, file, str(file))]
    frozen = NeocogTransformer(FrozenEstimator(fitted)).fit(train, labels).transform(train)
    copied = clone(NeocogTransformer(fitted.model_)).fit(scaled).transform(scaled)  # as cross-validation does
    for found in (*features, frozen, copied):
        np.testing.assert_array_equal(found, fitted.features(train))
    assert features[0].shape == (len(train), 144)
    names = NeocogTransformer(fitted.model_).fit(scaled).get_feature_names_out()
    assert list(names[:2]) == ["neocogtransformer0", "neocogtransformer1"]


def test_a_pickle_holds_the_model_file(fitted, digits, tmp_path):
    test = digits[1]
    content = pickle.dumps(fitted)
    fitted.model_.save(tmp_path / "model.safetensors")
    file = (tmp_path / "model.safetensors").read_bytes()
    assert file in content
    assert "neocog.model.network" not in str(content)  # no class of the model is named
    joblib.dump(fitted, tmp_path / "classifier.joblib")
    for again in (pickle.loads(content), joblib.load(tmp_path / "classifier.joblib"), clone(fitted)):
        if hasattr(again, "model_"):
            np.testing.assert_array_equal(again.predict_proba(test), fitted.predict_proba(test))
    frozen = pickle.loads(pickle.dumps(NeocogTransformer(fitted.model_).fit(test / 16)))
    np.testing.assert_array_equal(frozen.transform(test / 16), fitted.features(test))


def test_what_it_computes_with_is_its_models_and_stays_so_in_a_pickle(digits):
    train, _, labels, _ = digits
    classifier = NeocogClassifier(convolution, image_shape=DIGIT, epochs=1, precision="auto")
    classifier.fit(train[:64], labels[:64])
    assert classifier.model_.precision == pickle.loads(pickle.dumps(classifier)).model_.precision == "auto"


def test_a_damaged_pickle_is_refused(fitted):
    content = bytearray(pickle.dumps(fitted))
    weights = np.asarray(fitted.model_.state_dict()["4.weight"], "<f4").tobytes()
    content[bytes(content).index(weights) + 3] ^= 1
    with pytest.raises(nc.FormatError, match="the model_ of a NeocogClassifier is damaged"):
        pickle.load(io.BytesIO(bytes(content)))


def test_the_random_state_decides_the_bits(digits):
    train, _, labels, _ = digits

    def make(state, threads=None):
        classifier = NeocogClassifier(epochs=2, random_state=state, threads=threads)
        return classifier.fit(train[:200], labels[:200]).predict_proba(train[:50])

    np.testing.assert_array_equal(make(5), make(5, threads=1))
    np.testing.assert_array_equal(make(np.random.RandomState(1)), make(np.random.RandomState(1)))
    assert (make(5) != make(6)).any()
    assert (make(None) != make(None)).any()


def test_classes_can_be_weighed():
    random = np.random.default_rng(0)
    X = random.normal(0.0, 1.0, (300, 2))
    y = np.where(random.random(300) < 0.1, "rare", "usual")  # nothing in X says which
    shares = [
        (NeocogClassifier(epochs=20, class_weight=weight).fit(X, y).predict(X) == "rare").mean()
        for weight in (None, "balanced", {"rare": 1000.0, "usual": 1.0})
    ]
    assert shares[0] < 0.1 < shares[1] < shares[2]
    assert shares[2] > 0.95


def test_patience_stops_and_the_history_is_kept(digits):
    train, _, labels, _ = digits
    found = NeocogClassifier(epochs=60, patience=2, validation_fraction=0.2, settings={"ema": 0.9, "clip_norm": 1.0})
    found.fit(train[:300], labels[:300])
    assert found.history_.stopped == "patience"
    assert found.n_iter_ == len(found.history_) < 60
    assert found.history_.epochs[0].val_accuracy is not None


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"image_shape": (8, 9, 1)}, r"X must hold images of the shape \(8, 9, 1\), or rows of 72 numbers"),
        ({"optimizer": "sdg"}, "optimizer must be an Optimizer or one of"),
        ({"net": "resnet21"}, "unknown model 'resnet21'"),
        ({"net": 3}, "net must be layers, a function of the number of classes, or a name"),
        ({"net": nc.Sequential(nc.Flatten(), nc.Linear(3))}, "class_names must be as many as the network's outputs"),
        (
            {"settings": {"loss": nc.MeanSquaredError()}, "class_weight": "balanced"},
            "class_weight needs the loss Cross",
        ),
        ({"epochs": 0}, "epochs"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_what_does_not_fit_is_told(digits, settings, words):
    with pytest.raises(ValueError, match=words):
        NeocogClassifier(**settings).fit(digits[0][:20], digits[2][:20])


def test_images_of_another_shape_are_refused():
    classifier = NeocogClassifier(epochs=1).fit(np.zeros((8, 6, 6), np.uint8), np.arange(8) % 2)
    with pytest.raises(nc.ShapeError, match="X must hold images of the shape"):
        classifier.predict(np.zeros((8, 6, 5), np.uint8))


def test_importing_neocog_loads_no_scikit_learn():
    script = (
        "import sys, neocog as nc; dir(nc); assert not {'sklearn', 'neocog.interop'} & set(sys.modules); print('ok')"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "ok\n"
    assert nc.NeocogClassifier is NeocogClassifier
    assert "NeocogTransformer" in dir(nc)
