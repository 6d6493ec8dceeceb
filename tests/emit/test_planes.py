"""Statistics of images of bfloat16 have the bits of those of the same numbers in float32, and so does what gradients
need: what differs is where numbers lie.
"""

from __future__ import annotations

import numpy as np
import pytest

from emit_functions import targets
from emit_ops import Bench, blocked_of, memory_of, tensor_of
from half_cases import rounded
from neocog.plan.layout import Halo, Tensor, operand
from neocog.plan.ops.norm import GroupGradient, GroupStatistics
from neocog.plan.ops.op import Op
from neocog.plan.ops.pixel_norm import PixelGradient, PixelStatistics
from neocog.target.processor import Target

SHAPE = (3, 2, 11)
EPSILON = 1e-5
AROUND = {"x": Halo(1, 2, 0, 1), "g": Halo(0, 1, 1, 0)}
CASES = [*((name, 72, 9) for name in sorted(targets())), ("host", 5, 1), ("host", 96, 2)]


def statistics(target: Target, x: Tensor, groups: int, *, by_group: bool) -> Op:
    mean, inverse = (numbers(target, x, what, by_group=by_group) for what in ("mean", "inverse"))
    if by_group:
        return GroupStatistics("statistics", x, mean, inverse, groups, EPSILON)
    return PixelStatistics("statistics", x, mean, inverse, EPSILON)


def gradient(target: Target, g: Tensor, x: Tensor, weight: Tensor, groups: int, *, by_group: bool) -> Op:
    kinds = ("mean", "inverse", "slope", "offset")
    mean, inverse, slope, offset = (numbers(target, x, what, by_group=by_group) for what in kinds)
    gamma = operand(weight, 0)
    if by_group:
        return GroupGradient("gradient", g, x, mean, inverse, gamma, slope, offset, groups)
    return PixelGradient("gradient", g, x, mean, inverse, gamma, slope, offset)


def numbers(target: Target, x: Tensor, what: str, *, by_group: bool) -> Tensor:
    """Return where a number for each channel of an image lies, or one for each pixel."""
    shape = (x.images, 1, 1, x.channels) if by_group else (x.images, x.height, x.width, 1)
    return tensor_of(target, what, shape)


def images(target: Target, name: str, channels: int, *, half: bool) -> Tensor:
    shape = (*SHAPE, channels)
    return blocked_of(name, shape, AROUND[name]) if half else tensor_of(target, name, shape, AROUND[name])


def drawn(channels: int, seed: int, far: float = 0.0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(far, 1, (*SHAPE, channels))
    return rounded(values.astype(np.float32))


def results(bench: Bench) -> dict[str, bytes]:
    """Return what an op writes; a pixel's number is the same in every lane."""
    written = {part.name for part in bench.op.writes()}
    wide = {name for name in written if bench.tensors[name].channels == 1}
    for name in wide:
        tensor = bench.tensors[name]
        bench.tensors[name] = Tensor(name, *(tensor.images, tensor.height, tensor.width, tensor.pitch, tensor.pitch))
    found = bench.run(2)
    for name in wide:
        assert (found[name] == found[name][..., :1]).all()
    return memory_of(found)


@pytest.mark.parametrize("by_group", [True, False], ids=["groups", "pixels"])
@pytest.mark.parametrize(("name", "channels", "groups"), CASES)
def test_statistics_have_the_same_bits(name: str, channels: int, groups: int, by_group: bool) -> None:
    target, values, found = targets()[name], drawn(channels, 1, far=3.0), []
    for half in (False, True):
        x = images(target, "x", channels, half=half)
        bench = Bench(target, statistics(target, x, groups, by_group=by_group))
        bench.put("x", values)
        found.append(results(bench))
    assert found[0] == found[1]
    assert np.unique(np.frombuffer(found[0]["inverse"], np.float32)).size >= SHAPE[0]


@pytest.mark.parametrize("by_group", [True, False], ids=["groups", "pixels"])
@pytest.mark.parametrize(("name", "channels", "groups"), CASES)
def test_gradients_have_the_same_bits(name: str, channels: int, groups: int, by_group: bool) -> None:
    """Whichever of both images is bfloat16: the gradient, or what was normalised."""
    target, found = targets()[name], []
    weight = tensor_of(target, "weight", (1, 1, 1, channels))
    for half_g, half_x in ((False, False), (True, True), (True, False), (False, True)):
        if (half_g != half_x) and name != "host":
            continue
        g, x = (images(target, what, channels, half=half) for what, half in (("g", half_g), ("x", half_x)))
        bench = Bench(target, gradient(target, g, x, weight, groups, by_group=by_group), (weight,))
        for what, values in (("g", drawn(channels, 2)), ("x", drawn(channels, 3, far=2.0))):
            bench.put(what, values)
        rng = np.random.default_rng(4)
        bench.put("weight", rng.normal(size=(1, 1, 1, channels)).astype(np.float32))
        for what, low, high in (("mean", -3, -1), ("inverse", 0.5, 2)):
            tensor = bench.tensors[what]
            shape = (tensor.images, tensor.height, tensor.width, tensor.channels)
            values = rng.uniform(low, high, shape).astype(np.float32)
            bench.put(what, np.repeat(values, tensor.pitch, -1) if tensor.channels == 1 else values)
        found.append(results(bench))
    assert all(other == found[0] for other in found[1:])
    assert np.unique(np.frombuffer(found[0]["slope"], np.float32)).size >= SHAPE[0]
