"""The losses against the naive formulas, and their gradients."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finite_differences import agree, gradient
from neocog.errors import SettingError
from neocog.nn.losses import BinaryCrossEntropy, CrossEntropy, Loss, MeanSquaredError
from neocog.reference import loss

shapes = st.tuples(st.integers(1, 5), st.integers(1, 6))
seeds = st.integers(0, 2**32 - 1)


@given(shapes, seeds, st.sampled_from((0.0, 0.1, 0.9)))
def test_cross_entropy_is_the_naive_formula(shape, seed, smoothing):
    rng = np.random.default_rng(seed)
    logits, labels = 3 * rng.standard_normal(shape), rng.integers(0, shape[1], shape[0])
    total = 0.0
    for z, label in zip(logits, labels, strict=True):
        p = [math.exp(value) / sum(map(math.exp, z)) for value in z]
        spread = -sum(map(math.log, p)) / len(p)
        total += (1 - smoothing) * -math.log(p[label]) + smoothing * spread
    assert loss.forward(CrossEntropy(smoothing), logits, labels) == pytest.approx(
        total / shape[0], rel=1e-12, abs=1e-14
    )


@given(shapes, seeds)
def test_mean_squared_error_is_the_naive_formula(shape, seed):
    rng = np.random.default_rng(seed)
    logits, targets = rng.standard_normal(shape), rng.standard_normal(shape)
    squares = [(z - t) ** 2 for z, t in zip(logits.flat, targets.flat, strict=True)]
    assert loss.forward(MeanSquaredError(), logits, targets) == pytest.approx(sum(squares) / len(squares))


@given(shapes, seeds, st.sampled_from((1.0, 2.5)))
def test_binary_cross_entropy_is_the_naive_formula(shape, seed, weight):
    rng = np.random.default_rng(seed)
    logits, targets = 3 * rng.standard_normal(shape), rng.integers(0, 2, shape)
    terms = []
    for z, y in zip(logits.flat, targets.flat, strict=True):
        p = 1 / (1 + math.exp(-z))
        terms.append(-weight * y * math.log(p) - (1 - y) * math.log(1 - p))
    found = loss.forward(BinaryCrossEntropy(weight), logits, targets)
    assert found == pytest.approx(sum(terms) / len(terms), rel=1e-10)


@given(shapes, seeds, st.sampled_from((0.0, 0.2)), st.booleans())
def test_weighted_cross_entropy_is_the_naive_formula(shape, seed, smoothing, soft):
    rng = np.random.default_rng(seed)
    classes, weights = shape[1], rng.random(shape[1]) + 0.1
    logits, labels = 3 * rng.standard_normal(shape), rng.integers(0, classes, shape[0])
    rows = rng.dirichlet(np.ones(classes), shape[0]) if soft else np.eye(classes)[labels]
    total = 0.0
    for z, row in zip(logits, rows, strict=True):
        p = [math.exp(value) / sum(map(math.exp, z)) for value in z]
        each = [(1 - smoothing) * share + smoothing / classes for share in row]
        total -= sum(w * share * math.log(q) for w, share, q in zip(weights, each, p, strict=True))
    divisor = shape[0] if soft else sum(weights[label] for label in labels)
    found = loss.forward(CrossEntropy(smoothing, tuple(weights)), logits, rows if soft else labels)
    assert found == pytest.approx(total / divisor, rel=1e-10, abs=1e-14)


KINDS = (
    CrossEntropy(),
    CrossEntropy(0.2),
    CrossEntropy(0.2, (1, 0.5, 3, 2, 0.25, 1)),
    BinaryCrossEntropy(),
    BinaryCrossEntropy(3.0),
    MeanSquaredError(),
)


@given(shapes, seeds, st.sampled_from(KINDS), st.booleans())
def test_gradients_agree_with_finite_differences(shape, seed, which, soft):
    rng = np.random.default_rng(seed)
    if isinstance(which, CrossEntropy) and which.weights:
        which = CrossEntropy(which.label_smoothing, which.weights[: shape[1]])
    logits, targets = rng.standard_normal(shape), rng.random(shape)
    if isinstance(which, CrossEntropy):
        targets = targets / targets.sum(axis=1, keepdims=True) if soft else rng.integers(0, shape[1], shape[0])
    assert agree(loss.backward(which, logits, targets), gradient(lambda z: loss.forward(which, z, targets), logits))


@given(shapes, seeds)
def test_softmax_sums_to_one_and_its_gradient_to_zero(shape, seed):
    logits = 100 * np.random.default_rng(seed).standard_normal(shape)
    assert np.allclose(loss.softmax(logits).sum(axis=1), 1)
    assert np.allclose(loss.backward(CrossEntropy(0.1), logits, np.zeros(shape[0], int)).sum(axis=1), 0)


@pytest.mark.parametrize("which", [CrossEntropy(0.2), MeanSquaredError()], ids=str)
def test_answers_pixel_by_pixel_count_like_as_many_images(which):
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((2, 3, 4, 5)), rng.integers(0, 5, (2, 3, 4))
    targets = labels if isinstance(which, CrossEntropy) else rng.standard_normal((2, 3, 4, 5))
    flat = logits.reshape(-1, 5), targets.reshape(24, *targets.shape[3:])
    assert loss.forward(which, logits, targets) == pytest.approx(loss.forward(which, *flat), rel=1e-14)
    assert np.allclose(loss.backward(which, logits, targets).reshape(-1, 5), loss.backward(which, *flat), 1e-14, 0)


def test_large_logits_do_not_overflow():
    logits = np.array([[1e4, 0.0, -1e4]])
    assert loss.softmax(logits).tolist() == [[1.0, 0.0, 0.0]]
    assert loss.forward(CrossEntropy(), logits, np.array([2])) == 2e4


def test_one_class_has_no_loss():
    assert loss.forward(CrossEntropy(), np.array([[3.0]]), np.array([0])) == 0.0
    assert loss.backward(CrossEntropy(0.5), np.array([[3.0]]), np.array([0])).item() == 0.0


def test_an_unknown_loss_is_refused():
    for function in (loss.forward, loss.backward):
        with pytest.raises(SettingError, match=r"unknown loss Loss\(\)"):
            function(Loss(), np.zeros((1, 2)), np.zeros(1, int))
