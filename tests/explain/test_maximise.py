"""Activation maximisation: what it reaches, and that it says what it did."""

from __future__ import annotations

import numpy as np
import pytest

import neocog as nc
from explain.networks import NETWORKS, make_model
from explain.trained import held_out, trained_model
from neocog.errors import DataError, SettingError
from neocog.explain.cropped import cropped
from neocog.explain.lesson import lesson_model
from neocog.explain.maximise import maximise, maximise_all
from neocog.explain.patches import top_patches
from neocog.explain.receptive import receptive_field
from neocog.explain.response import response_index, run_to
from neocog.explain.subject import exact_parameters
from neocog.nn.graph import trace
from neocog.nn.layers import Conv2d
from neocog.nn.parameters import initial_parameters


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "without convolutions"])
def test_the_value_is_that_of_the_image_in_the_reference(name: str) -> None:
    model = make_model(name)
    layer = [node.index for node in model.graph.nodes if isinstance(node.layer, Conv2d)][-1]
    found = maximise(model, layer, 1, steps=4)
    assert found.image.shape == model.input_shape
    assert 0 <= found.image.min() <= found.image.max() <= 1
    read = response_index(model.graph, layer)
    answer = run_to(model.graph, exact_parameters(model), found.image[None], read).outputs[-1][0, ..., 1]
    assert found.value == pytest.approx(answer.max(), rel=1e-9)
    assert found.value > 0 or found.dead
    if not found.dead:
        assert answer[found.position] == answer.max()
    assert found.history.shape == (4,)
    assert found.history[-1] == found.value


def test_a_single_linear_filter_reaches_its_largest_possible_value() -> None:
    model = make_model("colour")
    weight, bias = model.parameters["0.weight"].astype(float), model.parameters["0.bias"].astype(float)
    mean, std = np.array([0.1, 0.2, 0.3]), 0.3
    best = np.array(
        [(np.where(w > 0, (1 - mean) / std, -mean / std) * w).sum() for w in weight.transpose(3, 0, 1, 2)] + bias
    )
    for found in maximise_all(model, 0, data_maximum=0.99 * best):
        assert found.beats
        assert found.value <= best[found.filter] * (1 + 1e-9)


def test_pixels_that_the_unit_does_not_see_stay_grey() -> None:
    found = maximise(make_model("article"), 0, 3)
    field = receptive_field(make_model("article").graph, 0)
    top, left, height, width = field.box(*found.position)
    outside = np.ones(found.image.shape[:2], bool)
    outside[top : top + height, left : left + width] = False
    assert (found.image[outside] == 0.5).all()


@pytest.mark.data
def test_most_filters_of_a_trained_network_are_moved_more_than_by_any_image_of_the_data_set() -> None:
    model = trained_model()
    images, _ = held_out(10_000)
    beaten = []
    for layer, patches in top_patches(model, images).items():
        found = maximise_all(model, layer, filters=range(0, len(patches.maximum), 3), data_maximum=patches.maximum)
        live = [one for one in found if one.filter not in patches.dead]
        beaten += [one.beats for one in live]
        # The first layer's best pattern may occur in the data: then both are the same number.
        assert all(one.value >= one.data_maximum * (1 - 1e-5) for one in live if layer == 0 and one.data_maximum)
    assert sum(map(bool, beaten)) >= 0.8 * len(beaten)


def test_the_same_seed_gives_the_same_image() -> None:
    model = make_model("article")
    one, same, other = maximise(model, 3, 2, seed=4), maximise(model, 3, 2, seed=4), maximise(model, 3, 2, seed=5)
    np.testing.assert_array_equal(one.image, same.image)
    assert (one.image != other.image).any()
    assert (one.seed, one.steps) == (4, len(one.history))


def test_a_filter_that_nothing_moves_is_dead() -> None:
    model = make_model("article")
    values = {name: value.copy() for name, value in model.parameters.items()}
    values["3.weight"][..., 0], values["3.bias"][0] = 0, -1  # nothing reaches it
    values["3.weight"][..., 1], values["3.bias"][1] = values["3.weight"][..., 1] / 1000, -1e3  # too little does
    model.load_parameters(values)
    for filter in (0, 1):
        found = maximise(model, 3, filter, data_maximum=0.0, steps=8)
        assert found.dead
        assert found.value == 0
        assert found.beats is False


def test_a_unit_that_is_silent_at_first_is_woken() -> None:
    net = nc.Sequential(nc.Conv2d(1, 3), nc.ReLU(), nc.Conv2d(1, 1), nc.ReLU(), nc.Flatten(), nc.Linear(2))
    model = nc.Model(net, (8, 8, 1), engine="reference")
    weight = -np.ones((3, 3, 1, 1))
    weight[1, 1] = 7.0  # mid grey gives (7 - 8) / 2 - 1 < 0: no gradient passes the first ReLU
    model.load_parameters(
        dict(model.parameters) | {"0.weight": weight, "0.bias": [-1], "2.weight": np.ones((1, 1, 1, 1))}
    )
    found = maximise(model, 2, 0, data_maximum=5.9)  # of at most 6
    assert not found.dead
    assert found.beats


def test_without_a_data_maximum_there_is_nothing_to_beat() -> None:
    found = maximise(lesson_model(), 0, 1, steps=8)
    assert found.beats is None
    assert found.data_maximum is None
    assert maximise(lesson_model(), 0, 1, steps=8, data_maximum=1e9).beats is False
    assert maximise(lesson_model(), 0, 1, steps=8, data_maximum=0.1).beats is True


def test_progress_counts_steps_and_may_cancel() -> None:
    told: list[float] = []
    maximise(lesson_model(), 0, 0, steps=5, progress=lambda done, what: told.append(done))
    assert told == sorted(told)
    assert len(told) % 5 == 1  # each step of each climb that was made, and the end
    assert (told[0], told[-1]) == (pytest.approx(0.05), 1.0)

    def cancel(done: float, what: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        maximise(lesson_model(), 0, 0, progress=cancel)


def test_what_does_not_fit_is_refused() -> None:
    model = make_model("article")
    with pytest.raises(SettingError, match="layer 2 must be a Conv2d, it is a MaxPool2d"):
        maximise(model, 2, 0)
    with pytest.raises(SettingError, match="filter must be a whole number from 0 to 31, got 32"):
        maximise(model, 0, 32)
    with pytest.raises(SettingError, match="steps must be"):
        maximise(model, 0, 0, steps=0)
    with pytest.raises(SettingError, match="seed must be"):
        maximise(model, 0, 0, seed=-1)
    model.load_parameters(
        {name: np.full_like(value, np.nan) for name, value in model.parameters.items()}, allow_nonfinite=True
    )
    with pytest.raises(DataError, match=r"layer 0 \(Conv2d\) has 288 values in 0.weight that are NaN"):
        maximise(model, 3, 0)


PARTS = {
    "pooled": nc.Sequential(nc.Conv2d(3, 3, padding=1), nc.ReLU(), nc.MaxPool2d(2), nc.Conv2d(4, 3, padding=1)),
    "residual": nc.Sequential(
        nc.Conv2d(4, 3, padding=1),
        nc.Residual(nc.Sequential(nc.Conv2d(4, 3, padding=1), nc.BatchNorm2d())),
        nc.Residual(nc.Conv2d(5, 3, stride=2, padding=1), nc.Conv2d(5, 1, stride=2)),
        nc.Conv2d(4, 3),
    ),
    "uneven": nc.Sequential(nc.Conv2d(3, (5, 2), stride=(2, 3), padding=2), nc.Conv2d(4, 3, dilation=2, padding=1)),
    "same": nc.Sequential(nc.Conv2d(3, 4, stride=2, padding="same"), nc.Conv2d(4, 3, padding="same")),
}


@pytest.mark.parametrize("name", PARTS)
def test_a_unit_computes_the_same_on_the_part_of_the_image_that_it_sees(name: str) -> None:
    graph = trace(PARTS[name], (61, 64, 2))
    parameters = {key: value.astype(np.float64) for key, value in initial_parameters(graph, 1).items()}
    image = np.random.default_rng(0).random((1, 61, 64, 2))
    cut = 0
    for node in graph.nodes:
        part = cropped(graph, node.index)
        whole = run_to(graph, parameters, image, node.index).outputs[-1][0]
        (top, left), size = part.corner, part.graph.input
        pixels = image[:, top : top + size.height, left : left + size.width]
        seen = run_to(part.graph, parameters, pixels, len(part.graph.nodes) - 1).outputs[-1][0]
        np.testing.assert_allclose(seen[part.unit], whole[len(whole) // 2, len(whole[0]) // 2], rtol=1e-9, atol=1e-12)
        cut += not part.whole
    assert cut


def test_where_a_unit_sees_all_or_a_layer_looks_at_all_nothing_is_cut() -> None:
    deep = trace(nc.Sequential(*[nc.Conv2d(2, 3, padding=1)] * 9), (12, 12, 1))
    assert [cropped(deep, index).whole for index in (0, 8)] == [False, True]
    grouped = trace(nc.Sequential(nc.Conv2d(4, 3), nc.GroupNorm(2), nc.Conv2d(2, 3)), (30, 30, 1))
    assert [cropped(grouped, index).whole for index in (0, 2)] == [False, True]
