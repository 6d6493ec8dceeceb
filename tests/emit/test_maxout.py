"""Maxout agrees exactly with NumPy, forward and backward, wherever channels begin."""

from __future__ import annotations

import numpy as np
import pytest

from emit_functions import targets
from emit_ops import Bench, memory_of, tensor_of
from neocog.plan.layout import Halo
from neocog.plan.ops.maxout import MaxoutBackward, MaxoutForward
from neocog.plan.verify import PlanError, verify

SIZES = [(1, 2), (3, 2), (5, 4), (10, 3), (16, 2), (17, 2), (24, 3), (30, 3), (32, 2), (33, 5), (40, 1)]
EVERY = pytest.mark.parametrize(("outputs", "pieces"), SIZES)
ON_EACH = pytest.mark.parametrize("name", sorted(targets()))


def tied(outputs: int, pieces: int) -> np.ndarray:
    """Return small whole numbers, many of which are equal."""
    return np.random.default_rng(outputs).integers(-3, 4, (2, 3, 2, outputs * pieces)).astype(np.float32)


def forward(name: str, x: np.ndarray, pieces: int, bytes_each: int | None, runs: int = 1) -> dict[str, np.ndarray]:
    target = targets()[name]
    small = (*x.shape[:3], x.shape[3] // pieces)
    mask = None if bytes_each is None else tensor_of(target, "mask", small, Halo(0, 1, 0, 0), bytes_each)
    op = MaxoutForward(
        "maxout", tensor_of(target, "x", x.shape, Halo(1, 1, 1, 1)), tensor_of(target, "y", small, Halo(0, 2)), mask
    )
    bench = Bench(target, op)
    bench.put("x", x)
    return bench.run(runs)


@ON_EACH
@EVERY
def test_forward_keeps_the_largest_and_notes_the_first_of_equals(name: str, outputs: int, pieces: int) -> None:
    x = tied(outputs, pieces)
    rivals = x.reshape(*x.shape[:3], pieces, outputs)
    got = forward(name, x, pieces, 1)
    assert (got["y"] == rivals.max(axis=3)).all()
    assert (got["mask"] == rivals.argmax(axis=3)).all()
    assert memory_of(forward(name, x, pieces, 1, runs=4)) == memory_of(got)
    assert (forward(name, x, pieces, None)["y"] == got["y"]).all()


def test_a_nan_among_the_channels_makes_a_nan() -> None:
    x = np.array([[[[np.nan, 1, 1, 2, np.nan, 2]]]], np.float32)
    y = forward("host", x, 2, 1)["y"][0, 0, 0]
    assert np.isnan(y[:2]).all()
    assert y[2] == 2


@ON_EACH
@EVERY
def test_backward_sends_each_gradient_to_one_channel(name: str, outputs: int, pieces: int) -> None:
    target, x = targets()[name], tied(outputs, pieces)
    small = (*x.shape[:3], outputs)
    argmax = x.reshape(*x.shape[:3], pieces, outputs).argmax(axis=3)
    dy = np.random.default_rng(1).standard_normal(small).astype(np.float32)
    want = np.where(argmax[..., None, :] == np.arange(pieces)[:, None], dy[..., None, :], 0).reshape(x.shape)
    op = MaxoutBackward(
        "maxout",
        tensor_of(target, "dy", small, Halo(1)),
        tensor_of(target, "mask", small, bytes_each=1),
        tensor_of(target, "dx", x.shape, Halo(0, 1, 1, 2)),
    )

    def run(runs: int) -> np.ndarray:
        bench = Bench(target, op)
        bench.put("dy", dy)
        bench.put("mask", argmax)
        return bench.run(runs)["dx"]

    assert (run(1) == want).all()
    assert (run(5) == want).all()


def test_a_mask_whose_bytes_cannot_tell_all_channels_apart_is_refused() -> None:
    target = targets()["host"]
    x, y = tensor_of(target, "x", (1, 1, 1, 300)), tensor_of(target, "y", (1, 1, 1, 1))
    mask = tensor_of(target, "mask", (1, 1, 1, 1), bytes_each=1)
    with pytest.raises(PlanError, match=r"1 byte\(s\) of 'mask' cannot tell 300 channels apart"):
        verify([MaxoutForward("maxout", x, y, mask)], {}, target.lanes)
    values = np.zeros((1, 1, 1, 300), np.float32)
    values[..., 299] = 1
    assert forward("host", values, 300, 4)["mask"].view(np.int32).tolist() == [[[[299]]]]
