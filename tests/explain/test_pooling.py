"""Winners, ties and means are those of the engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import neocog as nc
from explain.networks import make_image, make_model
from neocog.explain.lesson import lesson_image, lesson_model
from neocog.explain.pooling import pooling, pooling_of, sent_back
from neocog.explain.trace import Trace, trace


def test_the_winners_of_the_worked_example() -> None:
    seen = pooling(lesson_model(), lesson_image(), 1, channel=1)
    assert seen.output.tolist() == [[-1, 1], [0, 3]]
    assert seen.winner_row.tolist() == [[0, 1], [3, 3]]
    assert seen.winner_column.tolist() == [[0, 3], [1, 3]]
    assert seen.ties.tolist() == [[4, 1], [1, 1]], "of four equal values the first wins"


@pytest.mark.parametrize("channel", [0, 2])
def test_a_winner_holds_the_value_that_the_layer_gives(channel: int) -> None:
    model = make_model("overlapping pools")
    seen = pooling(model, make_image(model), 2, channel)
    np.testing.assert_array_equal(seen.input[seen.winner_row, seen.winner_column], seen.output)
    assert (seen.ties >= 1).all()


def test_of_equal_values_the_first_on_the_image_wins_and_padding_never_does() -> None:
    net = nc.Sequential(nc.MaxPool2d(3, stride=2, padding=1), nc.Flatten())
    model = nc.Model(net, (4, 4, 1), engine="reference")
    seen = pooling(model, np.zeros((4, 4, 1)), 0, 0)
    assert seen.winner.tolist() == [[4, 3], [1, 0]]
    assert (seen.winner_row.tolist(), seen.winner_column.tolist()) == ([[0, 0], [1, 1]], [[0, 1], [0, 1]])
    assert seen.ties.tolist() == [[4, 6], [6, 9]]


def test_an_average_is_its_sum_over_all_cells_padding_included() -> None:
    model = make_model("overlapping pools")
    traced = trace(model, make_image(model))
    seen = pooling_of(traced, 3, 1)
    assert seen.kind == "average"
    assert seen.cells == 6
    np.testing.assert_allclose(seen.sum / seen.cells, seen.output, rtol=1e-12)


def test_a_nan_wins_and_is_found() -> None:
    model = make_model("overlapping pools")
    values = {name: np.array(value) for name, value in model.parameters.items()}
    values["0.bias"][1] = np.nan
    model.load_parameters(values, allow_nonfinite=True)
    seen = pooling(model, make_image(model), 2, 1)
    assert np.isnan(seen.output).all()
    assert (seen.ties >= 4).all()


def test_the_other_kind_pools_the_same_map_with_the_same_windows() -> None:
    seen = pooling(lesson_model(), lesson_image(), 1, channel=0, kind="average")
    assert seen.kind == "average"
    assert seen.output.tolist() == [[0.0, -1.75], [-1.25, -0.5]]
    model = make_model("overlapping pools")
    traced = trace(model, make_image(model))
    largest = pooling_of(traced, 3, 1, "max")
    np.testing.assert_array_equal(largest.input[largest.winner_row, largest.winner_column], largest.output)
    np.testing.assert_array_equal(pooling_of(traced, 3, 1, "average").output, traced.output(3)[..., 1])
    with pytest.raises(nc.SettingError, match="kind must be max or average, got 'least'"):
        pooling_of(traced, 3, 1, "least")


@pytest.mark.parametrize(("layer", "kind"), [(2, "max"), (2, "average"), (3, "max"), (3, "average")])
def test_what_a_pooling_sends_back_is_its_finite_difference(layer: int, kind: str) -> None:
    model = make_model("overlapping pools")
    traced = trace(model, make_image(model))
    random = np.random.default_rng(0)
    x = random.normal(size=traced.input(layer).shape)  # no two values alike, as zeros behind a ReLU are

    def taking(value: np.ndarray) -> Trace:
        outputs = (*traced.run.outputs[: layer - 1], value[None], *traced.run.outputs[layer:])
        return replace(traced, run=replace(traced.run, outputs=outputs))

    gradient = random.normal(size=pooling_of(taking(x), layer, 1, kind).output.shape)
    sent = sent_back(taking(x), layer, 1, gradient, kind)
    step = 1e-7
    for row, column in np.ndindex(sent.shape):
        moved = np.zeros_like(x)
        moved[row, column, 1] = step
        ahead, behind = (pooling_of(taking(x + sign * moved), layer, 1, kind).output for sign in (1, -1))
        slope = (gradient * (ahead - behind)).sum() / (2 * step)
        # a difference of values of about 1 is wrong by their rounding, over the step
        assert sent[row, column] == pytest.approx(slope, abs=16 * np.finfo(float).eps / step * np.abs(gradient).sum())
