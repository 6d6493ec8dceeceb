"""Pictures, heat maps and silent filters of a report."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

import neocog as nc
from neocog.app.report import heat
from neocog.app.report.pictures import Album, picture
from neocog.app.report.silent import silent_filters
from neocog.data.arrays import ArrayDataset
from neocog.explain.gradcam import gradcam

NET = nc.Sequential(nc.Conv2d(4, 3), nc.ReLU(), nc.MaxPool2d(2), nc.Conv2d(3, 3), nc.Flatten(), nc.Linear(2))


def opened(source: str) -> Image.Image:
    """Decode a data URI."""
    return Image.open(io.BytesIO(base64.b64decode(source.split(",")[1])))


@pytest.fixture
def model() -> nc.Model:
    """A small network on images of 12 x 12 pixels."""
    return nc.Model(NET, (12, 12, 1), engine="reference", seed=4)


@pytest.fixture
def images() -> ArrayDataset:
    """Forty images without any pattern."""
    pixels = np.random.default_rng(3).integers(0, 256, (40, 12, 12, 1)).astype(np.uint8)
    return ArrayDataset(pixels, np.arange(40) % 2, ["0", "1"])


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_small_images_are_kept_exactly(channels: int) -> None:
    image = np.random.default_rng(channels).integers(0, 256, (9, 7, channels)).astype(np.uint8)
    shown = np.asarray(opened(picture(image)))
    want = image if channels in (3, 4) else image[:, :, 0]
    np.testing.assert_array_equal(shown, want)


def test_floating_point_images_are_shown_as_bytes() -> None:
    image = np.linspace(0, 1, 25, dtype=np.float32).reshape(5, 5, 1)
    np.testing.assert_array_equal(np.asarray(opened(picture(image))), np.round(image[:, :, 0] * 255))


def test_large_images_are_small_jpegs_of_the_same_shape() -> None:
    shown = opened(picture(np.full((300, 200, 4), 128, np.uint8)))
    assert (shown.format, shown.size) == ("JPEG", (75, 112))


def test_an_album_takes_no_more_than_there_is_room_for(model: nc.Model, images: ArrayDataset) -> None:
    one = len(picture(images.images()[0]))
    album = Album(images, model, room=one * 3)
    taken = [album.add(index) for index in range(40)]
    assert 1 <= sum(taken) < 40
    assert sum(map(len, album.sources.values())) <= one * 3
    assert album.add(0)  # it is there already


def test_silent_filters_are_those_whose_bias_keeps_them_down(model: nc.Model, images: ArrayDataset) -> None:
    values = {name: np.array(value) for name, value in model.parameters.items()}
    values["0.bias"] = np.array([-1000, 0.5, 0.5, -1000], np.float32)
    model.load_parameters(values)
    found = silent_filters(model, images)
    # the second convolution has no activation behind it, and so says nothing by values below 0
    assert found == {"images": 40, "of": 40, "layers": [{"layer": 0, "name": "0", "filters": 4, "silent": [0, 3]}]}


def test_heat_is_that_of_grad_cam(model: nc.Model, images: ArrayDataset) -> None:
    pixels, classes = images.images()[:5], np.array([0, 1, 0, 1, 1])
    found = heat.grids(model, pixels, classes)
    for image, label, grid in zip(pixels, classes.tolist(), found.grids, strict=True):
        want = gradcam(model, image, label, layer=found.layer)
        assert min(want.grid.shape) >= heat.SIDES
        scale = want.grid.max() or 1.0
        np.testing.assert_allclose(grid / 255, want.grid / scale, atol=0.5 / 255 + 1e-4)


def test_large_networks_get_fewer_heat_maps(model: nc.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    assert heat.affordable(model.graph, range(48)) == list(range(48))
    monkeypatch.setattr(heat, "WORK", 1)
    assert heat.affordable(model.graph, range(48)) == [0, 1, 2, 3]
