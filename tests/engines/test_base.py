"""What all engines check and agree on before they compute: targets, and which maps a peak is of."""

import tracemalloc

import numpy as np
import pytest

from neocog.engines.base import peak_sources
from neocog.engines.targets import check_targets
from neocog.errors import DataError, ShapeError
from neocog.nn.blocks import Residual, Sequential
from neocog.nn.graph import trace
from neocog.nn.layers import BatchNorm2d, Conv2d, Flatten, Linear, ReLU
from neocog.nn.losses import BinaryCrossEntropy, CrossEntropy, MeanSquaredError

VECTOR = trace(Sequential(Flatten(), Linear(3)), (2, 2, 1))
IMAGE = trace(Conv2d(3, 1), (2, 4, 1))


def test_labels_of_images_and_of_pixels():
    one = check_targets(VECTOR, CrossEntropy(), np.array([0, 2], np.uint8), 2)
    assert (one.dtype, one.tolist()) == (np.int32, [0, 2])
    labels = np.arange(16).reshape(2, 2, 4) % 3
    many = check_targets(IMAGE, CrossEntropy(), labels, 2)
    assert many.dtype == np.int32
    assert (many == labels).all()


def test_labels_become_one_hot_where_vectors_are_compared():
    one = check_targets(VECTOR, MeanSquaredError(), np.array([0, 2]), 2)
    assert (one.dtype, one.tolist()) == (np.float32, [[1, 0, 0], [0, 0, 1]])
    many = check_targets(IMAGE, MeanSquaredError(), np.ones((1, 2, 4), int), 1)
    assert many.shape == (1, 2, 4, 3)
    assert (many == [0, 1, 0]).all()


def test_values_are_taken_in_the_shape_of_the_answers():
    values = np.random.default_rng(0).random((2, 2, 4, 3))
    assert (check_targets(IMAGE, MeanSquaredError(), values, 2) == values.astype(np.float32)).all()
    with pytest.raises(ShapeError, match=r"targets must have the shape \(2, 2, 4, 3\), got \(2, 3\)"):
        check_targets(IMAGE, MeanSquaredError(), np.zeros((2, 3)), 2)


def test_labels_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match="labels must lie between 0 and 2, got 0 to 3"):
        check_targets(IMAGE, CrossEntropy(), np.arange(8).reshape(1, 2, 4) % 4, 1)
    with pytest.raises(
        DataError, match=r"shape \(N, 2, 4\), or rows of probabilities \(N, 2, 4, 3\), got int64 of \(1,\)"
    ):
        check_targets(IMAGE, CrossEntropy(), np.zeros(1, np.int64), 1)
    with pytest.raises(DataError, match=r"shape \(N,\), or rows of probabilities \(N, 3\), got int64 of \(1, 2, 4\)"):
        check_targets(VECTOR, CrossEntropy(), np.zeros((1, 2, 4), np.int64), 1)
    with pytest.raises(ShapeError, match="labels must be as many as the images, 2"):
        check_targets(IMAGE, CrossEntropy(), np.zeros((1, 2, 4), int), 2)


def test_rows_of_probabilities_are_taken_where_they_are_some():
    rows = [[1, 0, 0], [0.25, 0.25, 0.5]]
    found = check_targets(VECTOR, CrossEntropy(), np.array(rows), 2)
    assert (found.dtype, found.tolist()) == (np.float32, rows)
    with pytest.raises(DataError, match="must add up to 1 for CrossEntropy, got 2") as caught:
        check_targets(VECTOR, CrossEntropy(), np.array([[1, 0, 0], [1, 0, 1]]), 2)
    assert "BinaryCrossEntropy" in str(caught.value.hint)
    for loss in (CrossEntropy(), BinaryCrossEntropy()):
        for wrong in (-0.5, 2.0, np.nan):
            with pytest.raises(DataError, match="must hold probabilities, from 0 to 1"):
                check_targets(VECTOR, loss, np.array([[wrong, 0.5, 1.0]]), 1)


def test_several_labels_are_rows_of_zeros_and_ones():
    rows = [[True, False, True], [False, False, False]]
    assert check_targets(VECTOR, BinaryCrossEntropy(), np.array(rows), 2).tolist() == [[1, 0, 1], [0, 0, 0]]
    assert check_targets(VECTOR, BinaryCrossEntropy(), np.array([2, 0]), 2).tolist() == [[0, 0, 1], [1, 0, 0]]
    with pytest.raises(ShapeError, match=r"targets must have the shape \(2, 3\), got \(2, 4\)"):
        check_targets(VECTOR, BinaryCrossEntropy(), np.zeros((2, 4)), 2)
    with pytest.raises(DataError, match="targets must be numbers, got <U1"):
        check_targets(VECTOR, BinaryCrossEntropy(), np.array([["a", "b", "c"]]), 1)


def test_one_question_may_be_answered_without_an_axis_of_its_own():
    graph = trace(Sequential(Flatten(), Linear(1)), (2, 2, 1))
    assert check_targets(graph, BinaryCrossEntropy(), np.array([1, 0, 1]), 3).tolist() == [[1], [0], [1]]


def test_peaks_are_read_behind_the_norm_and_the_activation_that_alone_take_a_map():
    body = Sequential(Conv2d(3, 1), ReLU(), Conv2d(3, 1), BatchNorm2d())
    net = Sequential(Conv2d(3, 1), Residual(body), ReLU(), Conv2d(2, 1), ReLU(), Conv2d(2, 1))
    graph = trace(net, (4, 4, 3))
    names = {graph.nodes[key].name: graph.nodes[value].name for key, value in peak_sources(graph).items()}
    assert names == {"0": "0", "1.body.0": "1.body.1", "1.body.2": "1.body.3", "3": "4", "5": "5"}


def test_vectors_of_very_many_classes_take_no_more_memory_than_they_hold():
    graph = trace(Sequential(Flatten(), Linear(4000)), (1, 1, 1))
    tracemalloc.start()
    try:
        assert check_targets(graph, MeanSquaredError(), np.array([3999]), 1).argmax() == 3999
        assert tracemalloc.get_traced_memory()[1] < 1 << 20  # a table of all vectors would take 64 MB
    finally:
        tracemalloc.stop()
