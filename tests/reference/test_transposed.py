"""The transposed convolution: the adjoint of a convolution, and its gradients against finite differences."""

import numpy as np
import pytest

from finite_differences import agree, gradient
from neocog.nn.layers import Conv2d, ConvTranspose2d
from neocog.nn.window import pair
from neocog.reference import conv, transposed

LAYERS = [
    ConvTranspose2d(3, 3),
    ConvTranspose2d(2, 2, 2),
    ConvTranspose2d(3, (3, 2), (2, 3), (1, 0), (1, 2)),
    ConvTranspose2d(1, 1, 2),
]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_it_is_the_adjoint_of_the_convolution_with_its_settings(layer):
    rng = np.random.default_rng(1)
    x, weight = rng.standard_normal((2, 3, 4, 5)), rng.standard_normal((*pair(layer.kernel), layer.channels, 5))
    y = transposed.forward(x, weight, layer)
    large = rng.standard_normal(y.shape)
    small = conv.forward(large, weight, Conv2d(5, layer.kernel, layer.stride, layer.padding))
    assert small.shape == x.shape
    assert (y * large).sum() == pytest.approx((x * small).sum(), rel=1e-12)


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_gradients_agree_with_finite_differences(layer):
    rng = np.random.default_rng(2)
    x, weight = rng.standard_normal((2, 2, 3, 2)), rng.standard_normal((*pair(layer.kernel), layer.channels, 2))
    bias = rng.standard_normal(layer.channels)
    dy = rng.standard_normal(transposed.forward(x, weight, layer).shape)
    dx, dw, db = transposed.backward(x, weight, dy, layer)
    assert agree(dx, gradient(lambda v: (dy * transposed.forward(v, weight, layer, bias)).sum(), x))
    assert agree(dw, gradient(lambda v: (dy * transposed.forward(x, v, layer, bias)).sum(), weight))
    assert agree(db, gradient(lambda v: (dy * transposed.forward(x, weight, layer, v)).sum(), bias))
