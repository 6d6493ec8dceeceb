"""Sums of products of bytes: the same integers by every way that this processor has, to the last bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from emit_functions import compiled, targets
from neocog.emit.builder import I32
from neocog.emit.dot import add_dot
from neocog.jit.executable import aligned_zeros
from neocog.target.ahead import AHEAD
from neocog.target.processor import Target

RNG = np.random.default_rng(5)


def ways() -> dict[str, Target]:
    """Return this machine's targets, and each without the instructions for bytes."""
    found = {}
    for name, target in targets().items():
        found[f"{name}, {target.dot}"] = target
        without = ",".join(word for word in target.features.split(",") if word not in ("+avx512vnni", "+avxvnni"))
        plain = replace(target, features=without)
        found[f"{name}, {plain.dot}"] = plain
        needed = {16: "-avx512bw", 8: "-avx2", 4: "-sse2"}[target.lanes]
        if target.lanes < 16:
            found[f"{name}, bytes"] = replace(target, features=",".join(filter(None, (target.features, needed))))
    return found


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("name", ways())
def test_four_products_are_added_exactly(name, signed):
    target = ways()[name]
    if name.endswith("bytes"):
        target = replace(target, features=targets()[name.split(",")[0]].features)
        monkey = name
    else:
        monkey = None
    kind = np.int8 if signed else np.uint8
    low, high = (-127, 128) if signed else (0, 256)
    images = np.concatenate([RNG.integers(low, high, (50, 4)), [[low] * 4, [high - 1] * 4]]).astype(kind)
    weights = RNG.integers(-127, 128, (target.lanes, 4)).astype(np.int8)
    weights[:2] = [[-127] * 4, [127] * 4]
    first = RNG.integers(-(1 << 29), 1 << 29, target.lanes).astype(np.int32)
    size = 4 * target.lanes
    memory = aligned_zeros(2 * size + len(images) * (4 + size))
    memory[:size], memory[size : 2 * size] = first.view(np.uint8), weights.reshape(-1).view(np.uint8)
    given = memory[2 * size : 2 * size + images.size]
    given[:] = images.reshape(-1).view(np.uint8)

    def write(b, function):
        if monkey:
            object.__setattr__(b, "target", _Plain(b.target))
        base = function.args[1]
        total, words = b.load(base, kind=b.vector_i32), b.load(base, b.lanes, kind=b.vector_i32)
        out = b.at(base, 2 * b.lanes + len(images))
        for number in range(len(images)):
            word = b.spread(b.load_scalar(base, 2 * b.lanes + number, I32), b.vector_i32)
            sums = add_dot(b, total, word, words, signed=signed)
            b.ir.store(sums, b.at(out, number * b.lanes), align=4)

    library = compiled(targets()[name.split(",")[0]] if monkey else target, write)
    library.functions["run"](0, memory.ctypes.data, 0, 0, 0, 0)
    got = memory[2 * size + images.size :].view(np.int32).reshape(len(images), -1)
    shift = 0 if monkey else target.image_shift(signed=signed)
    products = (images.astype(np.int64) + shift) @ weights.astype(np.int64).T
    assert (got == (first + products).astype(np.int32)).all()


class _Plain:
    """A processor that multiplies one byte after the other."""

    dot = "bytes"

    def __init__(self, target: Target) -> None:
        self._target = target

    def __getattr__(self, name: str) -> object:
        return getattr(self._target, name)


def test_each_named_processor_has_a_way():
    assert {name: ahead.target.dot for name, ahead in AHEAD.items()} == {
        "x86-64": "pairs",
        "x86-64-sse2": "pairs",
        "x86-64-avx2": "pairs",
        "x86-64-avx512": "pairs",
        "aarch64": "bytes",
        "aarch64-dotprod": "signed quads",
        "armv7a": "bytes",
        "cortex-m4": "two",
        "cortex-m7": "two",
        "cortex-m33": "two",
        "cortex-m55": "bytes",
        "rv64": "bytes",
        "rv64v": "bytes",
        "rv32": "bytes",
        "rv32v": "bytes",
        "wasm32": "pairs",
    }
