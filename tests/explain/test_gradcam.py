"""Grad-CAM against Captum and against its definition."""

from __future__ import annotations

import numpy as np
import pytest

import neocog as nc
from explain.networks import NETWORKS, make_image, make_model
from explain.torch_twin import pixels, twin
from explain.trained import held_out, trained_model
from neocog.errors import DataError, SettingError
from neocog.explain.gradcam import default_layer, gradcam, placing_layer, quick_gradcams, stretch
from neocog.explain.gradient import gradients
from neocog.explain.trace import trace

CAPTUM_NETWORKS = [name for name in NETWORKS if name not in ("four channels", "without convolutions")]
ROUNDED = 1e-7  # of the sizes that are added up: PyTorch multiplies a Hardsigmoid's gradient by a float32 1 / 6


@pytest.mark.parametrize("name", CAPTUM_NETWORKS)
def test_grid_and_heat_are_those_of_captum(name: str) -> None:
    torch = pytest.importorskip("torch")
    captum = pytest.importorskip("captum.attr")
    model = make_model(name)
    image = make_image(model)
    other = twin(model)
    default = gradcam(model, image, 1)
    for layer in {default.layer, default.choices[0], default.choices[-1]}:
        for target in (0, 1):
            found = gradcam(model, image, target, layer=layer)
            cam = captum.LayerGradCam(other, other[1 + layer])
            want = cam.attribute(pixels(image), target=target, relu_attributions=True).detach()
            sizes = np.abs(trace(model, image).output(layer)) @ np.abs(found.weights)  # rounding is a share of these
            scale = max(1.0, sizes.max())
            assert (np.abs(found.grid - want[0, 0].numpy()) <= ROUNDED * sizes).all()
            heat = torch.nn.functional.interpolate(want, image.shape[:2], mode="bilinear", align_corners=False)
            np.testing.assert_allclose(found.heat, heat[0, 0].numpy(), rtol=ROUNDED, atol=ROUNDED * scale)


@pytest.mark.data
def test_a_trained_network_gives_what_captum_gives() -> None:
    captum = pytest.importorskip("captum.attr")
    model = trained_model()
    other = twin(model)
    images, labels = held_out(8)
    for image, label in zip(images, labels.tolist(), strict=True):
        found = gradcam(model, image, label)
        assert found.name == "layer 4 (ReLU)"
        want = captum.LayerGradCam(other, other[5]).attribute(pixels(image), target=label, relu_attributions=True)
        np.testing.assert_allclose(found.grid, want[0, 0].detach().numpy(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "without convolutions"])
def test_the_grid_is_its_definition(name: str) -> None:
    model = make_model(name)
    image = make_image(model)
    for target in ("class:1", "loss:0"):
        found = gradcam(model, image, target)
        maps, gradient = trace(model, image).output(found.layer), gradients(model, image, target).outputs[found.layer]
        grid = np.zeros(maps.shape[:2])
        for k in range(maps.shape[2]):
            assert found.weights[k] == pytest.approx(gradient[..., k].mean(), abs=1e-12)
            grid += gradient[..., k].mean() * maps[..., k]
        np.testing.assert_allclose(found.grid, np.maximum(grid, 0), rtol=1e-9, atol=1e-12)
        assert found.heat.shape == image.shape[:2]


def test_the_default_is_the_relu_behind_the_last_convolution_and_is_named() -> None:
    model = make_model("article")
    found = gradcam(model, make_image(model), 0, layer=-1)
    assert (found.layer, found.name) == (4, "layer 4 (ReLU)")
    assert found.choices == (0, 1, 2, 3, 4, 5)
    assert gradcam(model, make_image(model), 0, layer=None).layer == 4
    assert gradcam(model, make_image(model), 0, layer="3").layer == 3
    model = make_model("nested")
    assert gradcam(model, make_image(model), 0).name == "layer 1.0 (Conv2d)"


def test_a_layer_in_front_of_all_parameters_may_be_chosen() -> None:
    net = nc.Sequential(nc.AvgPool2d(2), nc.Conv2d(2, 3), nc.Flatten(), nc.Linear(2))
    model = nc.Model(net, (10, 10, 1), engine="reference")
    assert gradcam(model, np.ones((10, 10, 1)), 0, layer=0).grid.shape == (5, 5)


def test_an_all_zero_map_says_so_and_holds_no_nan() -> None:
    model = make_model("article")
    values = {name: value.copy() for name, value in model.parameters.items()}
    values["7.weight"][:], values["7.bias"][:] = 0, -1  # nothing behind layer 6 sees the image
    model.load_parameters(values)
    found = gradcam(model, make_image(model), 3)
    assert found.all_zero
    assert not found.heat.any()
    assert found.text == "all zero: the gradient of class 3 does not reach layer 4 (ReLU), so no map of it counts"
    lone = nc.Model(
        nc.Sequential(nc.Conv2d(1, 1), nc.ReLU(), nc.Flatten(), nc.Linear(1)), (2, 2, 1), engine="reference"
    )
    lone.load_parameters(
        {"0.weight": np.ones((1, 1, 1, 1)), "0.bias": [0], "3.weight": -np.ones((4, 1)), "3.bias": np.zeros(1)}
    )
    against = gradcam(lone, np.ones((2, 2, 1)), 0)
    assert against.all_zero
    assert "silent or speak against it" in against.text


def test_a_map_says_where_most_speaks() -> None:
    model = make_model("article")
    for label in range(10):
        found = gradcam(model, make_image(model), label)
        if not found.all_zero:
            row, column = np.unravel_index(found.grid.argmax(), found.grid.shape)
            assert f"row {row}, column {column} of its 3 x 3 grid" in found.text


@pytest.mark.parametrize(("cells", "pixels"), [((1, 1), (4, 3)), ((2, 3), (7, 9)), ((5, 4), (5, 4)), ((6, 7), (3, 2))])
def test_stretching_is_that_of_torch(cells: tuple[int, int], pixels: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch")
    grid = np.random.default_rng(0).random(cells)
    want = torch.nn.functional.interpolate(torch.tensor(grid)[None, None], pixels, mode="bilinear", align_corners=False)
    np.testing.assert_allclose(stretch(grid, *pixels), want[0, 0].numpy(), rtol=1e-12)


def test_what_does_not_fit_is_refused() -> None:
    model = make_model("article")
    with pytest.raises(SettingError, match=r"Grad-CAM needs feature maps; layer 7 \(Linear\) gives a vector"):
        gradcam(model, make_image(model), 0, layer=7)
    plain = make_model("without convolutions")
    with pytest.raises(SettingError, match="this network has no convolution"):
        gradcam(plain, make_image(plain), 0)
    values = {name: value.copy() for name, value in model.parameters.items()}
    values["3.weight"][0, 0, 0, 0] = np.nan
    model.load_parameters(values, allow_nonfinite=True)
    with pytest.raises(DataError, match=r"layer 3 \(Conv2d\) has 1 NaN values in its weight"):
        gradcam(model, make_image(model), 0)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "without convolutions"])
def test_many_images_at_once_give_the_same_grids_within_rounding(name: str) -> None:
    model = make_model(name)
    images = np.stack([make_image(model), make_image(model)[::-1], make_image(model)[:, ::-1]])
    grids = quick_gradcams(model, images, [1, 0, 1])
    for image, label, grid in zip(images, (1, 0, 1), grids, strict=True):
        found = gradcam(model, image, label)
        sizes = np.abs(trace(model, image).output(found.layer)) @ np.abs(found.weights)
        assert grid.shape == found.grid.shape
        # float32 on the way forwards and back; the bound is loose, and a wrong term would be as large as the sizes
        assert np.abs(grid - found.grid).max() <= 1e-3 * max(sizes.max(), np.finfo(np.float32).tiny)


def test_places_are_told_by_the_last_maps_that_are_large_enough() -> None:
    def block(channels: int) -> nc.Sequential:
        return nc.Sequential(nc.Conv2d(channels, 3, padding=1), nc.BatchNorm2d(), nc.ReLU(), nc.MaxPool2d(2))

    net = nc.Sequential(block(2), block(2), block(2), nc.Flatten(), nc.Linear(2))
    model = nc.Model(net, (16, 16, 1), seed=1)
    titles = [type(node.layer).__name__ for node in model.graph.nodes]
    assert titles[10] == titles[6] == "ReLU"
    assert default_layer(model.graph) == placing_layer(model.graph, 4) == 10  # of 4 x 4
    assert placing_layer(model.graph, 5) == 6  # of 8 x 8
    assert placing_layer(model.graph, 17) == 10  # none is so large
    images = np.random.default_rng(0).random((2, 16, 16, 1)).astype(np.float32)
    grids = quick_gradcams(model, images, [0, 1], layer=6)
    for label, (image, grid) in enumerate(zip(images, grids, strict=True)):
        assert grid.shape == (8, 8)
        want = gradcam(model, image, label, layer=6).grid
        np.testing.assert_allclose(grid, want, atol=1e-5 * max(1e-6, want.max()))
