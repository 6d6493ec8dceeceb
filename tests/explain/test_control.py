"""The random-weights control and its measure."""

from __future__ import annotations

import numpy as np
import pytest

from explain.networks import make_image, make_model
from neocog.errors import SettingError, ShapeError
from neocog.explain.control import ReferenceSubject, randomised, rank_correlation, rank_correlations
from neocog.explain.gradcam import gradcam
from neocog.explain.occlusion import occlusion
from neocog.explain.patches import top_patches
from neocog.nn.parameters import initial_parameters
from neocog.train.model import Model


def test_a_model_keeps_its_engine_and_stays_as_it_is() -> None:
    model = make_model("article")
    before = {name: value.copy() for name, value in model.parameters.items()}
    images = np.stack([make_image(model, seed=seed) for seed in range(5)])
    logits = model(images)
    drawn = randomised(model, 7)
    assert isinstance(drawn, Model)
    assert drawn.engine == model.engine
    assert drawn.graph == model.graph
    assert drawn.class_names == model.class_names
    for name, value in initial_parameters(model.graph, 7).items():
        np.testing.assert_array_equal(drawn.parameters[name], value)
        np.testing.assert_array_equal(model.parameters[name], before[name])
    assert (drawn(images) != logits).any()
    np.testing.assert_array_equal(model(images), logits)


def test_any_other_subject_is_computed_by_the_reference() -> None:
    model = make_model("stride and dilation")
    plain = ReferenceSubject(model.graph, model.parameters, model.class_names)
    images = np.stack([make_image(model, seed=seed) for seed in range(70)])  # more than one chunk
    np.testing.assert_allclose(plain(images), model(images), rtol=1e-6)
    for index, peaks in model.peaks(images).items():
        np.testing.assert_allclose(plain.peaks(images)[index], peaks, rtol=1e-6)
    drawn = randomised(plain, 7)
    assert isinstance(drawn, ReferenceSubject)
    np.testing.assert_allclose(drawn(images), randomised(model, 7)(images), rtol=1e-6)
    assert plain(images[:0]).shape == (0, 3)


def test_every_picture_can_be_had_for_it() -> None:
    model = make_model("article")
    drawn, image = randomised(model, 1), make_image(model)
    images = np.stack([make_image(model, seed=seed) for seed in range(40)])
    one, other = (top_patches(subject, images, 3, keep_peaks=True).peaks for subject in (model, drawn))
    assert one is not None
    assert other is not None
    found = rank_correlations(one, other)
    assert found.shape == (64,)
    assert (np.abs(found[np.isfinite(found)]) <= 1).all()
    assert rank_correlation(occlusion(model, image, 0).map, occlusion(drawn, image, 0).map) is not None
    assert gradcam(drawn, image, 0).layer == gradcam(model, image, 0).layer


def test_a_seed_out_of_range_is_refused() -> None:
    with pytest.raises(SettingError, match="seed must lie between"):
        randomised(make_model("article"), -1)


def ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks with loops: smaller values, and half of the other equal ones."""
    return np.array([sum(o < v for o in values) + (sum(o == v for o in values) - 1) / 2 for v in values])


def test_correlations_are_those_of_average_ranks() -> None:
    rng = np.random.default_rng(0)
    for levels in (2, 4, 1000):
        for _ in range(20):
            one, other = rng.integers(0, levels, (2, 30)).astype(float)
            want = np.corrcoef(ranks(one), ranks(other))[0, 1]
            assert rank_correlation(one.reshape(5, 6), other.reshape(5, 6)) == pytest.approx(want, abs=1e-12)


def test_the_same_order_is_one_and_the_reverse_minus_one() -> None:
    values = np.array([3.0, -1.0, 10.0, 2.0])
    assert rank_correlation(values, np.exp(values)) == pytest.approx(1)
    assert rank_correlation(values, -values) == pytest.approx(-1)


@pytest.mark.parametrize("values", [[1.0, 1.0, 1.0], [1.0, np.nan, 2.0]])
def test_without_an_order_there_is_no_correlation(values: list[float]) -> None:
    assert rank_correlation(np.array(values), np.array([1.0, 2.0, 3.0])) is None
    assert rank_correlation(np.array([1.0, 2.0, 3.0]), np.array(values)) is None
    columns = np.array([values, [1.0, 2.0, 3.0]]).T
    found = rank_correlations(columns, columns)
    assert np.isnan(found[0])
    assert found[1] == pytest.approx(1)


def test_arrays_of_different_shapes_are_refused() -> None:
    assert rank_correlation(np.ones(1), np.ones(1)) is None
    with pytest.raises(ShapeError, match=r"got \(2,\) and \(3,\)"):
        rank_correlation(np.ones(2), np.ones(3))
    with pytest.raises(ShapeError, match=r"shape \(N, K\)"):
        rank_correlations(np.ones(2), np.ones(2))
