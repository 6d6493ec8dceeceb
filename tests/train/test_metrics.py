"""What an answer is worth, held against the reference's losses and against counting by hand."""

import numpy as np
import pytest

from neocog.nn.losses import CrossEntropy, MeanSquaredError
from neocog.reference import loss as reference
from neocog.train.metrics import count_right, losses_of, target_classes

SHAPES = [(5,), (5, 2, 3)]


@pytest.mark.parametrize("shape", SHAPES, ids=["images", "pixels"])
def test_the_loss_of_each_image_is_the_mean_over_its_answers(shape):
    stream = np.random.default_rng(0)
    logits, labels = stream.normal(size=(*shape, 4)), stream.integers(0, 4, shape)
    vectors = stream.normal(size=logits.shape)
    each = losses_of(CrossEntropy(), logits, labels)
    assert each.shape == (5,)
    np.testing.assert_allclose(
        each.mean(), reference.forward(CrossEntropy(), logits.reshape(-1, 4), labels.reshape(-1)), rtol=1e-14
    )
    squared = losses_of(MeanSquaredError(), logits, vectors)
    np.testing.assert_allclose(squared.mean(), reference.forward(MeanSquaredError(), logits, vectors), rtol=1e-14)
    np.testing.assert_allclose(squared[1], ((logits - vectors)[1] ** 2).mean(), rtol=1e-14)


def test_large_logits_do_not_overflow():
    logits = np.array([[1e300, 0.0], [-1e300, 0.0]])
    assert losses_of(CrossEntropy(), logits, np.array([0, 1])).tolist() == [0.0, 0.0]


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
    assert count_right(logits, labels) == (labels.size, labels.size)
    logits[0] = np.roll(logits[0], 1, axis=-1)
    assert count_right(logits, labels) == (labels.size - labels[0].size, labels.size)


def test_no_images_have_no_losses():
    assert losses_of(CrossEntropy(), np.zeros((0, 3)), np.zeros(0, int)).shape == (0,)
