"""Bilinear enlargement and its gradient against the reference, on every instruction set."""

from __future__ import annotations

import numpy as np
import pytest

from emit_functions import targets
from emit_ops import Bench, tensor_of
from neocog.nn.layers import Upsample
from neocog.plan.layout import Halo
from neocog.plan.ops.interpolation import Interpolate, InterpolateGradient
from neocog.plan.verify import PlanError, verify
from neocog.reference import resizing
from rounding.rule import gamma

ON_EACH = pytest.mark.parametrize("name", sorted(targets()))
CASES = pytest.mark.parametrize(
    ("shape", "scale"),
    [
        ((2, 3, 2, 1), (2, 2)),
        ((1, 1, 1, 17), (3, 2)),
        ((2, 2, 5, 40), (1, 4)),
        ((1, 4, 3, 200), (2, 3)),
        ((1, 3, 3, 5), (7, 1)),
    ],
    ids=str,
)


@ON_EACH
@CASES
def test_an_image_is_enlarged_as_the_reference_does(name, shape, scale):
    target, layer = targets()[name], Upsample(scale, "bilinear")
    values = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    want = resizing.forward(values.astype(np.float64), layer)
    x, y = tensor_of(target, "x", shape, Halo(1, 0, 0, 1)), tensor_of(target, "y", want.shape, Halo(0, 1, 1, 0))
    for runs in (1, 3):
        bench = Bench(target, Interpolate("enlarge", x, y))
        bench.put("x", values)
        bound = gamma(9) * resizing.forward(np.abs(values).astype(np.float64), layer)
        assert (np.abs(bench.run(runs)["y"] - want) <= bound).all()


@ON_EACH
@CASES
def test_a_gradient_goes_back_as_the_reference_takes_it(name, shape, scale):
    target, layer, small = targets()[name], Upsample(scale, "bilinear"), np.zeros(shape)
    large = resizing.forward(small, layer).shape
    values = np.random.default_rng(2).standard_normal(large).astype(np.float32)
    dy, dx = tensor_of(target, "dy", large, Halo(1, 0, 0, 1)), tensor_of(target, "dx", shape, Halo(0, 1, 1, 0))
    for runs in (1, 2):
        bench = Bench(target, InterpolateGradient("shrink", dy, dx))
        bench.put("dy", values)
        bound = gamma(4 * scale[0] * scale[1] + 6) * resizing.backward(small, np.abs(values), layer)
        assert (np.abs(bench.run(runs)["dx"] - resizing.backward(small, values, layer)) <= bound).all()


def test_what_is_no_enlargement_is_refused():
    target = targets()["host"]
    x, y = tensor_of(target, "x", (1, 4, 4, 3)), tensor_of(target, "y", (1, 2, 8, 3))
    with pytest.raises(PlanError, match="'y' is no enlarged 'x'"):
        verify([Interpolate("enlarge", x, y)], {}, target.lanes)
