"""Copies bring values into another order bit by bit, on every instruction set, and never touch what lies beside."""

from __future__ import annotations

import numpy as np
import pytest

from emit_functions import targets
from emit_ops import Bench, tensor_of
from neocog.emit.copy import vectors_with
from neocog.plan.layout import Halo, Tensor
from neocog.plan.ops.copy import Copy, cut, gathered, placed, repeated, shuffled, spread, totalled
from neocog.plan.verify import PlanError, verify
from neocog.reference.rearrangement import shuffle, to_channels, to_pixels

ON_EACH = pytest.mark.parametrize("name", sorted(targets()))


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def sides(name: str, x: tuple[int, ...], y: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return two tensors of such shapes with halos of their own."""
    target = targets()[name]
    return tensor_of(target, "x", x, Halo(1, 1, 0, 2)), tensor_of(target, "y", y, Halo(0, 2, 1, 1))


def check(name: str, op: Copy, x: np.ndarray, want: np.ndarray) -> None:
    for runs in (1, 3):
        bench = Bench(targets()[name], op)
        bench.put("x", x)
        got = bench.run(runs)["y"]
        assert got.shape == want.shape
        assert got.tobytes() == np.ascontiguousarray(want).tobytes()


@ON_EACH
@pytest.mark.parametrize(
    ("channels", "first", "count"), [(3, 0, 1), (9, 5, 4), (40, 16, 24), (40, 1, 39), (80, 15, 65), (200, 40, 129)]
)
def test_channels_are_cut_out_and_put_back_among_zeros(name: str, channels: int, first: int, count: int) -> None:
    whole, part = drawn(2, 3, 2, channels), drawn(2, 3, 2, count)
    x, y = sides(name, whole.shape, part.shape)
    check(name, cut("cut", x, y, first), whole, whole[..., first : first + count])
    x, y = sides(name, part.shape, whole.shape)
    zeros = np.zeros_like(whole)
    zeros[..., first : first + count] = part
    check(name, placed("placed", x, y, first), part, zeros)


@ON_EACH
@pytest.mark.parametrize(
    ("channels", "groups"), [(2, 2), (6, 3), (34, 2), (48, 3), (116, 2), (128, 4), (130, 13), (160, 80), (96, 1)]
)
def test_channels_are_shuffled_as_the_reference_does(name: str, channels: int, groups: int) -> None:
    whole = drawn(2, 2, 3, channels)
    x, y = sides(name, whole.shape, whole.shape)
    check(name, shuffled("shuffled", x, y, groups), whole, shuffle(whole, groups))
    check(name, shuffled("back", x, y, channels // groups), shuffle(whole, groups), whole)


@ON_EACH
@pytest.mark.parametrize(
    ("channels", "factor"), [(1, 1), (1, 2), (3, 2), (5, 3), (17, 2), (70, 2), (34, 3), (3, 5), (48, 4)]
)
def test_channels_become_pixels_and_pixels_channels(name: str, channels: int, factor: int) -> None:
    few = drawn(2, 2, 3, channels * factor**2)
    many = to_pixels(few, factor)
    x, y = sides(name, few.shape, many.shape)
    check(name, spread("spread", x, y, factor), few, many)
    x, y = sides(name, many.shape, few.shape)
    check(name, gathered("gathered", x, y, factor), many, to_channels(many, factor))


@ON_EACH
@pytest.mark.parametrize(("channels", "rows", "columns"), [(1, 1, 2), (17, 2, 2), (40, 3, 2), (5, 7, 3)])
def test_pixels_are_repeated_and_added_up(name: str, channels: int, rows: int, columns: int) -> None:
    few = drawn(2, 3, 2, channels)
    many = few.repeat(rows, axis=1).repeat(columns, axis=2)
    x, y = sides(name, few.shape, many.shape)
    check(name, repeated("repeated", x, y, rows, columns), few, many)
    whole = np.random.default_rng(1).integers(-9, 10, many.shape).astype(np.float32)  # whole numbers round nowhere
    x, y = sides(name, many.shape, few.shape)
    total = whole.reshape(2, 3, rows, 2, columns, channels).sum(axis=(2, 4))
    check(name, totalled("totalled", x, y, rows, columns), whole, total)


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_vectors_hold_every_place_and_stay_in_its_pixel(lanes: int) -> None:
    random = np.random.default_rng(lanes)
    for _ in range(50):
        pitch = lanes * int(random.integers(1, 5))
        places = random.integers(0, 3 * pitch, 30).tolist()
        found = vectors_with(places, lanes, pitch)
        channels = {channel: held.start + lane for held in found for channel, lane in held.lanes.items()}
        assert channels == dict(enumerate(places))
        for held in found:
            assert held.start // pitch == (held.start + lanes - 1) // pitch
            assert all(0 <= lane < lanes for lane in held.lanes.values())


def test_loops_that_leave_a_tensor_are_refused() -> None:
    target = targets()["host"]
    x, y = tensor_of(target, "x", (1, 2, 2, 5)), tensor_of(target, "y", (1, 2, 2, 9))
    with pytest.raises(PlanError, match="loops leave 'x'"):
        verify([cut("cut", x, y, 5 + x.pitch)], {}, target.lanes)
    with pytest.raises(PlanError, match="loops do not walk 'y'"):
        verify([placed("placed", x, y, 6)], {}, target.lanes)
