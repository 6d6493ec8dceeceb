"""Local response normalization agrees with float64 on every instruction set, forward and backward."""

from __future__ import annotations

import numpy as np
import pytest

from emit_functions import targets
from emit_ops import Bench, memory_of, tensor_of
from neocog.nn.layers import LocalResponseNorm
from neocog.plan.layout import Halo, Tensor, operand
from neocog.plan.ops.local_response import LocalResponse, LocalResponseGradient, Spaced
from neocog.reference import local_response
from neocog.target.processor import Target

U = 2.0**-24
IMAGES, HEIGHT, WIDTH = 2, 3, 4
EVERY = pytest.mark.parametrize("channels", [1, 3, 16, 17, 40, 71])
ON_EACH = pytest.mark.parametrize("name", sorted(targets()))
LAYERS = pytest.mark.parametrize(
    "layer",
    [
        LocalResponseNorm(5, 0.5, 0.75, 2.0),
        LocalResponseNorm(1, 1.0, 0.5),
        LocalResponseNorm(4, 2.0, 1.5, 0.5),
        LocalResponseNorm(100, 9.0),
    ],
)


def row_of(target: Target, name: str, layer: LocalResponseNorm, channels: int) -> tuple[Tensor, Spaced]:
    """Return memory for a row, and the row in it."""
    margin, pitch = target.round_up(max(layer.beside(channels))), target.round_up(channels)
    size = margin + WIDTH * (pitch + margin)
    tensor = tensor_of(target, name, (1, 1, 1, size))
    return tensor, Spaced(operand(tensor, 0), WIDTH, pitch, margin)


def run(name: str, layer: LocalResponseNorm, runs: int = 1, **arrays: np.ndarray) -> dict[str, np.ndarray]:
    """Run it forward, or backward where there is a gradient; return what it wrote but for the rows."""
    target, shape = targets()[name], arrays["x"].shape
    squares, row = row_of(target, "squares", layer, shape[-1])
    x = tensor_of(target, "x", shape, Halo(1, 2, 0, 1))
    if "dy" not in arrays:
        bench = Bench(
            target, LocalResponse("lrn", x, tensor_of(target, "y", shape, Halo(0, 1, 1, 0)), layer, row), (squares,)
        )
    else:
        shares, second = row_of(target, "shares", layer, shape[-1])
        dy, dx = tensor_of(target, "dy", shape, Halo(1, 0, 1, 0)), tensor_of(target, "dx", shape, Halo(0, 1, 2, 1))
        bench = Bench(target, LocalResponseGradient("lrn", x, dy, dx, layer, row, second), (squares, shares))
    for what, values in arrays.items():
        bench.put(what, values)
    return {what: values for what, values in bench.run(runs).items() if what in {"y", "dx"}}


def drawn(channels: int) -> tuple[np.ndarray, np.ndarray]:
    x, dy = np.random.default_rng(channels).standard_normal((2, IMAGES, HEIGHT, WIDTH, channels)).astype("f4")
    return x * np.float32(3), dy


def power_error(layer: LocalResponseNorm, base: np.ndarray, channels: int) -> np.ndarray:
    """Bound the relative error of s^-β.

    s takes a rounding for each square and each sum, and one each for the factor, its product, k and the last sum; then
    come the logarithm, within 2 of u, the product with β, itself rounded, and the exponential, within 3.
    """
    terms = min(layer.size, channels)
    return U * ((layer.beta + 1) * (terms + 5) + 5 * layer.beta * np.abs(np.log(base)) + 4)


@ON_EACH
@EVERY
@LAYERS
def test_forward_stays_within_its_rounding_bound(name: str, channels: int, layer: LocalResponseNorm) -> None:
    x, _ = drawn(channels)
    exact = x.astype(np.float64)
    want, base = local_response.forward(exact, layer), local_response.base(exact, layer)
    limit = np.abs(want) * (power_error(layer, base, channels) + 2 * U)
    assert (np.abs(run(name, layer, x=x)["y"] - want) <= limit).all()


@ON_EACH
@EVERY
@LAYERS
def test_backward_stays_within_its_rounding_bound(name: str, channels: int, layer: LocalResponseNorm) -> None:
    x, dy = drawn(channels)
    wide, slope = x.astype(np.float64), dy.astype(np.float64)
    base, want = local_response.base(wide, layer), local_response.backward(wide, slope, layer)
    error = power_error(layer, base, channels)
    before, behind = layer.beside(channels)
    own = np.abs(slope) * base**-layer.beta
    # Of a sum's terms, those of the largest relative error in the pixel bound all others.
    seen = local_response.around(
        own * np.abs(wide) / base * (error + (min(layer.size, channels) + 9) * U), behind, before
    )
    size = local_response.around(own * np.abs(wide) / base, behind, before)
    factor = 2 * layer.alpha * layer.beta / layer.size * np.abs(wide)
    limit = own * (error + 2 * U) + factor * (seen + 6 * U * size)
    assert (np.abs(run(name, layer, x=x, dy=dy)["dx"] - want) <= limit * (1 + 1e-3)).all()


@EVERY
@LAYERS
def test_several_runs_give_the_same_bits(channels: int, layer: LocalResponseNorm) -> None:
    x, dy = drawn(channels)
    for arrays in ({"x": x}, {"x": x, "dy": dy}):
        assert memory_of(run("host", layer, 5, **arrays)) == memory_of(run("host", layer, **arrays))


def test_a_nan_stays_within_its_pixel_and_its_window() -> None:
    x = np.ones((1, 1, WIDTH, 20), np.float32)
    x[0, 0, 1, 5] = np.nan
    found = np.isnan(run("host", LocalResponseNorm(3), x=x)["y"][0, 0])
    assert found.sum() == 3
    assert found[1, 4:7].all()


def test_values_whose_squares_overflow_are_divided_by_infinity() -> None:
    x = np.full((1, 1, WIDTH, 3), 1e30, np.float32)
    assert (run("host", LocalResponseNorm(3), x=x)["y"] == 0).all()
    assert (run("host", LocalResponseNorm(3), x=x, dy=np.ones_like(x))["dx"] == 0).all()
