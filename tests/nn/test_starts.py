import numpy as np
import pytest

from neocog.errors import ShapeError
from neocog.nn.starts import dirac, uniform, whitening


@pytest.mark.parametrize(("inputs", "filters"), [(3, 5), (5, 3), (4, 4)])
def test_the_first_filters_pass_their_input_on(inputs, filters):
    torch = pytest.importorskip("torch")
    drawn = np.random.default_rng(0).normal(size=(3, 5, inputs, filters)).astype(np.float32)
    begun = dirac(drawn)
    first = min(inputs, filters)
    theirs = torch.from_numpy(np.ascontiguousarray(drawn.transpose(3, 2, 0, 1)))
    torch.nn.init.dirac_(theirs[:inputs])
    assert (begun.transpose(3, 2, 0, 1) == theirs.numpy()).all()
    assert (begun[..., first:] == drawn[..., first:]).all()
    assert (drawn == np.random.default_rng(0).normal(size=drawn.shape).astype(np.float32)).all()  # a copy


def test_filters_without_a_middle_pass_nothing_on():
    with pytest.raises(ShapeError, match="need a middle, got 2 x 3 pixels"):
        dirac(np.zeros((2, 3, 1, 1), np.float32))


def test_uniform_weights_are_within_their_bound_and_hang_on_seed_and_name():
    begun = uniform(np.zeros((3, 3, 16, 200), np.float32), "0.weight")
    assert begun.dtype == np.float32
    assert 0.999 / 12 < np.abs(begun).max() <= 1 / 12  # √(3 · 3 · 16) = 12
    assert abs(begun.std() * 12 * np.sqrt(3) - 1) < 0.01
    same, other, more = (
        uniform(begun, name, seed) for name, seed in (("0.weight", 0), ("1.weight", 0), ("0.weight", 1))
    )
    assert (same == begun).all()
    assert (other != begun).any()
    assert (more != begun).any()


def test_whitened_patches_are_uncorrelated_and_of_variance_1():
    stream = np.random.default_rng(0)
    rough = stream.normal(size=(20, 12, 12, 3))
    images = rough + np.roll(rough, 1, axis=2) + 2 * rough[..., :1]  # neighbours and channels alike
    filters = whitening(images, epsilon=0.0)
    assert filters.shape == (2, 2, 3, 24)
    assert (filters[..., :12] == -filters[..., 12:]).all()
    patches = np.lib.stride_tricks.sliding_window_view(
        images, (2, 2), axis=(1, 2)
    )  # (N, rows, columns, channels, 2, 2)
    answers = np.einsum("nxycij,ijck->nxyk", patches, filters[..., :12]).reshape(-1, 12)
    moments = answers.T @ answers / len(answers)
    assert np.allclose(moments, np.eye(12), atol=1e-4)
    # components in the order of their variance, so that filters grow
    norms = np.linalg.norm(filters[..., :12].reshape(12, 12), axis=0)
    assert (np.diff(norms) > 0).all()


def test_what_is_hardly_there_is_not_blown_up():
    images = np.ones((3, 4, 4, 1)) + 1e-9 * np.arange(16).reshape(1, 4, 4, 1)
    assert np.abs(whitening(images, epsilon=1e-2)).max() <= 10.0 + 1e-3  # 1 / √epsilon


def test_whitening_needs_images_of_a_patch_or_more():
    with pytest.raises(ShapeError, match="patches of 3 x 3 pixels need images"):
        whitening(np.zeros((4, 2, 5, 1)), kernel=3)
