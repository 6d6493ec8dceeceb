"""A convolution is a fully connected layer with most edges cut and the rest tied."""

from __future__ import annotations

import numpy as np
import pytest

import neocog as nc
from explain.networks import NETWORKS, make_image, make_model
from neocog.explain.lesson import lesson_image, lesson_model
from neocog.explain.tied import as_fully_connected, cut
from neocog.explain.trace import trace
from neocog.nn.summary import WeightCounts, weight_counts

SMALL = [name for name in NETWORKS if name not in ("many filters", "deep")]


@pytest.mark.parametrize("name", SMALL)
def test_matrix_times_flattened_input_plus_bias_is_the_layer(name: str) -> None:
    model = make_model(name)
    traced = trace(model, make_image(model))
    for node in traced.graph.nodes:
        if not isinstance(node.layer, nc.Conv2d | nc.Linear):
            continue
        matrix = as_fully_connected(model, node.name)
        x, y = traced.input(node.index).ravel(), traced.output(node.index).ravel()
        np.testing.assert_allclose(matrix @ x + matrix.bias, y, rtol=1e-9, atol=1e-12)
        if matrix.shape[0] * matrix.shape[1] < 2_000_000:
            np.testing.assert_allclose(matrix.toarray() @ x + matrix.bias, y, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", SMALL)
def test_counts_by_enumeration_are_those_of_the_summary(name: str) -> None:
    model = make_model(name)
    for node in model.graph.nodes:
        counts = weight_counts(node)
        if counts is None or name == "one pixel" or isinstance(node.layer, nc.ConvTranspose2d):
            continue
        assert as_fully_connected(model, node.index).counts() == counts, node.title


def test_taps_that_only_meet_padding_are_stored_but_join_nothing() -> None:
    """The one place where stored weights and weights with an edge differ: a 3 x 3 filter on a single pixel."""
    model = make_model("one pixel")
    assert weight_counts(model.graph.nodes[0]) == WeightCounts(4, 4, 20)
    assert as_fully_connected(model, 0).counts() == WeightCounts(4, 4, 4)


def test_entries_of_one_tie_hold_one_value() -> None:
    matrix = as_fully_connected(make_model("colour"), 0)
    for tie in np.unique(matrix.ties)[::17]:
        assert len(set(matrix.values[matrix.ties == tie])) == 1


def test_one_filter_of_the_worked_example_counts_576_144_9() -> None:
    piece = cut(trace(lesson_model(), lesson_image()), 0, filter=0, channel=0, row=0, column=0)
    assert piece.counts == WeightCounts(576, 144, 9)
    assert piece.counts_with_bias == WeightCounts(592, 160, 10)
    assert piece.whole
    assert piece.outputs.tolist() == [[3, -1, -3, -1], [-3, 1, 0, -3], [-3, -3, 0, 1], [3, -2, -2, -1]]
    assert [int((piece.edges[:, 2] == tap).sum()) for tap in range(9)] == [16] * 9


def test_replacing_one_tap_changes_all_its_edges_and_nothing_else() -> None:
    traced = trace(lesson_model(), lesson_image())
    piece = cut(traced, 0, filter=0, channel=0, row=0, column=0, tap=4, value=3.0)
    expected = piece.original_outputs + 2.0 * np.array(lesson_image())[1:5, 1:5, 0]
    np.testing.assert_array_equal(piece.outputs, expected)
    assert piece.original[1, 1] == 1
    assert piece.weights[1, 1] == 3
    assert lesson_model().parameters["0.weight"][1, 1, 0, 0] == 1


@pytest.mark.parametrize("name", ["colour", "four channels", "stride and dilation", "overlapping pools", "one pixel"])
def test_a_cut_is_the_part_of_the_layer_that_it_claims_to_be(name: str) -> None:
    model = make_model(name)
    traced = trace(model, make_image(model))
    matrix = as_fully_connected(model, 0)
    height, width, filters = traced.output(0).shape
    channels = traced.input(0).shape[2]
    piece = cut(traced, 0, filter=1, channel=channels - 1, row=height - 1, column=width - 1)
    row, column, p, q = piece.output_box
    assert (row + p, column + q) == (height, width), "it moves in from the edge"
    for a in range(p):
        for b in range(q):
            output = ((row + a) * width + column + b) * filters + 1
            mine = (matrix.outputs == output) & (matrix.inputs % channels == channels - 1)
            x = traced.input(0).ravel()[matrix.inputs[mine]]
            assert (matrix.values[mine] * x).sum() == pytest.approx(piece.outputs[a, b], rel=1e-9, abs=1e-12)
            assert int((piece.edges[:, 0] == a * q + b).sum()) == int(mine.sum())
