import copy
import json
import pickle
from dataclasses import asdict, replace

import numpy as np
import pytest

from neocog.errors import SettingError
from neocog.nn.blocks import Concat, Residual, Sequential
from neocog.nn.graph import IMAGE, Graph, Normalisation, trace
from neocog.nn.layers import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Hardswish,
    LeakyReLU,
    Linear,
    MaxPool2d,
    ReLU,
    ReLU6,
)
from neocog.nn.rewrite import fold_norms
from neocog.nn.scales import (
    LARGEST_SCALE,
    LEAST_SCALE,
    Scales,
    limits_of,
    never_negative,
    rounded_values,
    source_of,
    weight_scales,
)
from neocog.reference.int8 import round_weights

USUAL = Sequential(
    *(Conv2d(4, 3, padding=1, bias=False), BatchNorm2d(), ReLU(), MaxPool2d(2), Residual(Conv2d(4, 3, padding=1))),
    *(GlobalAvgPool2d(), Dropout(0.2), Linear(3)),
)


def _names(graph: Graph, values: frozenset[int]) -> set[str]:
    return {"image" if value == IMAGE else graph.nodes[value].name for value in values}


def test_what_convolutions_and_linears_take_is_rounded_where_it_first_was_there() -> None:
    graph = fold_norms(trace(USUAL, (8, 8, 1))).graph
    relu, add, pooled = (next(n for n in graph.nodes if n.name.startswith(name)) for name in ("2", "4", "5"))
    assert _names(graph, rounded_values(graph)) == {"image", relu.name, pooled.name}
    assert add.index not in rounded_values(graph)
    assert source_of(graph, graph.nodes[-1].inputs[0]) == pooled.index


def test_an_image_that_is_pooled_before_it_is_multiplied_is_rounded_itself() -> None:
    graph = trace(Sequential(MaxPool2d(2), Conv2d(2, 3), Flatten(), Linear(2)), (8, 8, 1))
    assert rounded_values(graph) == {IMAGE, 1}
    averaged = trace(Sequential(AvgPool2d(2), Conv2d(2, 3), Flatten(), Linear(2)), (8, 8, 1))
    assert rounded_values(averaged) == {0, 1}


@pytest.mark.parametrize(
    ("layers", "unsigned"),
    [
        ((Conv2d(2, 3), ReLU6()), True),
        ((Conv2d(2, 3), ReLU(), AvgPool2d(2), Dropout(0.1), MaxPool2d(2)), True),
        ((Conv2d(2, 3), LeakyReLU(0.1)), False),
        ((Conv2d(2, 3), Hardswish()), False),
        ((Conv2d(2, 3), ReLU(), Conv2d(2, 1)), False),
        ((ReLU(), Concat(Sequential(Conv2d(2, 1), ReLU()), MaxPool2d(1))), True),
        ((Concat(Sequential(Conv2d(2, 1), ReLU()), Conv2d(2, 1)),), False),
        ((Conv2d(2, 3, padding=1), ReLU(), Residual(Sequential(Conv2d(2, 3, padding=1), ReLU()))), True),
        ((Conv2d(2, 3, padding=1), ReLU(), Residual(Conv2d(2, 3, padding=1))), False),
    ],
)
def test_what_cannot_be_negative_is_known_by_its_layers(layers: tuple, unsigned: bool) -> None:
    graph = trace(Sequential(*layers), (9, 9, 2))
    assert never_negative(graph, len(graph.nodes) - 1) is unsigned
    assert limits_of(graph, len(graph.nodes) - 1) == ((0, 255) if unsigned else (-127, 127))


@pytest.mark.parametrize(("mean", "unsigned"), [((0.0,), True), ((-0.5,), True), ((0.1,), False), ((0.0, 0.4), False)])
def test_an_image_cannot_be_negative_unless_something_is_taken_off(mean: tuple[float, ...], unsigned: bool) -> None:
    graph = trace(Conv2d(2, 3), (9, 9, 2), Normalisation(mean, (0.5,)))
    assert never_negative(graph, IMAGE) is unsigned


def test_an_image_that_callers_may_have_normalised_can_be_negative() -> None:
    assert not never_negative(trace(Conv2d(2, 3), (9, 9, 2)), IMAGE)


def test_scales_are_numbers_of_float32_and_equal_ones_are_one() -> None:
    scales = Scales(np.float64(0.1), {"a": 0.2, "b": 3})
    assert scales.image == float(np.float32(0.1))
    assert scales == Scales(0.1, {"b": 3.0, "a": 0.2})
    assert hash(scales) == hash(Scales(0.1, {"b": 3.0, "a": 0.2}))
    graph = fold_norms(trace(USUAL, (8, 8, 1))).graph
    names = [graph.nodes[index].name for index in rounded_values(graph) if index != IMAGE]
    found = Scales(0.5, dict.fromkeys(names, 0.25))
    assert (found.of(graph, IMAGE), found.of(graph, graph.nodes[-1].inputs[0])) == (np.float32(0.5), np.float32(0.25))


def test_scales_cannot_be_changed_and_copies_are_equal():
    given = {"a": 0.25, "b": 3.0}
    scales = Scales(0.5, given)
    given["a"] = 1.0
    assert scales.values["a"] == 0.25
    with pytest.raises(TypeError, match="cannot be changed"):
        scales.values["a"] = 1.0  # type: ignore[index]
    for other in (pickle.loads(pickle.dumps(scales)), copy.deepcopy(scales), copy.copy(scales)):
        assert other == scales
        assert hash(other) == hash(scales)
    assert replace(scales, image=1.0) != scales
    for change in ("clear", "popitem"):
        with pytest.raises(TypeError, match="cannot be changed"):
            getattr(scales.values, change)()
    assert asdict(scales) == {"image": 0.5, "values": {"a": 0.25, "b": 3.0}}
    assert json.loads(json.dumps(scales.values)) == dict(scales.values)
    assert repr(scales) == "Scales(image=0.5, values={'a': 0.25, 'b': 3.0})"
    copied = copy.deepcopy(scales.values)
    copied["b"] = 1.0  # a copy of the mapping alone is its holder's
    assert scales.values["b"] == 3.0


@pytest.mark.parametrize(
    "value", [0.0, -1.0, float("nan"), float("inf"), 2.0**-60 / 1.001, 2.0**60 * 1.001, "1", True, None]
)
def test_a_scale_that_is_none_is_refused(value: object) -> None:
    with pytest.raises(SettingError, match="the scale of a must be a positive number"):
        Scales(1.0, {"a": value})  # type: ignore[dict-item]
    with pytest.raises(SettingError, match="the scale of the image must be"):
        Scales(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("image", [LEAST_SCALE, LARGEST_SCALE])
@pytest.mark.parametrize("largest", [LEAST_SCALE * 130, LARGEST_SCALE * 100])
def test_at_the_ends_of_scales_products_and_inverses_are_numbers(image: float, largest: float) -> None:
    scale = np.float32(Scales(image).image)
    integers, _, scales = round_weights(np.full((2, 1), largest, np.float32), np.float32([largest * image]), scale)
    tiny = np.finfo(np.float32).tiny
    assert np.abs(integers).max() == 127 or scales[0] > largest / 127
    assert LEAST_SCALE < scales[0] <= LARGEST_SCALE
    assert tiny <= scale * scales[0] < np.inf
    assert tiny <= np.float32(1) / scale < np.inf


def test_weights_too_large_or_too_small_for_a_scale_are_refused_or_zeros() -> None:
    one = np.float32(1)
    with pytest.raises(SettingError, match="too large to be rounded"):
        weight_scales(np.full((1, 1), LARGEST_SCALE * 128, np.float32), None, one)
    with pytest.raises(SettingError, match="too large to be rounded"):
        weight_scales(np.ones((1, 1), np.float32), np.float32([1e30]), np.float32(LEAST_SCALE))
    integers, _, scales = round_weights(np.full((1, 1), LEAST_SCALE, np.float32), None, one)
    assert (integers[0, 0], scales[0]) == (0, 1)


def test_scales_of_another_network_are_refused() -> None:
    graph = trace(Sequential(Conv2d(2, 3), ReLU(), Flatten(), Linear(2)), (6, 6, 1))
    Scales(1.0, {"1": 1.0}).check(graph)
    with pytest.raises(SettingError, match="network's 1 rounded values, got 1") as caught:
        Scales(1.0, {"2": 1.0}).check(graph)
    assert caught.value.details == ("missing: '1'", "unknown: '2'")


def test_weights_have_the_scale_of_their_largest_unless_a_sum_would_not_fit() -> None:
    weight = np.array([[1.0, -3.0, 0.0, 1e-9], [-2.0, 0.5, 0.0, 0.0]], np.float32)
    scale = np.float32(0.01)
    plain = weight_scales(weight, None, scale)
    for scale_of, largest in zip(plain[:2], (2, 3), strict=True):
        assert largest / 127 * 0.9999 <= scale_of <= largest / 127 * 1.2501
    assert plain[2] == 1
    bias = np.array([1.0, -1.0, 5.0, 0.5], np.float32)
    scales = weight_scales(weight, bias, scale)
    assert (scales[:2] == plain[:2]).all()
    steps = np.abs(bias[2:] / (np.float64(scale) * scales[2:]))
    np.testing.assert_allclose(steps, 2.0**29, rtol=1e-6)
    many = weight_scales(np.ones((1 << 18, 1), np.float32), None, scale)
    assert np.rint(1 / many[0]) * 255 * (1 << 18) < 1 << 31 < 127 * 255 * (1 << 18)


@pytest.mark.parametrize("room", [2.0**28, 2.0**29, 2.0**30])
@pytest.mark.parametrize("steps", [1.51, 16.51, 123.51])
def test_sums_fit_where_many_weights_round_up_beside_a_large_bias(room: float, steps: float) -> None:
    scale, count = np.float32(2 / 255), int(room / 255 / steps)
    weight = np.ones((count, 1), np.float32)
    least = float(weight_scales(weight, None, scale)[0])
    for bias in (0.0, least * scale * 2.0**29, least * scale * 2.0**29 * 0.9999, least * scale * 2.0**30, 1e9):
        shift = np.array([bias], np.float32)
        q, b, _ = round_weights(weight, shift, scale)
        assert np.abs(q).sum() * 255 + np.abs(b[0]) < 1 << 31


def test_errors_of_a_filter_cancel() -> None:
    weight = np.random.default_rng(0).normal(0, 1, (9, 64)).astype(np.float32)
    largest = np.abs(weight).max(axis=0) / np.float32(127)

    def mean_square(scales: np.ndarray) -> float:
        values = np.maximum(np.random.default_rng(1).normal(0, 1, (5000, 9)), 0)
        return float(np.square(values @ (weight - np.rint(weight / scales) * scales)).mean())

    assert mean_square(weight_scales(weight, None, np.float32(1))) < 0.6 * mean_square(largest)
    many = np.tile(weight, (200, 1))
    assert (weight_scales(many, None, np.float32(1)) == largest).all()


def test_weights_that_are_no_numbers_cannot_be_rounded() -> None:
    for weight, bias in ((np.nan, 0.0), (np.inf, 0.0), (1.0, np.nan)):
        with pytest.raises(SettingError, match="must be finite"):
            weight_scales(np.full((2, 1), weight), np.full(1, bias), np.float32(1))
