"""The patches that filters answer most to, against a naive loop over the reference in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neocog as nc
from conformance_cases import real_case
from conformance_networks import networks
from explain.networks import NETWORKS, make_model
from explain.trained import held_out, trained_model
from neocog.errors import DataError, SettingError, ShapeError
from neocog.explain.contenders import NEAR, find_contenders
from neocog.explain.control import ReferenceSubject
from neocog.explain.patches import Patches, top_patches
from neocog.explain.receptive import field_or_whole
from neocog.explain.response import response_index, run_to
from neocog.explain.subject import Subject, exact_parameters, no_progress
from neocog.nn.layers import Conv2d


def convolutions(model: Subject) -> list[int]:
    """List the indices of a network's convolutions."""
    return [node.index for node in model.graph.nodes if isinstance(node.layer, Conv2d)]


def naive(model: Subject, images: np.ndarray, layer: int, count: int) -> tuple[np.ndarray, ...]:
    """Find values (K, count), images (K, count) and positions (K, count, 2) with loops, rounded as values are told."""
    graph, parameters = model.graph, exact_parameters(model)
    read = response_index(graph, layer)
    maps = [run_to(graph, parameters, image[None], read).outputs[-1][0].astype(np.float32) for image in images]
    filters = graph.nodes[layer].output.channels
    values = np.zeros((filters, count), np.float32)
    chosen, places = np.full((filters, count), -1), np.full((filters, count, 2), -1)
    for filter in range(filters):
        answers = sorted((-one[..., filter].max(), image) for image, one in enumerate(maps))
        for rank, (answer, image) in enumerate([pair for pair in answers if pair[0] < 0][:count]):
            values[filter, rank], chosen[filter, rank] = -answer, image
            where = np.argwhere(maps[image][..., filter] == -answer)
            places[filter, rank] = where[0]
    return values, chosen, places


def naive_crop(image: np.ndarray, box: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Cut a box out of an image pixel by pixel; beyond the border 0."""
    height, width, channels = image.shape
    cut = np.zeros((*size, channels))
    for row in range(size[0]):
        for column in range(size[1]):
            at = box[0] + row if box[2] <= size[0] else row, box[1] + column if box[3] <= size[1] else column
            if 0 <= at[0] < height and 0 <= at[1] < width:
                cut[row, column] = image[at] / (255 if image.dtype == np.uint8 else 1)
    return cut


def check(found: Patches, model: Subject, images: np.ndarray, count: int) -> None:
    """Hold what was found to the naive loop."""
    values, chosen, places = naive(model, images, found.layer, count)
    np.testing.assert_array_equal(found.images, chosen)
    np.testing.assert_array_equal(found.positions, places)
    np.testing.assert_allclose(found.values, values, rtol=1e-5)
    np.testing.assert_array_equal(found.maximum, found.values[:, 0])
    assert found.dead == tuple(np.flatnonzero(chosen[:, 0] < 0))
    field = field_or_whole(model.graph, found.layer)
    for filter, rank in np.argwhere(chosen >= 0):
        assert found.boxes[filter, rank].tolist() == list(field.box(*places[filter, rank]))
        crop = naive_crop(images[chosen[filter, rank]], found.boxes[filter, rank], found.crops.shape[2:4])
        np.testing.assert_allclose(found.crops[filter, rank], crop, rtol=1e-6)
    assert not found.crops[chosen < 0].any()


@given(networks(), st.integers(0, 2**32 - 1))
def test_patches_of_any_network_are_those_of_a_naive_loop(graph: Any, seed: int) -> None:
    case = real_case(graph, 12, seed, nc.CrossEntropy())
    model = ReferenceSubject(graph, case.parameters, tuple(map(str, range(graph.classes))))
    if not convolutions(model):
        with pytest.raises(SettingError, match="this network has none"):
            top_patches(model, case.images)
        return
    for found in top_patches(model, case.images, count=3).values():
        check(found, model, case.images, 3)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "without convolutions"])
@pytest.mark.parametrize("kind", ["random", "few levels"])
def test_patches_of_the_networks_are_those_of_a_naive_loop(name: str, kind: str) -> None:
    model = make_model(name)
    rng = np.random.default_rng(8)
    images = rng.integers(0, 256, (14, *model.input_shape)).astype(np.uint8)
    if kind == "few levels":  # equal values abound
        images = (images > 127).astype(np.uint8) * np.uint8(255)
        images[3], images[9] = images[1], images[0]
    found = top_patches(model, images, count=4)
    assert sorted(found) == convolutions(model)
    for patches in found.values():
        check(patches, model, images, 4)


@pytest.mark.data
def test_patches_of_a_trained_network_are_those_of_a_naive_loop() -> None:
    model = trained_model()
    images, labels = held_out(1000)
    for found in top_patches(model, images, labels=labels).values():
        check(found, model, images, 9)
        assert (found.labels[found.images >= 0] == labels[found.images[found.images >= 0]]).all()
        assert (found.labels[found.images < 0] == -1).all()


def test_of_equal_images_the_first_comes_first() -> None:
    model = make_model("article")
    one = np.random.default_rng(0).integers(0, 256, (1, *model.input_shape)).astype(np.uint8)
    found = top_patches(model, np.repeat(one, 300, axis=0), 0)
    assert isinstance(found, Patches)
    alive = found.images[:, 0] >= 0
    assert alive.any()
    assert (found.images[alive] == np.arange(9)).all()


def test_a_silent_filter_is_listed_as_dead() -> None:
    model = make_model("article")
    values = {name: value.copy() for name, value in model.parameters.items()}
    values["0.weight"][..., 5], values["0.bias"][5] = 0, -1
    model.load_parameters(values)
    found = top_patches(model, np.random.default_rng(0).random((20, *model.input_shape)), "0")
    assert 5 in found.dead
    assert (found.images[5] == -1).all()
    assert found.maximum[5] == 0


def test_fewer_images_than_places_leave_places_empty() -> None:
    model = make_model("colour")
    found = top_patches(model, np.random.default_rng(0).random((2, *model.input_shape)), 0, count=5)
    assert (found.images[:, 2:] == -1).all()
    assert found.looked_at == 2


def test_images_may_come_from_anything_that_is_counted_and_indexed() -> None:
    model = make_model("grey")
    images = np.random.default_rng(0).integers(0, 256, (700, 28, 28, 1)).astype(np.uint8)

    class Rows:
        most = 0

        def __len__(self) -> int:
            return len(images)

        def __getitem__(self, rows: Any) -> np.ndarray:
            assert isinstance(rows, slice) or (np.diff(rows) > 0).all()
            self.most = max(self.most, len(images[rows]))
            return images[rows]

    found, same = top_patches(model, Rows(), 0), top_patches(model, images, 0)
    np.testing.assert_array_equal(found.images, same.images)
    np.testing.assert_array_equal(found.crops, same.crops)


def test_peaks_of_all_images_are_kept_on_request() -> None:
    model = make_model("grey")
    images = np.random.default_rng(0).random((300, 28, 28, 1))
    found = top_patches(model, images, 3, keep_peaks=True)
    np.testing.assert_array_equal(found.peaks, model.peaks(images)[3])
    assert top_patches(model, images, 3).peaks is None


def test_contenders_hold_all_that_come_near_the_last_place() -> None:
    class Fake:
        graph = make_model("colour").graph

        def peaks(self, images: np.ndarray) -> dict[int, np.ndarray]:
            return {0: images[:, 0, 0, :1] * np.ones(5, np.float32)}

    rng = np.random.default_rng(0)
    values = np.r_[1.0, np.full(500, 0.9), 0.9 - NEAR / 2, rng.random(5000) * 0.8].astype(np.float32)
    order = rng.permutation(len(values))
    images = np.broadcast_to(values[order, None, None, None], (len(values), 10, 14, 3))
    filters, found = find_contenders(Fake(), images, (0,), 4, no_progress)[0]  # type: ignore[arg-type]
    mine = found[filters == 2]
    equal = np.flatnonzero(values[order] == np.float32(0.9))
    assert mine.tolist() == sorted([*np.flatnonzero(order == 0), *equal[:4], *np.flatnonzero(order == 501)])


def test_progress_rises_to_one_and_may_cancel() -> None:
    model = make_model("article")
    images = np.random.default_rng(0).random((600, 12, 12, 1))
    told: list[float] = []
    top_patches(model, images, progress=lambda done, what: told.append(done))
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1)

    def cancel(done: float, what: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        top_patches(model, images, progress=cancel)


def test_weights_that_are_no_numbers_are_refused_where_they_matter() -> None:
    model = make_model("article")
    values = {name: value.copy() for name, value in model.parameters.items()}
    values["3.weight"][0, 0, 0, 2] = np.nan
    model.load_parameters(values, allow_nonfinite=True)
    images = np.random.default_rng(0).random((4, 12, 12, 1))
    with pytest.raises(DataError, match=r"layer 3 \(Conv2d\) has 1 values in 3.weight that are NaN or infinite"):
        top_patches(model, images)
    assert top_patches(model, images, 0).looked_at == 4


def test_peaks_that_overflow_are_refused() -> None:
    model = make_model("article")
    model.load_parameters({name: np.full_like(value, 3e38) for name, value in model.parameters.items()})
    with (
        np.errstate(all="ignore"),
        pytest.raises(DataError, match=r"layer 0 \(Conv2d\) gives NaN or infinite values on image 0"),
    ):
        top_patches(model, np.ones((2, 12, 12, 1)), 0)


def test_what_does_not_fit_is_refused() -> None:
    model = make_model("article")
    images = np.zeros((3, 12, 12, 1), np.uint8)
    with pytest.raises(SettingError, match="layer 1 must be a Conv2d, it is a ReLU"):
        top_patches(model, images, 1)
    with pytest.raises(SettingError, match="count must be a whole number of at least 1, got 0"):
        top_patches(model, images, 0, count=0)
    with pytest.raises(ShapeError, match=r"images must have the shape \(N, 12, 12, 1\), got \(N, 9, 9, 1\)"):
        top_patches(model, np.zeros((3, 9, 9, 1)), 0)
    with pytest.raises(ShapeError, match="labels must be as many as the images, 3, got the shape"):
        top_patches(model, images, 0, labels=np.zeros(2))
    with pytest.raises(DataError, match="there are no images"):
        top_patches(model, images[:0], 0)
    assert top_patches(model, images[..., 0], 0).looked_at == 3
