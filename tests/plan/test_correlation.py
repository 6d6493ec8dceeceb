"""A convolution's passes, as planned, compute what the reference says; every pixel meets every tap it should, once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from neocog.nn.layers import Conv2d, ReLU
from neocog.nn.shapes import ImageShape
from neocog.nn.window import WindowAxis
from neocog.plan import correlation, weight_gradient
from neocog.plan.correlation import Correlation
from neocog.plan.layout import Halo, Panels, Space, Tensor, Vectors
from neocog.plan.ops.pointwise import Activate, ActivationGradient, Expression, Plus
from neocog.reference import conv
from neocog.target.processor import Target
from plan_interpreter import run

TARGET = Target("x86_64-unknown-linux-gnu", "test", "", 4, 16, True)
axes = st.builds(
    WindowAxis,
    input=st.integers(1, 14),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 5),
    dilation=st.integers(1, 4),
    before=st.integers(0, 5),
    after=st.integers(0, 5),
).filter(lambda axis: axis.output >= 1)


@given(axes)
def test_phases_meet_every_pair_of_pixel_and_tap_once(axis: WindowAxis) -> None:
    want = {
        (o * axis.stride - axis.before + tap * axis.dilation, tap, o)
        for o in range(axis.output)
        for tap in range(axis.kernel)
    }
    want = {triple for triple in want if 0 <= triple[0] < axis.input}
    seen = []
    pixels = []
    for phase in correlation.phases(axis):
        for i in range(phase.pixels):
            pixels.append(phase.first + i * axis.stride)
            for j in range(phase.taps):
                output = phase.first_output + i - j * phase.output_step
                if 0 <= output < axis.output:
                    seen.append((pixels[-1], phase.first_tap + j * phase.tap_step, output))
    assert sorted(pixels) == list(range(axis.input))
    assert sorted(seen) == sorted(want)


@st.composite
def layers(draw: st.DrawFn) -> tuple[Conv2d, ImageShape]:
    pair = lambda low, high: st.tuples(st.integers(low, high), st.integers(low, high))  # noqa: E731
    layer = Conv2d(
        draw(st.integers(1, 9)),
        draw(pair(1, 4)),
        stride=draw(pair(1, 3)),
        padding=draw(st.one_of(pair(0, 3), st.just("same"))),
        dilation=draw(pair(1, 2)),
        bias=draw(st.booleans()),
    )
    shape = ImageShape(draw(st.integers(1, 8)), draw(st.integers(1, 8)), draw(st.integers(1, 6)))
    window = layer.window_over(shape)
    assume(window.vertical.output >= 1 and window.horizontal.output >= 1)
    return layer, shape


def place(tensor: Tensor, values: np.ndarray) -> np.ndarray:
    """Lay values out as a tensor says, zeros elsewhere."""
    flat = np.zeros(
        (tensor.images, tensor.image_step // tensor.row_step, tensor.row_step // tensor.pitch, tensor.pitch)
    )
    halo = tensor.halo
    flat[:, halo.top : halo.top + tensor.height, halo.left : halo.left + tensor.width, : tensor.channels] = values
    return flat.reshape(-1)


def take(tensor: Tensor, flat: np.ndarray) -> np.ndarray:
    """Read values back."""
    whole = flat.reshape(tensor.images, -1, tensor.row_step // tensor.pitch, tensor.pitch)
    halo = tensor.halo
    return whole[:, halo.top :, halo.left :][:, : tensor.height, : tensor.width, : tensor.channels]


@settings(max_examples=60)
@given(layers(), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_planned_passes_compute_a_convolution_and_its_gradients(
    drawn: tuple[Conv2d, ImageShape], images: int, seed: int
) -> None:
    layer, shape = drawn
    random = np.random.default_rng(seed)
    window, out = layer.window_over(shape), layer.output_shape(shape)
    lanes = TARGET.lanes
    x = Tensor("x", images, *_sizes(shape), lanes * -(-shape.channels // lanes), correlation.input_halo(window))
    y = Tensor("y", images, *_sizes(out), lanes * -(-out.channels // lanes))
    dy = Tensor("dy", images, *_sizes(out), y.pitch, correlation.gradient_halo(window))
    dx = Tensor("dx", images, *_sizes(shape), x.pitch)
    taps_channels = window.cells * shape.channels
    weights = Panels("w", taps_channels, out.channels, 2 * lanes)
    gradient = Panels("dw", weights.rows, weights.columns, weights.width, 0, Space.ARENA)
    biases = Vectors("biases", out.channels, TARGET.round_up(out.channels), lanes) if layer.bias else None
    sums = replace(biases, name="db") if biases else None
    planned = Correlation("layer", window, x, y, weights, biases)

    values_x = random.standard_normal((images, *_sizes(shape)))
    matrix = random.standard_normal((taps_channels, out.channels))
    values_dy = random.standard_normal((images, *_sizes(out)))
    w = matrix.reshape(window.vertical.kernel, window.horizontal.kernel, shape.channels, -1)
    bias = random.standard_normal(out.channels) if layer.bias else None
    padded = np.zeros((weights.rows, weights.count * weights.width))
    padded[:, : out.channels] = matrix
    memory = {
        "x": place(x, values_x),
        "y": np.zeros(y.size),
        "w": padded.reshape(weights.rows, weights.count, weights.width).transpose(1, 0, 2).reshape(-1),
        "dy": place(dy, values_dy),
        "dx": np.full(dx.size, np.nan),
        "dw": np.zeros(gradient.size),
        "biases": np.zeros(lanes + TARGET.round_up(out.channels)),
        "db": np.zeros(lanes + TARGET.round_up(out.channels)),
    }
    if bias is not None:
        memory["biases"][lanes : lanes + out.channels] = bias

    run(correlation.forward(planned, TARGET), memory, lanes)
    assert np.allclose(take(y, memory["y"]), conv.forward(values_x, w, layer, bias))

    want_dx, want_dw, want_db = conv.backward(values_x, w, values_dy, layer)
    panels = correlation.transposed_panels(planned, "wt", dx, TARGET)
    transposed = np.zeros((window.cells, out.channels, panels.count * panels.width))
    transposed[:, :, : shape.channels] = w.reshape(window.cells, shape.channels, -1).transpose(0, 2, 1)
    memory["wt"] = transposed.reshape(-1, panels.count, panels.width).transpose(1, 0, 2).reshape(-1)
    for stage in correlation.input_gradient(planned, dy, dx, panels, TARGET):
        run(stage, memory, lanes)
    assert np.allclose(take(dx, memory["dx"]), want_dx)

    slices = weight_gradient.wanted_slices(planned, dy, gradient, TARGET)
    stage = weight_gradient.whole_gradient(planned, dy, gradient, sums, TARGET, slices=slices, copies="copies")
    memory["copies"] = np.zeros(slices * weight_gradient.copy_size(gradient, sums))
    run(stage, memory, lanes)
    if slices > 1:
        total = memory["copies"].reshape(slices, -1).sum(axis=0)
        memory["dw"], memory["db"][lanes:] = total[: gradient.size], total[gradient.size :] if sums else 0
    got = memory["dw"].reshape(gradient.count, gradient.rows, gradient.width).transpose(1, 0, 2)
    got = got.reshape(gradient.rows, -1)[:, : out.channels]
    assert np.allclose(got.reshape(w.shape), want_dw)
    if layer.bias:
        assert np.allclose(memory["db"][lanes : lanes + out.channels], want_db)


def _sizes(shape: ImageShape) -> tuple[int, int, int]:
    return shape.height, shape.width, shape.channels


@settings(max_examples=40)
@given(layers(), st.booleans(), st.integers(0, 2**32 - 1))
def test_an_epilogue_meets_what_lies_beside_each_output(
    drawn: tuple[Conv2d, ImageShape], framed: bool, seed: int
) -> None:
    layer, shape = drawn
    random = np.random.default_rng(seed)
    window, out, lanes = layer.window_over(shape), layer.output_shape(shape), TARGET.lanes
    halo = Halo(1, 2, 0, 3) if framed else Halo()
    x = Tensor("x", 2, *_sizes(shape), TARGET.round_up(shape.channels), correlation.input_halo(window))
    y = Tensor("y", 2, *_sizes(out), TARGET.round_up(out.channels))
    dy = Tensor("dy", 2, *_sizes(out), y.pitch, correlation.gradient_halo(window))
    dx = Tensor("dx", 2, *_sizes(shape), x.pitch)
    other, seen = replace(y, name="other", halo=halo), replace(dx, name="seen", halo=halo)
    weights = Panels("w", window.cells * shape.channels, out.channels, lanes)
    planned = Correlation("layer", window, x, y, weights, None)
    panels = correlation.transposed_panels(planned, "wt", dx, TARGET)
    sizes = {"x": x.size, "w": weights.size, "y": y.size, "dy": dy.size, "wt": panels.size, "dx": dx.size}
    memory = {name: random.standard_normal(size) for name, size in sizes.items()}
    for tensor in (other, seen):
        values = random.standard_normal((2, tensor.height, tensor.width, tensor.channels))
        memory[tensor.name] = place(tensor, values)

    run(correlation.forward(planned, TARGET), memory, lanes)
    plain = take(y, memory["y"]).copy()
    run(correlation.forward(planned, TARGET, epilogue=(Plus(Expression(other)), Activate(ReLU()))), memory, lanes)
    assert np.allclose(take(y, memory["y"]), np.maximum(plain + take(other, memory["other"]), 0))

    epilogue = (ActivationGradient(ReLU(), Expression(seen), of_output=True),)
    for stage in correlation.input_gradient(planned, dy, dx, panels, TARGET):
        run(stage, memory, lanes)
    plain = take(dx, memory["dx"]).copy()
    for stage in correlation.input_gradient(planned, dy, dx, panels, TARGET, epilogue):
        run(stage, memory, lanes)
    assert np.allclose(take(dx, memory["dx"]), plain * (take(seen, memory["seen"]) > 0))
