"""Enlargement against the definition, and its gradient against finite differences."""

import numpy as np
import pytest

from finite_differences import agree, gradient
from neocog.nn.layers import Upsample
from neocog.reference import resizing

LAYERS = [Upsample(3), Upsample((1, 2)), Upsample(2, "bilinear"), Upsample((3, 4), "bilinear")]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_gradients_agree_with_finite_differences(layer):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2, 3, 2, 2))
    dy = rng.standard_normal(resizing.forward(x, layer).shape)
    dx = resizing.backward(x, dy, layer)
    assert agree(dx, gradient(lambda v: (dy * resizing.forward(v, layer)).sum(), x))


def test_nearest_repeats_pixels():
    x = np.random.default_rng(2).standard_normal((1, 3, 2, 2))
    assert (resizing.forward(x, Upsample((2, 3))) == x.repeat(2, axis=1).repeat(3, axis=2)).all()


def test_bilinear_goes_evenly_between_the_middles_and_stays_at_the_border():
    x = np.array([0.0, 4.0, 8.0]).reshape(1, 1, 3, 1)
    assert resizing.forward(x, Upsample((1, 2), "bilinear")).ravel().tolist() == [0, 1, 3, 5, 7, 8]
    assert resizing.forward(np.full((1, 2, 3, 1), 5.0), Upsample(3, "bilinear")) == pytest.approx(5.0)
