"""Local response normalization: values worked out by hand, gradients, PyTorch as an oracle."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finite_differences import agree, gradient
from neocog.errors import SettingError, ShapeError
from neocog.nn.layers import LocalResponseNorm
from neocog.nn.shapes import ImageShape, VectorShape
from neocog.reference.local_response import backward, forward

layers = st.builds(
    LocalResponseNorm,
    *(st.integers(1, 9), st.sampled_from([0.0, 1e-4, 0.5, 3.0])),
    *(st.sampled_from([0.0, 0.5, 0.75, 1.0, 2.5]), st.sampled_from([0.5, 1.0, 2.0])),
)
shapes = st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 3), st.integers(1, 7))


def test_windows_look_as_far_forward_as_back_and_an_even_one_further_back():
    x = np.array([[[[1.0, 2.0, 3.0, 4.0]]]])
    assert forward(x, LocalResponseNorm(3, 3.0, 1.0, 1.0)).ravel() == pytest.approx([1 / 6, 2 / 15, 3 / 30, 4 / 26])
    assert forward(x, LocalResponseNorm(2, 2.0, 1.0, 1.0)).ravel() == pytest.approx([1 / 2, 2 / 6, 3 / 14, 4 / 26])
    assert forward(x, LocalResponseNorm(1, 1.0, 0.5, 1.0)).ravel() == pytest.approx(
        [n / np.hypot(n, 1) for n in x[0, 0, 0]]
    )


@given(layers, shapes, st.integers(0, 2**32 - 1))
def test_gradients_agree_with_finite_differences(layer, shape, seed):
    x, dy = np.random.default_rng(seed).standard_normal((2, *shape))
    assert agree(backward(x, dy, layer), gradient(lambda v: (dy * forward(v, layer)).sum(), x))


@given(layers, shapes, st.integers(0, 2**32 - 1))
def test_it_computes_what_pytorch_does(layer, shape, seed):
    torch = pytest.importorskip("torch")
    x, dy = np.random.default_rng(seed).standard_normal((2, *shape))
    leaf = torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
    given = torch.nn.functional.local_response_norm(leaf, layer.size, layer.alpha, layer.beta, layer.k)
    given.backward(torch.tensor(dy.transpose(0, 3, 1, 2)))
    np.testing.assert_allclose(forward(x, layer).transpose(0, 3, 1, 2), given.detach(), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(backward(x, dy, layer).transpose(0, 3, 1, 2), leaf.grad, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 0}, "size must be an integer of at least 1, got 0"),
        ({"size": 5, "alpha": -1.0}, "alpha must be at least 0, got -1.0"),
        ({"size": 5, "beta": float("nan")}, "beta must be at least 0, got nan"),
        ({"size": 5, "k": 0}, "k must be above 0, got 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(SettingError, match=f"LocalResponseNorm: {message}"):
        LocalResponseNorm(**settings)


def test_it_takes_images_with_no_more_work_than_may_be():
    with pytest.raises(ShapeError, match="LocalResponseNorm needs"):
        LocalResponseNorm(5).output_shape(VectorShape(8))
    wide = ImageShape(1, 1, 1 << 23)
    assert LocalResponseNorm(5).output_shape(wide) == wide
    with pytest.raises(ShapeError, match=r"LocalResponseNorm looks at .* values an image"):
        LocalResponseNorm(1 << 23).output_shape(wide)
