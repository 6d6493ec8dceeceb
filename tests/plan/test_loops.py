"""Loops are merged, cut and tiled without losing or repeating an iteration."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from neocog.plan.loops import Axis, Split, choose_rows, merge
from neocog.target.processor import Target
from plan_interpreter import distances

TARGETS = [
    Target("x86_64-unknown-linux-gnu", "skylake-avx512", "", 16, 32, True),
    Target("x86_64-unknown-linux-gnu", "haswell", "", 8, 16, True),
    Target("x86_64-unknown-linux-gnu", "x86-64", "", 4, 16, False),
]
steps = st.integers(-20, 20)
nests = st.lists(st.builds(Axis, st.integers(1, 9), steps, steps, steps, steps), max_size=4)


@given(nests)
def test_merging_keeps_every_turn_in_order(nest: list[Axis]) -> None:
    for which in ("out", "a", "b", "beside"):
        assert distances(merge(nest), which).tolist() == distances(nest, which).tolist()


def test_neighbouring_loops_that_walk_evenly_become_one() -> None:
    assert merge([Axis(3, a=12, b=6), Axis(4, a=3, b=0), Axis(3, a=1, b=0)]) == (Axis(3, a=12, b=6), Axis(12, a=1))
    assert merge([Axis(3, a=8), Axis(4, a=2), Axis(2, a=1)]) == (Axis(24, a=1),)


@given(nests, st.integers(1, 2000), st.sampled_from(TARGETS), st.integers(1, 4))
def test_a_register_tile_fits_the_registers(nest: list[Axis], length: int, target: Target, vectors: int) -> None:
    split, cost = choose_rows(merge(nest), vectors, length, target)
    inner = math.prod(axis.extent for axis in split.inner)
    rows = split.sizes()[0] * inner
    needed = rows * vectors + vectors + (1 if target.fma else 2)
    assert needed <= target.registers or rows == 1
    assert not any(axis.b for axis in (split.cut, *split.inner))
    assert cost > 0


@given(st.integers(1, 9), st.integers(1, 40), st.sampled_from([(2, 2), (1, 3), (3, 1)]), st.sampled_from(TARGETS))
def test_a_register_tile_holds_whole_windows(
    images: int, columns: int, window: tuple[int, int], target: Target
) -> None:
    high, wide = window
    cells = high * wide
    nest = [Axis(images, 1000, 5000), Axis(columns, 16, 32 * wide), Axis(high, 0, 640), Axis(wide, 0, 16)]
    for vectors in (1, 2, 3, 4):
        if target.tile_rows(vectors) < cells:
            continue
        split, _ = choose_rows(merge(nest), vectors, 27, target, cells=cells)
        inner = math.prod(axis.extent for axis in split.inner)
        for size in split.sizes():
            assert size * inner % cells == 0
            assert size * inner <= target.tile_rows(vectors)


@given(nests.filter(bool), st.data())
def test_parts_cover_the_cut_axis_once(nest: list[Axis], data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(nest) - 1))
    extent = nest[position].extent
    split = Split(tuple(nest), position, data.draw(st.integers(1, extent)))
    starts = [part * split.short + min(part, split.long_parts) for part in range(split.parts)]
    sizes = [split.short + (part < split.long_parts) for part in range(split.parts)]
    assert np.cumsum([0, *sizes]).tolist() == [*starts, extent]
    assert set(sizes) == set(split.sizes())


def test_wide_rows_are_cut_evenly_rather_than_with_a_ragged_end() -> None:
    split, _ = choose_rows((Axis(26, out=1, a=1),), 2, 288, TARGETS[0])
    assert split.sizes() == (13,)
