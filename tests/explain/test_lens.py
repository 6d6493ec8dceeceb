"""Products of every window add up to what the layer gives."""

from __future__ import annotations

import numpy as np
import pytest

import neocog as nc
from explain.networks import NETWORKS, make_image, make_model
from neocog.explain.lens import window, windows_of_row
from neocog.explain.lesson import lesson_image, lesson_model
from neocog.explain.trace import trace


@pytest.mark.parametrize("name", NETWORKS)
def test_products_and_bias_add_up_to_the_output_at_every_position(name: str) -> None:
    model = make_model(name)
    traced = trace(model, make_image(model))
    for node in traced.graph.nodes:
        if not isinstance(node.layer, nc.Conv2d):
            continue
        height, _, filters = traced.output(node.index).shape
        for filter in {0, filters - 1}:
            for row in range(height):
                seen = windows_of_row(traced, node.index, filter, row)
                np.testing.assert_allclose(
                    seen.products.sum(axis=(1, 2, 3)) + seen.bias, seen.total, rtol=1e-9, atol=1e-12
                )
                np.testing.assert_allclose(seen.running[:, -1] + seen.bias, seen.total, rtol=1e-9, atol=1e-12)
                np.testing.assert_array_equal(seen.channel_sums, seen.products.sum(axis=(1, 2)))
                assert not seen.products[~seen.inside].any(), "padding adds nothing"


def test_windows_lie_where_stride_padding_and_dilation_put_them() -> None:
    model = make_model("stride and dilation")
    image = make_image(model)
    seen = window(model, image, 0, filter=1, row=1, column=4)
    assert seen.rows.tolist() == [0, 1, 2]  # 1 · stride 2 - padding 2 + taps
    assert seen.columns.tolist() == [3, 6]  # 4 · stride 1 - padding 1 + taps · dilation 3
    normalised = trace(model, image).normalised
    np.testing.assert_array_equal(seen.window, normalised[0:3][:, [3, 6]])
    corner = window(model, image, 0, filter=1, row=0, column=0)
    assert corner.rows.tolist() == [-2, -1, 0]
    assert corner.inside.tolist() == [[False, False], [False, False], [False, True]]


def test_the_filter_is_multiplied_as_it_lies_not_flipped() -> None:
    model = make_model("colour")
    seen = window(model, make_image(model), 0, filter=2, row=3, column=5)
    np.testing.assert_array_equal(seen.filter, np.asarray(model.parameters["0.weight"], np.float64)[..., 2])
    np.testing.assert_array_equal(seen.products, seen.window * seen.filter)


def test_the_activation_behind_a_convolution_is_its_own() -> None:
    model = make_model("article")
    traced = trace(model, make_image(model))
    seen = windows_of_row(traced, 0, 3, 2)
    assert seen.activation == 1
    np.testing.assert_array_equal(seen.activated, np.maximum(seen.total, 0))


def test_the_sixteen_steps_of_the_worked_example() -> None:
    maps = [[3, -1, -3, -1], [-3, 1, 0, -3], [-3, -3, 0, 1], [3, -2, -2, -1]]
    for row in range(4):
        for column in range(4):
            seen = window(lesson_model(), lesson_image(), 0, filter=0, row=row, column=column)
            assert seen.total == maps[row][column] == seen.products.sum()
            assert seen.products.size == 9


def test_a_position_outside_of_the_map_is_refused() -> None:
    with pytest.raises(nc.SettingError, match="row must be a whole number from 0 to 3, got 4"):
        window(lesson_model(), lesson_image(), 0, filter=0, row=4, column=0)
