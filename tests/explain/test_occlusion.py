"""Occlusion against a naive loop over the reference, and against Captum."""

from __future__ import annotations

import numpy as np
import pytest

from explain.networks import NETWORKS, make_image, make_model
from explain.torch_twin import pixels, twin
from explain.trained import held_out, trained_model
from neocog.errors import DataError, SettingError, ShapeError
from neocog.explain.gradient import read_target
from neocog.explain.occlusion import Occlusion, occlusion
from neocog.explain.subject import Subject, exact_parameters
from neocog.reference.network import forward

EPS = float(np.finfo(np.float32).eps)


def naive(model: Subject, image: np.ndarray, target: str, found: Occlusion) -> tuple[np.ndarray, np.ndarray]:
    """Hide each place in turn, and average over the patches that cover each pixel, with loops in float64."""
    parameters, aim = exact_parameters(model), read_target(model, target)

    def value(one: np.ndarray) -> float:
        return aim.value(forward(model.graph, parameters, one[None]).logits[0])

    whole = image / 255 if image.dtype == np.uint8 else image.astype(float)
    falls, heat = np.zeros(found.map.shape), np.zeros(whole.shape[:2])
    covers: list[list[list[float]]] = [[[] for _ in range(whole.shape[1])] for _ in range(whole.shape[0])]
    for row in range(falls.shape[0]):
        for column in range(falls.shape[1]):
            hidden = whole.copy()
            places = []
            for i in range(found.patch[0]):
                for j in range(found.patch[1]):
                    y, x = row * found.stride[0] + i, column * found.stride[1] + j
                    if y < whole.shape[0] and x < whole.shape[1]:
                        hidden[y, x] = found.baseline_values
                        places.append((y, x))
            falls[row, column] = value(whole) - value(hidden)
            for y, x in places:
                covers[y][x].append(falls[row, column])
    for y, line in enumerate(covers):
        for x, cell in enumerate(line):
            heat[y, x] = np.mean(cell)
    return falls, heat


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in ("grey", "one pixel")])
@pytest.mark.parametrize("baseline", ["black", "mean", "white"])
def test_falls_are_those_of_a_naive_loop(name: str, baseline: str) -> None:
    model = make_model(name)
    image = make_image(model)
    for target, patch, stride in (("class:1", (3, 2), (2, 2)), ("loss:0", 4, (3, 1))):
        found = occlusion(model, image, target, patch=patch, stride=stride, baseline=baseline)
        falls, heat = naive(model, image, target, found)
        limit = 64 * EPS * (abs(found.value) + np.abs(falls).max())  # the image and the logits are rounded to float32
        np.testing.assert_allclose(found.map, falls, rtol=0, atol=limit)
        np.testing.assert_allclose(found.heat, heat, rtol=0, atol=limit)
        assert found.map[found.largest] == found.map.max()


@pytest.mark.parametrize("name", ["colour", "overlapping pools", "article", "many classes"])
def test_heat_is_that_of_captum(name: str) -> None:
    torch = pytest.importorskip("torch")
    captum = pytest.importorskip("captum.attr")
    model = make_model(name)
    image = make_image(model)
    for patch, stride in (((3, 3), (2, 2)), ((4, 2), (3, 1))):
        found = occlusion(model, image, 1, patch=patch, stride=stride, baseline="mean")
        channels = image.shape[2]
        baseline = torch.tensor(found.baseline_values).reshape(1, -1, 1, 1).expand(1, *pixels(image).shape[1:])
        with torch.no_grad():
            want = captum.Occlusion(twin(model)).attribute(
                pixels(image), (channels, *patch), (channels, *stride), baselines=baseline, target=1
            )
        limit = 64 * EPS * (abs(found.value) + np.abs(found.map).max())
        for channel in range(channels):
            np.testing.assert_allclose(found.heat, want[0, channel].numpy(), rtol=0, atol=limit)


@pytest.mark.data
def test_falls_of_a_trained_network_on_its_own_engine_are_those_of_a_naive_loop() -> None:
    model = trained_model()
    images, labels = held_out(1)
    found = occlusion(model, images[0], int(labels[0]), patch=6, stride=3)
    falls, heat = naive(model, images[0], f"class:{labels[0]}", found)
    limit = 256 * EPS * (abs(found.value) + np.abs(falls).max())
    np.testing.assert_allclose(found.map, falls, rtol=0, atol=limit)
    np.testing.assert_allclose(found.heat, heat, rtol=0, atol=limit)


def test_the_baseline_says_where_it_comes_from() -> None:
    model = make_model("colour")
    image = make_image(model)
    found = occlusion(model, image, 0, baseline="mean")
    assert found.baseline_source == "the mean of the model's normalisation"
    np.testing.assert_allclose(found.baseline_values, [0.1, 0.2, 0.3])
    plain = type(model)(model.net, model.input_shape, engine="reference")
    found = occlusion(plain, image, 0, baseline="mean")
    assert found.baseline_source == "the image's own mean"
    np.testing.assert_allclose(found.baseline_values, image.mean(axis=(0, 1)) / 255)
    assert occlusion(plain, image, 0, baseline="white").baseline_values.tolist() == [1, 1, 1]
    assert occlusion(plain, image, 0, baseline="black").baseline_values.tolist() == [0, 0, 0]


def test_a_patch_as_large_as_the_image_hides_all_of_it() -> None:
    model = make_model("one pixel")
    found = occlusion(model, make_image(model), 0, patch=1, stride=1)
    assert found.map.shape == (1, 1)
    assert found.heat.tolist() == found.map.tolist()


def test_progress_rises_to_one_and_may_cancel() -> None:
    model = make_model("grey")
    told: list[float] = []
    occlusion(model, make_image(model), 0, stride=1, progress=lambda done, what: told.append(done))
    assert told == sorted(told)
    assert len(told) > 1
    assert told[-1] == 1

    def cancel(done: float, what: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        occlusion(model, make_image(model), 0, progress=cancel)


def test_weights_that_are_no_numbers_are_named() -> None:
    model = make_model("article")
    values = {name: value.copy() for name, value in model.parameters.items()}
    values["7.weight"][:] = np.nan
    model.load_parameters(values, allow_nonfinite=True)
    with pytest.raises(DataError, match=r"layer 7 \(Linear\) has .* NaN values in its weight"):
        occlusion(model, make_image(model), 0)


def test_what_does_not_fit_is_refused() -> None:
    model = make_model("article")
    image = make_image(model)
    with pytest.raises(SettingError, match="patch must be at most 12 x 12 pixels, got 13"):
        occlusion(model, image, 0, patch=13)
    with pytest.raises(SettingError, match="stride must be at most the patch, 2, got 3"):
        occlusion(model, image, 0, patch=2, stride=3)
    with pytest.raises(SettingError, match="patch must be an integer of at least 1"):
        occlusion(model, image, 0, patch=0)
    with pytest.raises(SettingError, match="baseline must be one of black, mean, white, got 'grey'"):
        occlusion(model, image, 0, baseline="grey")
    with pytest.raises(SettingError, match="target class must be"):
        occlusion(model, image, 10)
    with pytest.raises(ShapeError, match="the image must have the shape"):
        occlusion(model, image[:5], 0)
