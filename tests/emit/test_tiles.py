"""Tiles of bfloat16: rounding, and sums in the order of tile registers, to the last bit on every instruction set."""

from __future__ import annotations

import numpy as np
import pytest

from amx.cases import FACTORS, FINITE, exact_products, products
from emit_functions import applied, compiled, floats, targets
from half_cases import from_words, tile_products, to_words
from neocog.emit.builder import I8
from neocog.emit.half import load_half, store_half
from neocog.emit.tiles import TILE_BYTES, tiles_of
from neocog.jit.executable import aligned_zeros

RNG = np.random.default_rng(3)


def _wide(shape, spread):
    return (RNG.normal(size=shape) * 2.0 ** RNG.integers(-spread, spread + 1, shape)).astype(np.float32)


@pytest.mark.parametrize("name", targets())
def test_values_are_rounded_to_the_nearest_and_a_nan_stays_one(name):
    target = targets()[name]
    halfway = np.array([1 + 2**-8, 1 + 3 * 2**-8], np.float32)
    values = np.concatenate([floats(1 << 14), from_words(np.arange(1 << 16, dtype=np.uint16)), halfway])

    def through_memory(b, x):
        room = b.ir.alloca(I8, 64, align=64)
        store_half(b, x, room)
        return load_half(b, room)

    got, want = applied(target, through_memory, values), from_words(to_words(values))
    assert (np.isnan(got) == np.isnan(values)).all()
    sure = ~np.isnan(values)
    assert (got[sure].view(np.uint32) == want[sure].view(np.uint32)).all()


def _packed(weights):
    """Return weights (32, 32) as words of tiles: [half of the filters][pair][filter][channel of the pair]."""
    return np.stack([to_words(weights[:, at : at + 16]).reshape(16, 2, 16).transpose(0, 2, 1) for at in (0, 16)])


def _products(target, rows, weights, gap=0):
    """Return the sums of a block: of rows (K, 32, 32), each some bytes from the next, times weights (K, 32, 32)."""
    steps = len(rows)
    memory = aligned_zeros(4096 + steps * (32 * (64 + gap) + 2 * TILE_BYTES))
    at_rows, at_weights = 4096, 4096 + steps * 32 * (64 + gap)
    for step in range(steps):
        begin = at_rows + step * 32 * (64 + gap)
        lines = memory[begin : begin + 32 * (64 + gap)].reshape(32, 64 + gap)
        lines[:, :64] = to_words(rows[step]).view(np.uint8)
        begin = at_weights + step * 2 * TILE_BYTES
        memory[begin : begin + 2 * TILE_BYTES] = _packed(weights[step]).reshape(-1).view(np.uint8)

    def write(b, function):
        base = function.args[1]
        tiles = tiles_of(b, base)
        tiles.zero()
        for step in range(steps):
            upper = b.at(base, at_rows + step * 32 * (64 + gap), I8)
            lower = b.at(upper, 16 * (64 + gap), I8)
            tiles.multiply(upper, lower, 64 + gap, b.at(base, at_weights + step * 2 * TILE_BYTES, I8))
        tiles.store()

    library = compiled(target, write)  # kept while it runs
    library.functions["run"](0, memory.ctypes.data, 0, 0, 0, 0)
    return memory[:4096].view(np.float32).reshape(32, 32).copy()


def _in_numpy(rows, weights):
    sums = np.zeros((32, 32), np.float32)
    for a, b in zip(rows, weights, strict=True):
        sums = tile_products(sums, a, b)
    return sums


@pytest.mark.parametrize("gap", [0, 64])
@pytest.mark.parametrize("name", targets())
def test_sums_have_the_bits_of_tile_registers(name, gap):
    rows, weights = _wide((3, 32, 32), 3), _wide((3, 32, 32), 3)
    got, want = _products(targets()[name], rows, weights, gap), _in_numpy(rows, weights)
    assert (got.view(np.uint32) == want.view(np.uint32)).all()
    # The order of the sums matters: another one gives other bits.
    exact = (from_words(to_words(values)).astype(np.float64) for values in (rows, weights))
    plain = sum(a @ b for a, b in zip(*exact, strict=True))
    assert (got != plain.astype(np.float32)).any()
    assert np.abs(got - plain).max() < 1e-3 * np.abs(plain).max()


@pytest.mark.parametrize("name", targets())
def test_denormal_numbers_are_zeros_on_the_way_in_and_out(name):
    target = targets()[name]
    rows, weights = np.full((1, 32, 32), 2.0**-127, np.float32), np.full((1, 32, 32), 2.0**20, np.float32)
    words = np.full((32, 32), 0x0040, np.uint16)  # 2 to the power of -127 as a bfloat16
    assert from_words(words)[0, 0] == 2.0**-127
    assert (_products(target, rows, weights) == 0).all()
    # A result below the least normal number is none: 32 products of 2^-70 · 2^-62.
    rows[:], weights[:] = 2.0**-70, 2.0**-62
    assert (_products(target, rows, weights) == 0).all()
    rows[:], weights[:] = 2.0**-60, 2.0**-60
    assert (_products(target, rows, weights) == 32 * 2.0**-120).all()


@pytest.mark.parametrize("name", targets())
def test_what_the_processor_does_with_denormal_numbers_elsewhere_stays(name):
    _products(targets()[name], np.ones((1, 32, 32), np.float32), np.ones((1, 32, 32), np.float32))
    tiny = np.full(8, 2.0**-127, np.float32)
    assert (tiny * np.float32(0.5) == np.float32(2.0**-128)).all()
    assert applied(targets()[name], lambda b, x: b.ir.fmul(x, b.splat(0.5)), tiny)[0] == np.float32(2.0**-128)


@pytest.mark.parametrize("kind", FINITE)
@pytest.mark.parametrize("name", [name for name, target in targets().items() if target.fma])
def test_sums_are_those_of_the_manual_in_exact_fractions(name, kind):
    """Wide exponents and denormal numbers too: tests/amx/ compares tile registers with the same sums."""
    x, w = FACTORS[kind]()
    got, want = products(targets()[name], x, w), exact_products(x[:2], w[:, :4])
    assert (got[:2, :4] == want).all()
    assert 0 < np.abs(want).max() < np.inf
