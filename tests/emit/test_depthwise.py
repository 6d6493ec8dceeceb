"""Depthwise ops alone, on every instruction set, against the reference: forward, and both gradients."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from emit_functions import targets
from emit_ops import Bench, memory_of, tensor_of
from neocog.nn.layers import Conv2d, ReLU
from neocog.nn.shapes import ImageShape
from neocog.plan import depthwise
from neocog.plan.correlation import Correlation, gradient_halo, input_halo
from neocog.plan.layout import Halo, Panels, Tensor, Vectors, operand
from neocog.plan.ops.depthwise import Sweep
from neocog.plan.ops.pointwise import Activate
from neocog.plan.verify import PlanError, verify
from neocog.reference import conv
from neocog.target.processor import Target

LAYERS = [
    Conv2d(5, 3, padding=1, groups=5),
    Conv2d(17, 3, 2, padding=((0, 1), (1, 0)), groups=17),
    Conv2d(32, 5, (1, 2), padding=2, groups=32),
    Conv2d(20, (2, 3), (3, 1), dilation=(1, 2), groups=20),
    Conv2d(3, (1, 9), 1, (0, 4), groups=3),
    Conv2d(4, 9, 2, 4, groups=4),
    Conv2d(16, 1, 3, groups=16),
    Conv2d(6, 3, padding=((3, 0), (0, 4)), dilation=2, groups=6),
]
ON_EACH = pytest.mark.parametrize("name", sorted(targets()))
EVERY = pytest.mark.parametrize("layer", LAYERS, ids=str)
IMAGES, HEIGHT, WIDTH = 2, 9, 11


class Case:
    """A layer with whole numbers for operands, so that no sum rounds, and the memory of a bench for them."""

    def __init__(self, target: Target, layer: Conv2d) -> None:
        self.target, self.layer = target, layer
        channels = layer.channels
        rng = np.random.default_rng(channels)
        self.window = layer.window_over(ImageShape(HEIGHT, WIDTH, channels))
        size = (IMAGES, self.window.vertical.output, self.window.horizontal.output, channels)

        def whole(*shape: int) -> np.ndarray:
            return rng.integers(-4, 5, shape).astype(np.float32)

        self.x, self.dy = whole(IMAGES, HEIGHT, WIDTH, channels), whole(*size)
        weight = layer.variables(ImageShape(HEIGHT, WIDTH, channels))[0].shape
        self.weight, self.bias = whole(*weight), whole(channels)
        self.x_tensor = tensor_of(target, "x", self.x.shape, input_halo(self.window).union(Halo(0, 0, 1, 1)))
        self.dy_tensor = tensor_of(target, "dy", size, gradient_halo(self.window))
        self.y_tensor = tensor_of(target, "y", size, Halo(1, 0, 0, 2))
        self.dx_tensor = tensor_of(target, "dx", self.x.shape, Halo(0, 1, 1, 0))
        taps = self.window.cells
        # The panels as a tensor: a row for each vector of channels, with a pixel for each tap.
        vectors = target.round_up(channels) // target.lanes
        self.panels_tensor = Tensor("weights", 1, vectors, taps, target.lanes, target.lanes)
        self.bias_tensor = tensor_of(target, "bias", (1, 1, 1, channels))
        panels = Panels("weights", taps, channels, target.lanes)
        biases = Vectors("bias", channels, target.round_up(channels))
        self.correlation = Correlation("layer", self.window, self.x_tensor, self.y_tensor, panels, biases)

    def bench(self, op: depthwise.Depthwise | depthwise.DepthwiseGradient) -> Bench:
        """Make the memory of an op, and fill in what it reads."""
        bench = Bench(self.target, op, (self.x_tensor, self.dy_tensor, self.panels_tensor, self.bias_tensor))
        for name, values in (("x", self.x), ("dy", self.dy), ("weights", self.in_panels()), ("bias", self.bias)):
            if name in {part.name for part in op.reads()}:
                bench.put(name, values if values.ndim > 1 else values[None, None, None])
        return bench

    def in_panels(self) -> np.ndarray:
        """Return the filters as they lie in panels: (1, vectors, taps, lanes)."""
        flat = self.weight.reshape(self.window.cells, -1)
        padded = np.pad(flat, ((0, 0), (0, -flat.shape[1] % self.target.lanes)))
        return padded.reshape(self.window.cells, -1, self.target.lanes).transpose(1, 0, 2)[None]


@ON_EACH
@EVERY
def test_forward_is_that_of_the_reference(name: str, layer: Conv2d) -> None:
    case = Case(targets()[name], layer)
    wanted = conv.forward(case.x, case.weight, layer, case.bias)
    plain = depthwise.forward(case.correlation, case.target)
    fused = depthwise.forward(case.correlation, case.target, epilogue=(Activate(ReLU()),), shared=True)
    np.testing.assert_array_equal(case.bench(plain).run()["y"], wanted)
    np.testing.assert_array_equal(case.bench(fused).run(3)["y"], np.maximum(wanted, 0))
    in_bands = replace(plain, band=2, together=3)
    np.testing.assert_array_equal(case.bench(in_bands).run(2)["y"], wanted)


@ON_EACH
@EVERY
def test_the_gradient_of_the_input_is_that_of_the_reference(name: str, layer: Conv2d) -> None:
    case = Case(targets()[name], layer)
    wanted, _, _ = conv.backward(case.x, case.weight, case.dy, layer)
    op = depthwise.input_gradient(case.correlation, case.dy_tensor, case.dx_tensor, case.target)
    assert case.bench(op).run(2)["dx"].tobytes() == (wanted + 0.0).astype(np.float32).tobytes()
    np.testing.assert_array_equal(case.bench(replace(op, band=1)).run()["dx"], wanted)


@ON_EACH
@EVERY
def test_the_gradient_of_the_filters_is_that_of_the_reference(name: str, layer: Conv2d) -> None:
    case = Case(targets()[name], layer)
    lanes, vectors, taps = case.target.lanes, case.correlation.weights.count, case.window.cells
    # A slice's sums: filters, and behind them biases.
    sums = Tensor("sums", 2, 1, vectors * (taps + 1), lanes, lanes)
    out = operand(sums, 0)
    op = depthwise.weight_gradient(
        case.correlation,
        case.dy_tensor,
        replace(out, image=0),
        replace(out, image=0, start=vectors * taps * lanes),
        case.target,
        slices=2,
        step=sums.image_step,
    )
    for changed in (op, replace(op, band=2, together=3), replace(op, sums=2)):
        bench = Bench(case.target, changed, (case.x_tensor, case.dy_tensor, sums))
        bench.put("x", case.x)
        bench.put("dy", case.dy)
        found = bench.run(2)["sums"]
        for image in range(IMAGES):
            one = slice(image, image + 1)
            _, weight, bias = conv.backward(case.x[one], case.weight, case.dy[one], layer)
            filters = found[image, 0, : vectors * taps].reshape(vectors, taps, lanes).transpose(1, 0, 2)
            filters = filters.reshape(taps, -1)
            np.testing.assert_array_equal(filters[:, : layer.channels], weight.reshape(taps, -1))
            np.testing.assert_array_equal(found[image, 0, vectors * taps :].ravel()[: layer.channels], bias)


def test_who_does_which_items_changes_nothing() -> None:
    case = Case(targets()["host"], LAYERS[2])
    bench = case.bench(depthwise.forward(case.correlation, case.target, shared=True))
    assert memory_of(bench.run()) == memory_of(bench.run(4))


def test_a_sweep_that_leaves_pixels_out_or_looks_past_the_halo_is_refused() -> None:
    case = Case(targets()["host"], LAYERS[0])
    op = depthwise.forward(case.correlation, case.target)
    (rows,) = op.rows
    with pytest.raises(PlanError, match="not every pixel of 'y' is written, once"):
        verify([replace(op, rows=(replace(rows, pixels=rows.pixels - 1),))], {}, case.target.lanes)
    with pytest.raises(PlanError, match="taps reach past the halo of 'x'"):
        verify([replace(op, x=replace(op.x, halo=Halo()))], {}, case.target.lanes)
    with pytest.raises(PlanError, match="'x' has 4 channels, 5 are walked"):
        verify([replace(op, x=replace(op.x, channels=4))], {}, case.target.lanes)


def test_each_input_is_met_once_by_all_the_outputs_that_see_it() -> None:
    sweep = Sweep(0, 1, 8, -1, 2, 0, 1, 3, 1)
    assert sweep.reached() == (-1, 15)
    assert sweep.met(2) == [(0, [(0, 0)]), (1, [(0, 1)]), (2, [(0, 2), (1, 0)]), (3, [(1, 1)]), (4, [(1, 2)])]
