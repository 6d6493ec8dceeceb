"""A moved image moves the maps, and fewer pixels give what Pillow gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

import neocog as nc
from conformance_cases import real_case
from conformance_networks import networks
from explain.networks import NETWORKS, make_image, make_model
from neocog.errors import DataError, SettingError, ShapeError
from neocog.explain.control import ReferenceSubject
from neocog.explain.places import downsample, moved_by, offered_sizes, shift
from neocog.explain.receptive import receptive_field
from neocog.explain.response import response_index
from neocog.explain.trace import trace
from neocog.nn.graph import Graph
from neocog.nn.shapes import ImageShape


@given(networks(), st.integers(0, 2**32 - 1), st.integers(-2, 2), st.integers(-2, 2))
def test_the_map_of_any_network_moves_with_the_image(graph: Graph, seed: int, down: int, right: int) -> None:
    case = real_case(graph, 1, seed, nc.CrossEntropy())
    model = ReferenceSubject(graph, case.parameters, tuple(map(str, range(graph.classes))))
    for node in graph.nodes:
        if not isinstance(node.output, ImageShape):
            break
        stride = receptive_field(graph, node.index).stride
        rows, columns = down * stride[0], right * stride[1]
        if abs(rows) <= graph.input.height and abs(columns) <= graph.input.width:
            found = shift(model, case.images[0], rows, columns, layer=node.index, filter=0)
            assert found.moved == (down, right)
            assert found.equal_inside in (True, None)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in ("one pixel", "without convolutions")])
def test_maps_are_those_of_the_moved_image(name: str) -> None:
    model = make_model(name)
    image = make_image(model)
    for layer, rows, columns in ((0, 1, -2), (0, -3, 0)):
        found = shift(model, image, rows, columns, layer=layer, filter=1)
        moved = np.zeros_like(image)
        for row in range(image.shape[0]):
            for column in range(image.shape[1]):
                if 0 <= row - rows < image.shape[0] and 0 <= column - columns < image.shape[1]:
                    moved[row, column] = image[row - rows, column - columns]
        np.testing.assert_allclose(found.image, moved / 255, rtol=1e-15)
        read = response_index(model.graph, layer)
        before, after = trace(model, image), trace(model, moved)
        np.testing.assert_allclose(found.before, before.output(read)[..., 1], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(found.map, after.output(read)[..., 1], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(found.probabilities, after.probabilities, rtol=1e-9)
        assert found.predicted == (after.probabilities.argmax(),)
        assert found.peak_value == found.map.max() == found.map[found.peak]
        assert found.peak_value_before == found.before.max() == found.before[found.peak_before]


def test_a_shift_that_is_no_multiple_of_the_stride_expects_nothing() -> None:
    model = make_model("article")
    image = make_image(model)
    found = shift(model, image, 1, 0, layer=3, filter=0)
    assert found.stride == (2, 2)
    assert found.moved is None
    assert found.equal_inside is None
    assert shift(model, image, 2, -2, layer=3, filter=0).moved == (1, -1)


def test_the_peak_of_a_patch_moves_with_it() -> None:
    net = nc.Sequential(nc.Conv2d(1, 3), nc.ReLU(), nc.Flatten(), nc.Linear(2))
    model = nc.Model(net, (12, 12, 1), engine="reference")
    weight = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.float32).reshape(3, 3, 1, 1)
    model.load_parameters(dict(model.parameters) | {"0.weight": weight})
    image = np.random.default_rng(0).random((12, 12, 1)) * 0.2
    image[3:6, 2:5, 0] = weight[..., 0, 0]
    found = shift(model, image, 4, 3, layer=0, filter=0, box=(3, 2, 3, 3))
    assert found.image.sum() == 5
    assert (found.peak_before, found.peak) == ((3, 2), (7, 5))
    assert found.peak_value == found.peak_value_before == 5
    assert found.equal_inside is True


def test_what_does_not_move_along_is_told() -> None:
    """A cell that saw the border before does not count; where a map truly differs, that is said."""
    model = make_model("overlapping pools")
    image = make_image(model)
    assert shift(model, image, 0, 0, layer=0, filter=0).equal_inside is True
    assert shift(model, image, 12, 0, layer=0, filter=0).equal_inside is None  # all of it has left
    assert not shift(model, image, 12, 0, layer=0, filter=0).image.any()


def test_moving_loses_what_leaves() -> None:
    grid = np.arange(6).reshape(2, 3)
    assert moved_by(grid, 0, 0).tolist() == grid.tolist()
    assert moved_by(grid, -1, 1).tolist() == [[0, 3, 4], [0, 0, 0]]
    assert not moved_by(grid, 2, 0).any()
    assert not moved_by(grid, 0, -5).any()


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "one pixel"])
def test_fewer_pixels_are_those_of_pillow(name: str) -> None:
    model = make_model(name)
    image = make_image(model)
    height, width, channels = image.shape
    for size in {1, 3, min(height, width)}:
        found = downsample(model, image, size)
        assert min(found.size) == size
        assert found.small.shape == (*found.size, channels)
        assert (found.values, found.of) == (found.small.size, image.size)
        if channels == 4:  # the last is alpha, which weighs the others
            want = np.asarray(Image.fromarray(image).resize(found.size[::-1], Image.Resampling.BILINEAR)) / 255
            np.testing.assert_array_equal(found.small, want)
        for channel in range(channels if channels < 4 else 0):
            plane = Image.fromarray(np.ascontiguousarray(image[..., channel]).astype(np.float32))
            want = np.asarray(plane.resize(found.size[::-1], Image.Resampling.BILINEAR)) / 255
            np.testing.assert_allclose(found.small[..., channel], want, rtol=0, atol=1 / 255)  # 8 bits are rounded
        for row in range(height):
            for column in range(width):
                cell = found.small[row * found.size[0] // height, column * found.size[1] // width]
                assert (found.image[row, column] == cell).all()
        shown = np.rint(found.image * 255).astype(np.uint8)
        np.testing.assert_allclose(found.probabilities, trace(model, shown).probabilities, rtol=1e-9)
        assert found.predicted == (found.probabilities.argmax(),)


def test_the_own_size_changes_nothing() -> None:
    model = make_model("colour")
    image = np.random.default_rng(0).random((10, 14, 3)).astype(np.float32)
    found = downsample(model, image, 10)
    np.testing.assert_array_equal(found.image, image)
    np.testing.assert_array_equal(found.probabilities, trace(model, image).probabilities)


def test_sizes_on_offer_end_with_the_own_one() -> None:
    assert offered_sizes(28) == tuple(range(1, 29))
    for side in (49, 96, 512):
        sizes = offered_sizes(side)
        assert sizes[0] == 1
        assert sizes[-1] == side
        assert list(sizes) == sorted(set(sizes))
        assert len(sizes) == 48


@given(networks(), st.integers(0, 2**32 - 1))
def test_any_network_answers_to_half_the_pixels(graph: Graph, seed: int) -> None:
    case = real_case(graph, 1, seed, nc.CrossEntropy())
    side = min(graph.input.height, graph.input.width)
    assume(side > 1)
    model = ReferenceSubject(graph, case.parameters, tuple(map(str, range(graph.classes))))
    found = downsample(model, case.images[0], side // 2)
    assert found.image.shape == case.images[0].shape
    assert found.probabilities.sum() == pytest.approx(1)


def test_what_does_not_fit_is_refused() -> None:
    model = make_model("article")
    image = make_image(model)
    with pytest.raises(SettingError, match="rows must be a whole number from -12 to 12, got 13"):
        shift(model, image, 13, 0, layer=0, filter=0)
    with pytest.raises(SettingError, match="columns must be a whole number"):
        shift(model, image, 0, 0.5, layer=0, filter=0)  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="filter must be a whole number from 0 to 31"):
        shift(model, image, 0, 0, layer=0, filter=32)
    with pytest.raises(SettingError, match="not feature maps"):
        shift(model, image, 0, 0, layer=7, filter=0)
    with pytest.raises(SettingError, match=r"box must be \(top, left, height, width\) inside the 12 x 12 image"):
        shift(model, image, 0, 0, layer=0, filter=0, box=(10, 0, 3, 3))
    with pytest.raises(SettingError, match="size must be a whole number from 1 to 12"):
        downsample(model, image, 13)
    with pytest.raises(ShapeError, match="the image must have the shape"):
        downsample(model, image[:3], 2)
    model.load_parameters(
        {name: np.full_like(value, np.nan) for name, value in model.parameters.items()}, allow_nonfinite=True
    )
    with pytest.raises(DataError, match=r"layer 0 \(Conv2d\) has 288 NaN values in its weight"):
        shift(model, image, 0, 0, layer=0, filter=0)
    with pytest.raises(DataError, match=r"layer 0 \(Conv2d\) has 288 NaN values in its weight"):
        downsample(model, image, 3)
