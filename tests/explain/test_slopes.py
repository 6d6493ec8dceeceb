"""Gradients of pixels by NumPy and by the model's engine: both within rounding of the reference."""

from __future__ import annotations

import numpy as np
import pytest

import neocog as nc
from conformance_bounds import value_bounds, within
from conformance_cases import Case
from neocog.explain import slopes
from neocog.explain.maximise import maximise
from neocog.explain.slopes import COMPILED, slopes_by
from neocog.nn.losses import CrossEntropy

NET = nc.Sequential(
    *(nc.Conv2d(5, 3, padding=1), nc.ReLU(), nc.MaxPool2d(2)),
    *(nc.Residual(nc.Sequential(nc.Conv2d(5, 3, padding=1), nc.ReLU())), nc.Conv2d(4, 3)),
)


def make() -> nc.Model:
    return nc.Model(NET, (14, 13, 3), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25), seed=5)


@pytest.mark.parametrize("work", [0, COMPILED], ids=["NumPy", "the engine"])
def test_pixels_of_a_unit_that_moves_have_the_references_gradient(work: int) -> None:
    model, rng = make(), np.random.default_rng(0)
    find = slopes_by(model, model.graph, dict(model.parameters), work)
    for unit in ((0, 1, 2, 3), (0, 3, 0, 1), (0, 3, 0, 1)):  # the last time, it is the one before
        image = rng.random((1, 14, 13, 3), np.float32)

        def one(output: np.ndarray, unit: tuple[int, ...] = unit) -> np.ndarray:
            chosen = np.zeros_like(output)
            chosen[unit] = 1
            return chosen

        output, gradient = find(image, one)
        case = Case(model.graph, dict(model.parameters), image, np.zeros(1), CrossEntropy(), 1, 0)
        bounds = value_bounds(case, one(output))
        std = np.array(model.graph.normalisation.std)
        exact, limit = bounds.gradients[-1] / std, bounds.of_gradients[-1] / std
        assert within(output, bounds.logits, bounds.of_logits)
        assert within(gradient, exact, limit + 2.0**-22 * np.abs(exact))  # rounding std, and dividing by it


def test_an_image_that_the_engine_found_does_as_well_as_one_that_numpy_found(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    program = nc.Model.gradient_program
    monkeypatch.setattr(nc.Model, "gradient_program", lambda *given: asked.append(given) or program(*given))
    plain = maximise(make(), -1, 1)
    assert not asked
    monkeypatch.setattr(slopes, "COMPILED", 0)
    found = maximise(make(), -1, 1)
    assert len(asked) == 1
    # Both climb for 48 steps, whose lengths fall to a fiftieth of a pixel: rounding may part their ways by less.
    assert found.value == pytest.approx(plain.value, rel=0.02)
    assert np.abs(found.image - plain.image).mean() < 0.02


def test_an_engine_without_gradients_leaves_them_to_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nc.Model, "gradient_program", lambda *given: None)
    model = make()
    find = slopes_by(model, model.graph, dict(model.parameters), COMPILED)
    output, gradient = find(np.full((1, 14, 13, 3), 0.5, np.float32), np.ones_like)
    assert output.shape == (1, 5, 4, 4)
    assert gradient.shape == (1, 14, 13, 3)
