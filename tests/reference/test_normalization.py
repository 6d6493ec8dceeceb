"""Normalization of batches, of groups and of pixels: what it gives, its gradients, and running averages."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finite_differences import agree, gradient
from neocog.nn.layers import BatchNorm2d, GroupNorm, LayerNorm2d
from neocog.reference import normalization
from neocog.reference.normalization import Statistics, batch_statistics, group_statistics, pixel_statistics

shapes = st.sampled_from([(2, 3), (5, 3), (2, 4, 2, 3), (1, 2, 2, 3)])


@given(shapes, st.integers(0, 2**32 - 1))
def test_while_training_each_channel_gets_mean_0_and_variance_1(shape, seed):
    x = np.random.default_rng(seed).standard_normal(shape) * 3 + 5
    y = normalization.forward(x, batch_statistics(x), BatchNorm2d(epsilon=1e-12)).reshape(-1, 3)
    assert np.allclose(y.mean(axis=0), 0, atol=1e-9)
    assert np.allclose((y**2).mean(axis=0), 1, atol=1e-6)


@given(shapes, st.booleans(), st.integers(0, 2**32 - 1))
def test_gradients_agree_with_finite_differences(shape, training, seed):
    rng = np.random.default_rng(seed)
    layer = BatchNorm2d(epsilon=0.1)
    x, dy = rng.standard_normal(shape), rng.standard_normal(shape)
    weight, bias, mean = rng.standard_normal((3, 3))
    running = Statistics(mean, rng.random(3) + 0.5)

    def loss(x, weight, bias):
        statistics = batch_statistics(x) if training else running
        return (dy * normalization.forward(x, statistics, layer, weight, bias)).sum()

    statistics = batch_statistics(x) if training else running
    dx, of_weight, of_bias = normalization.backward(x, statistics, dy, layer, weight, training=training)
    assert agree(dx, gradient(lambda v: loss(v, weight, bias), x))
    assert agree(of_weight, gradient(lambda v: loss(x, v, bias), weight))
    assert agree(of_bias, gradient(lambda v: loss(x, weight, v), bias))
    plain, _, _ = normalization.backward(x, statistics, dy, layer, training=training)
    same, _, _ = normalization.backward(x, statistics, dy, layer, np.ones(3), training=training)
    assert (plain == same).all()


def test_running_averages_take_their_share_of_the_unbiased_variance():
    x = np.array([[1.0], [3.0], [5.0]])
    batch = batch_statistics(x)
    assert (batch.mean.item(), batch.variance.item()) == (3.0, pytest.approx(8 / 3))
    moved = normalization.moved(Statistics(np.zeros(1), np.ones(1)), batch, 3, BatchNorm2d(momentum=0.25))
    assert moved.mean.item() == pytest.approx(0.75)
    assert moved.variance.item() == pytest.approx(0.75 + 0.25 * 4)


def test_the_variance_of_a_single_value_counts_as_0():
    x = np.array([[3.0]])
    batch = batch_statistics(x)
    moved = normalization.moved(Statistics(np.zeros(1), np.ones(1)), batch, 1, BatchNorm2d(momentum=0.25))
    assert (moved.mean.item(), moved.variance.item()) == (0.75, 0.75)
    assert normalization.forward(x, batch, BatchNorm2d(), np.array([2.0]), np.array([7.0])).item() == 7.0
    dx, of_weight, of_bias = normalization.backward(x, batch, np.ones((1, 1)), BatchNorm2d(), training=True)
    assert (dx.item(), of_weight.item(), of_bias.item()) == (0.0, 0.0, 1.0)


# Groups ---------------------------------------------------------------------------------------------------------------

images = st.sampled_from([(2, 3, 2, 6, 3), (1, 2, 2, 6, 6), (3, 1, 1, 4, 2), (2, 2, 3, 5, 1)])  # and groups


def drawn(shape, seed):
    rng = np.random.default_rng(seed)
    *shape, groups = shape
    x, dy = rng.standard_normal((2, *shape)) * 2 + 1
    return GroupNorm(groups, 0.1), x, dy, *rng.standard_normal((2, shape[-1]))


@given(images, st.integers(0, 2**32 - 1))
def test_each_group_of_each_image_gets_mean_0_and_variance_1(shape, seed):
    layer, x, *_ = drawn(shape, seed)
    layer = GroupNorm(layer.groups, 1e-12)
    y = normalization.forward(x, group_statistics(x, layer), layer)
    parts = y.reshape(x.shape[0], -1, layer.groups, x.shape[-1] // layer.groups)
    assert np.allclose(parts.mean(axis=(1, 3)), 0, atol=1e-9)
    assert np.allclose((parts**2).mean(axis=(1, 3)), 1, atol=1e-6)


@given(images, st.integers(0, 2**32 - 1))
def test_gradients_of_groups_agree_with_finite_differences(shape, seed):
    layer, x, dy, weight, bias = drawn(shape, seed)

    def loss(x, weight, bias):
        return (dy * normalization.forward(x, group_statistics(x, layer), layer, weight, bias)).sum()

    dx, of_weight, of_bias = normalization.group_backward(x, dy, layer, weight)
    assert agree(dx, gradient(lambda v: loss(v, weight, bias), x))
    assert agree(of_weight, gradient(lambda v: loss(x, v, bias), weight))
    assert agree(of_bias, gradient(lambda v: loss(x, weight, v), bias))
    plain, _, _ = normalization.group_backward(x, dy, layer)
    same, _, _ = normalization.group_backward(x, dy, layer, np.ones_like(weight))
    assert (plain == same).all()


@given(images, st.integers(0, 2**32 - 1))
def test_groups_are_those_of_pytorch(shape, seed):
    torch = pytest.importorskip("torch")
    layer, x, dy, weight, bias = drawn(shape, seed)
    leaves = [torch.tensor(value, requires_grad=True) for value in (x.transpose(0, 3, 1, 2), weight, bias)]
    given = torch.group_norm(leaves[0], layer.groups, *leaves[1:], layer.epsilon)
    given.backward(torch.tensor(dy.transpose(0, 3, 1, 2)))
    want = [given.detach(), *(leaf.grad for leaf in leaves)]
    y = normalization.forward(x, group_statistics(x, layer), layer, weight, bias)
    dx, *learnt = normalization.group_backward(x, dy, layer, weight)
    for found, value in zip((y.transpose(0, 3, 1, 2), dx.transpose(0, 3, 1, 2), *learnt), want, strict=True):
        np.testing.assert_allclose(found, value.numpy(), rtol=1e-10, atol=1e-12)


def test_one_image_knows_nothing_of_the_others():
    layer, x, *_ = drawn((3, 2, 2, 4, 2), 1)
    alone = np.concatenate([normalization.normalised(one, group_statistics(one, layer), layer) for one in x[:, None]])
    assert (alone == normalization.normalised(x, group_statistics(x, layer), layer)).all()


@given(shapes, st.integers(0, 2**32 - 1))
def test_the_channels_of_each_pixel_get_mean_0_and_variance_1(shape, seed):
    x = np.random.default_rng(seed).standard_normal((*shape[:-1], 5)) * 3 + 5
    y = normalization.forward(x, pixel_statistics(x), LayerNorm2d(1e-12))
    assert np.allclose(y.mean(axis=-1), 0, atol=1e-9)
    assert np.allclose((y**2).mean(axis=-1), 1, atol=1e-6)


@given(shapes, st.integers(0, 2**32 - 1))
def test_gradients_of_pixels_agree_with_finite_differences(shape, seed):
    rng, layer = np.random.default_rng(seed), LayerNorm2d(0.1)
    x, dy = rng.standard_normal(shape), rng.standard_normal(shape)
    weight, bias = rng.standard_normal((2, shape[-1]))

    def loss(x, weight, bias):
        return (dy * normalization.forward(x, pixel_statistics(x), layer, weight, bias)).sum()

    dx, of_weight, of_bias = normalization.pixel_backward(x, dy, layer, weight)
    assert agree(dx, gradient(lambda v: loss(v, weight, bias), x))
    assert agree(of_weight, gradient(lambda v: loss(x, v, bias), weight))
    assert agree(of_bias, gradient(lambda v: loss(x, weight, v), bias))


@given(shapes, st.integers(0, 2**32 - 1))
def test_pixels_are_normalised_as_by_pytorch(shape, seed):
    torch = pytest.importorskip("torch")
    rng, layer = np.random.default_rng(seed), LayerNorm2d(0.1)
    x, dy = rng.standard_normal(shape), rng.standard_normal(shape)
    weight, bias = rng.standard_normal((2, shape[-1]))
    leaves = [torch.from_numpy(value).requires_grad_() for value in (x, weight, bias)]
    given = torch.nn.functional.layer_norm(leaves[0], shape[-1:], *leaves[1:], layer.epsilon)
    y = normalization.forward(x, pixel_statistics(x), layer, weight, bias)
    assert np.allclose(y, given.detach().numpy(), 1e-10, 1e-10)
    given.backward(torch.from_numpy(dy))
    for own, leaf in zip(normalization.pixel_backward(x, dy, layer, weight), leaves, strict=True):
        assert np.allclose(own, leaf.grad.numpy(), 1e-10, 1e-10)
