"""The statistics of an image's groups agree with float64, and so does what their gradient needs."""

from __future__ import annotations

import numpy as np
import pytest

from emit_functions import targets
from emit_ops import Bench, memory_of, tensor_of
from neocog.plan.layout import Halo, Tensor, operand
from neocog.plan.ops.norm import GroupGradient, GroupStatistics
from neocog.target.processor import Target

U = 2.0**-24
EPSILON = 1e-5
IMAGES, HEIGHT, WIDTH = 3, 2, 5
PIXELS = HEIGHT * WIDTH
GROUPS = [(1, 1), (6, 2), (12, 4), (17, 17), (20, 4), (32, 8), (35, 5), (71, 1)]
EVERY = pytest.mark.parametrize(("channels", "groups"), GROUPS)
ON_EACH = pytest.mark.parametrize("name", sorted(targets()))


def gamma(n: int) -> float:
    """Bound the relative error that n roundings leave."""
    return n * U / (1 - n * U)


def over_groups(values: np.ndarray, groups: int) -> np.ndarray:
    """Return the mean over all pixels of each group of (N, H, W, C), for each channel, (N, 1, 1, C)."""
    count, height, width, channels = values.shape
    means = values.astype(np.float64).reshape(count, height, width, groups, -1).mean(axis=(1, 2, 4))
    return np.repeat(means, channels // groups, axis=1)[:, None, None]


def point(target: Target, name: str, channels: int, images: int = IMAGES) -> Tensor:
    return tensor_of(target, name, (images, 1, 1, channels))


def statistics(name: str, x: np.ndarray, groups: int, runs: int = 1) -> dict[str, np.ndarray]:
    target, (images, *_, channels) = targets()[name], x.shape
    mean, inverse = (point(target, what, channels, images) for what in ("mean", "inverse"))
    source = tensor_of(target, "x", x.shape, Halo(1, 2, 0, 1))
    bench = Bench(target, GroupStatistics("statistics", source, mean, inverse, groups, EPSILON))
    bench.put("x", x)
    return bench.run(runs)


@ON_EACH
@EVERY
@pytest.mark.parametrize("far", [0.0, 10_000.0])
def test_statistics_stay_within_their_rounding_bounds(name: str, channels: int, groups: int, far: float) -> None:
    """Also where all values lie far from 0: there, sums of the values themselves would lose the deviation."""
    rng = np.random.default_rng(channels)
    x = (rng.standard_normal((IMAGES, HEIGHT, WIDTH, channels)) * rng.uniform(0.5, 4, channels) + far).astype("f4")
    found = statistics(name, x, groups)
    exact = x.astype(np.float64)
    mean = over_groups(exact, groups)
    # The differences from the first pixel are rounded, and added up; then the mean is.
    of_mean = gamma(PIXELS + 1) * over_groups(np.abs(exact - exact[:, :1, :1]), groups) + gamma(1) * np.abs(mean)
    assert (np.abs(-found["mean"] - mean) <= of_mean).all()
    away = np.abs(exact - mean)
    off = of_mean + gamma(1) * (away + of_mean)
    variance = over_groups(away**2, groups)
    of_variance = over_groups(2 * away * off + off**2, groups) + gamma(PIXELS + 1) * over_groups(
        (away + off) ** 2, groups
    )
    inverse = 1 / np.sqrt(variance + EPSILON)
    limit = inverse * (1 / np.sqrt(1 - of_variance / (variance + EPSILON)) - 1)
    assert (np.abs(found["inverse"] - inverse) <= limit + gamma(1) * (inverse + limit)).all()


def test_one_value_is_its_own_mean() -> None:
    x = np.array([[[[3.5, -7.0, 1e30]]]], np.float32)
    found = statistics("host", x, 3)
    assert (found["mean"] == -x).all()
    assert (found["inverse"] == np.float32(1 / np.sqrt(EPSILON))).all()


def test_whole_numbers_have_an_exact_mean() -> None:
    x = np.arange(32, dtype=np.float32).reshape(1, 2, 2, 8)
    assert statistics("host", x, 2)["mean"].ravel().tolist() == [-13.5] * 4 + [-17.5] * 4


def gradient(name: str, arrays: dict[str, np.ndarray], groups: int, runs: int = 1) -> dict[str, np.ndarray]:
    target, shape = targets()[name], arrays["x"].shape
    channels = shape[-1]
    tensors = [tensor_of(target, "g", shape, Halo(0, 1, 1, 0)), tensor_of(target, "x", shape, Halo(1, 2, 0, 1))]
    mean, inverse, slope, offset = (point(target, what, channels) for what in ("mean", "inverse", "slope", "offset"))
    weight = point(target, "weight", channels, images=1) if "weight" in arrays else None
    where = operand(weight, 0) if weight is not None else None
    op = GroupGradient("gradient", *tensors, mean, inverse, where, slope, offset, groups)
    bench = Bench(target, op, (weight,) if weight is not None else ())
    for what, values in arrays.items():
        bench.put(what, values)
    return bench.run(runs)


def drawn(channels: int, groups: int, *, affine: bool) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(channels)
    shape = (IMAGES, HEIGHT, WIDTH, channels)
    x, g = (rng.standard_normal(shape).astype(np.float32) + np.float32(far) for far in (2, 0))
    mean = over_groups(x, groups)
    inverse = 1 / np.sqrt(over_groups((x - mean) ** 2, groups) + EPSILON)
    weight = {"weight": rng.standard_normal((1, 1, 1, channels)).astype(np.float32)} if affine else {}
    return {"g": g, "x": x, "mean": (-mean).astype(np.float32), "inverse": inverse.astype(np.float32)} | weight


@ON_EACH
@EVERY
@pytest.mark.parametrize("affine", [True, False])
def test_gradients_stay_within_their_rounding_bounds(name: str, channels: int, groups: int, affine: bool) -> None:
    arrays = drawn(channels, groups, affine=affine)
    found = gradient(name, arrays, groups)
    exact = {what: values.astype(np.float64) for what, values in arrays.items()}
    inverse, away = exact["inverse"], exact["x"] + exact["mean"]
    scaled = exact["g"] * exact.get("weight", np.ones(channels))
    # Difference, scaled gradient and product are rounded, and added up; then the result is.
    for what, size, terms in (("slope", inverse**3, scaled * away), ("offset", inverse, scaled)):
        want = -size * over_groups(terms, groups)
        limit = gamma(PIXELS + 4) * size * over_groups(np.abs(terms), groups)
        assert (np.abs(found[what] - want) <= limit + gamma(1) * np.abs(want)).all(), what


@EVERY
def test_several_runs_give_the_same_bits(channels: int, groups: int) -> None:
    arrays = drawn(channels, groups, affine=True)
    for run in (
        lambda runs: gradient("host", arrays, groups, runs),
        lambda runs: statistics("host", arrays["x"], groups, runs),
    ):
        assert memory_of(run(IMAGES)) == memory_of(run(1))
