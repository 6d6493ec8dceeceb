"""Softmax over channels agrees with float64, forward and backward, and leaves zeros in lanes past the channels."""

from __future__ import annotations

import numpy as np
import pytest

from emit_functions import targets
from emit_ops import Bench, memory_of, tensor_of
from neocog.plan.layout import Halo
from neocog.plan.ops.softmax import SoftmaxBackward, SoftmaxForward

U = 2.0**-24
CHANNELS = (1, 3, 10, 16, 17, 64, 71)
EVERY = pytest.mark.parametrize("channels", CHANNELS)
ON_EACH = pytest.mark.parametrize("name", sorted(targets()))


def forward(name: str, x: np.ndarray, runs: int = 1) -> np.ndarray:
    target = targets()[name]
    tensors = [tensor_of(target, tensor, x.shape, halo) for tensor, halo in (("x", Halo(1, 2, 0, 1)), ("y", Halo()))]
    bench = Bench(target, SoftmaxForward("softmax", *tensors))
    bench.put("x", x)
    return bench.run(runs)["y"]


def softmax(x: np.ndarray) -> np.ndarray:
    power = np.exp(x - x.max(axis=-1, keepdims=True))
    return power / power.sum(axis=-1, keepdims=True)


@ON_EACH
@EVERY
def test_forward_stays_within_its_rounding_bound(name: str, channels: int) -> None:
    x = (np.random.default_rng(1).standard_normal((2, 3, 2, channels)) * 5).astype(np.float32)
    want = softmax(x.astype(np.float64))
    far = x.max(axis=-1, keepdims=True) - x.astype(np.float64)
    # x - max is rounded; exponentials have three roundings; then the sum, and the division and product.
    limit = want * U * (far + far.max(axis=-1, keepdims=True) + 2 * 3 + channels + 2)
    assert (np.abs(forward(name, x) - want) <= limit).all()


@EVERY
def test_forward_in_several_runs_gives_the_same_bits(channels: int) -> None:
    x = np.random.default_rng(2).standard_normal((2, 3, 2, channels)).astype(np.float32)
    assert forward("host", x, runs=5).tobytes() == forward("host", x).tobytes()


def test_shares_of_very_negative_values_add_up_to_one() -> None:
    x = np.array([[[[-300, -301, -1e30]]]], np.float32)
    assert np.allclose(forward("host", x), softmax(x.astype(np.float64)), rtol=1e-6, atol=0)


def test_large_values_do_not_overflow_and_a_nan_fills_its_own_pixel_only() -> None:
    x = np.array([[[[1e38, 1e38, -1e38], [-np.inf, 0, 0], [np.nan, 0, 0]]]], np.float32)
    got = forward("host", x)[0, 0]
    assert got[:2].tolist() == [[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]]
    assert np.isnan(got[2]).all()


@ON_EACH
@EVERY
def test_backward_stays_within_its_rounding_bound(name: str, channels: int) -> None:
    random = np.random.default_rng(3)
    shape = (2, 2, 3, channels)
    y = softmax(random.standard_normal(shape) * 2).astype(np.float32)
    dy = random.standard_normal(shape).astype(np.float32)
    target = targets()[name]
    halos = {"y": Halo(), "dy": Halo(1, 0, 1, 0), "dx": Halo(0, 1, 2, 1)}
    op = SoftmaxBackward("softmax", *(tensor_of(target, tensor, shape, halo) for tensor, halo in halos.items()))

    def run(runs: int) -> dict[str, np.ndarray]:
        bench = Bench(target, op)
        bench.put("y", y)
        bench.put("dy", dy)
        return bench.run(runs)

    wide, slope = y.astype(np.float64), dy.astype(np.float64)
    total, size = ((values * wide).sum(axis=-1, keepdims=True) for values in (slope, np.abs(slope)))
    want = wide * (slope - total)
    limit = wide * U * ((channels + 1) * size + 2.1 * (np.abs(slope) + np.abs(total)))
    got = run(1)
    assert (np.abs(got["dx"] - want) <= limit).all()
    assert memory_of(run(3)) == memory_of(got)


def test_a_nan_gradient_fills_the_channels_of_its_own_pixel_only() -> None:
    target, shape = targets()["host"], (1, 1, 2, 3)
    bench = Bench(target, SoftmaxBackward("softmax", *(tensor_of(target, name, shape) for name in ("y", "dy", "dx"))))
    bench.put("y", np.full(shape, 0.25, np.float32))
    bench.put("dy", np.array([[[[np.nan, 0, 0], [4, 4, 4]]]], np.float32))
    assert np.isnan(bench.run()["dx"][0, 0]).tolist() == [[True] * 3, [False] * 3]
