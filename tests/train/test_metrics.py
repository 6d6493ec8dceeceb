"""What an answer is worth, held against the reference's losses and against counting by hand."""

import numpy as np
import pytest

from neocog.nn.losses import BinaryCrossEntropy, CrossEntropy, MeanSquaredError
from neocog.reference import loss as reference
from neocog.train.metrics import average_precision, count_right, losses_of, target_classes

SHAPES = [(5,), (5, 2, 3)]


@pytest.mark.parametrize("shape", SHAPES, ids=["images", "pixels"])
def test_the_loss_of_each_image_is_the_mean_over_its_answers(shape):
    stream = np.random.default_rng(0)
    logits, labels = stream.normal(size=(*shape, 4)), stream.integers(0, 4, shape)
    vectors = stream.normal(size=logits.shape)
    each, counts = losses_of(CrossEntropy(), logits, labels)
    assert each.shape == (5,)
    assert counts.tolist() == [1.0] * 5
    np.testing.assert_allclose(
        each.mean(), reference.forward(CrossEntropy(), logits.reshape(-1, 4), labels.reshape(-1)), rtol=1e-14
    )
    squared, _ = losses_of(MeanSquaredError(), logits, vectors)
    np.testing.assert_allclose(squared.mean(), reference.forward(MeanSquaredError(), logits, vectors), rtol=1e-14)
    np.testing.assert_allclose(squared[1], ((logits - vectors)[1] ** 2).mean(), rtol=1e-14)


WEIGHTS = (0.5, 2.0, 0.0, 3.0)


@pytest.mark.parametrize("shape", SHAPES, ids=["images", "pixels"])
@pytest.mark.parametrize(
    "loss", [CrossEntropy(weights=WEIGHTS), BinaryCrossEntropy(), BinaryCrossEntropy(WEIGHTS)], ids=str
)
@pytest.mark.parametrize("soft", [False, True], ids=["labels", "rows"])
def test_weighted_losses_add_up_to_the_references_mean(shape, loss, soft):
    stream = np.random.default_rng(1)
    logits, labels = stream.normal(size=(*shape, 4)), stream.integers(0, 4, shape)
    targets = stream.dirichlet(np.ones(4), shape) if soft else labels
    if loss.several_labels and not soft:
        targets = np.eye(4)[labels]
    losses, counts = losses_of(loss, logits, targets)
    assert losses.sum() / counts.sum() == pytest.approx(reference.forward(loss, logits, targets), rel=1e-13)


def test_several_labels_are_right_where_all_of_them_are():
    logits = np.array([[1.0, -1.0], [1.0, 1.0], [-1.0, -1.0]])
    assert count_right(BinaryCrossEntropy(), logits, np.array([[1, 0], [0, 1], [0, 0]])) == (2, 3)


def test_average_precision_is_the_mean_of_the_precision_over_the_recall():
    stream = np.random.default_rng(0)
    for _ in range(50):
        scores = stream.integers(0, 6, 12).astype(np.float32)  # many are equal
        truth = stream.random(12) < 0.4
        area, before = 0.0, 0.0
        for threshold in sorted(set(scores.tolist()), reverse=True):
            given = scores >= threshold
            recall = (truth & given).sum() / max(truth.sum(), 1)
            area += (recall - before) * (truth & given).sum() / given.sum()
            before = recall
        found = average_precision(scores, truth)
        assert found is None if not truth.any() else found == pytest.approx(area)


def test_large_logits_do_not_overflow():
    logits = np.array([[1e300, 0.0], [-1e300, 0.0]])
    assert losses_of(CrossEntropy(), logits, np.array([0, 1]))[0].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("shape", SHAPES, ids=["images", "pixels"])
def test_classes_come_of_indices_and_of_vectors(shape):
    labels = np.random.default_rng(0).integers(0, 4, shape)
    logits = np.zeros((*shape, 4))
    assert (target_classes(logits, labels) == labels).all()
    assert (target_classes(logits, np.eye(4)[labels]) == labels).all()


@pytest.mark.parametrize("shape", SHAPES, ids=["images", "pixels"])
def test_right_answers_are_counted(shape):
    labels = np.random.default_rng(0).integers(0, 4, shape)
    logits = np.eye(4)[labels]
    assert count_right(CrossEntropy(), logits, labels) == (labels.size, labels.size)
    logits[0] = np.roll(logits[0], 1, axis=-1)
    assert count_right(CrossEntropy(), logits, labels) == (labels.size - labels[0].size, labels.size)


def test_no_images_have_no_losses():
    assert losses_of(CrossEntropy(), np.zeros((0, 3)), np.zeros(0, int))[0].shape == (0,)


def test_average_precision_is_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics")
    stream = np.random.default_rng(0)
    for steps in (6, 10_000):
        for _ in range(50):
            scores = stream.integers(0, steps, 30).astype(np.float32)
            truth = stream.random(30) < 0.3
            if truth.any():
                want = metrics.average_precision_score(truth, scores)
                assert average_precision(scores, truth) == pytest.approx(want, rel=1e-12)
