"""The oracle of int8, against whole numbers in Python, and against the float64 network within what rounding can do."""

from __future__ import annotations

import math

import numpy as np
import pytest

from int8_cases import scales_of
from neocog.engines.reference import ReferenceEngine
from neocog.errors import SettingError
from neocog.nn.blocks import Concat, Residual, Sequential
from neocog.nn.graph import IMAGE, Graph, Normalisation, trace
from neocog.nn.layers import (
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Hardswish,
    Linear,
    MaxPool2d,
    ReLU,
)
from neocog.nn.parameters import variables_of
from neocog.nn.rewrite import fold_norms
from neocog.nn.scales import Scales, weight_scales
from neocog.reference import conv, int8
from neocog.reference.network import forward as exact

RNG = np.random.default_rng(0)


def _weights(graph: Graph) -> dict[str, np.ndarray]:
    return {
        v.name: np.abs(RNG.normal(1, 0.1, v.shape)).astype(np.float32)
        if v.name.endswith("running_var")
        else RNG.normal(0, 0.5, v.shape).astype(np.float32)
        for v in variables_of(graph)
    }


def test_a_convolution_and_a_linear_are_sums_of_whole_numbers() -> None:
    graph = trace(Sequential(Conv2d(2, 2, stride=2), ReLU(), Flatten(), Linear(3)), (4, 4, 1), Normalisation((0.5,)))
    parameters = _weights(graph)
    images = RNG.integers(0, 256, (1, 4, 4, 1), np.uint8)
    scales = Scales(0.004, {"1": 0.02})
    outputs, _ = int8.forward(graph, parameters, images, scales)

    def rounded(value: np.float32, scale: float, low: int, high: int) -> int:
        return min(max(round(np.float32(value) * (np.float32(1) / np.float32(scale))), low), high)

    def column(name: str, k: int, scale: float) -> tuple[list[int], int, np.float32]:
        weight, bias = parameters[f"{name}.weight"].reshape(-1, parameters[f"{name}.bias"].size)[:, k], None
        step = weight_scales(weight[:, None], None, np.float32(scale))[0]
        bias = round(float(parameters[f"{name}.bias"][k]) / (float(np.float32(scale)) * float(step)))
        return [min(max(round(value / step), -127), 127) for value in weight], bias, np.float32(scale) * step

    a, b = np.float32(1 / 255), np.float32(-0.5)
    pixels = [[rounded(np.float32(v) * a + b, 0.004, -127, 127) for v in row] for row in images[0, :, :, 0]]
    hidden = []
    for row in (0, 2):
        for left in (0, 2):
            window = [pixels[row + r][left + s] for r in range(2) for s in range(2)]
            for k in range(2):
                weight, bias, step = column("0", k, 0.004)
                total = bias + sum(x * w for x, w in zip(window, weight, strict=True))
                hidden.append(rounded(np.maximum(np.float32(total) * step, 0), 0.02, 0, 255))
    want = []
    for k in range(3):
        weight, bias, step = column("3", k, 0.02)
        want.append(np.float32(bias + sum(x * w for x, w in zip(hidden, weight, strict=True))) * step)
    assert outputs[-1][0].tolist() == want


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_a_convolution_is_as_near_as_rounding_its_factors_leaves_it(groups: int) -> None:
    layer = Conv2d(8, 3, padding=1, groups=groups)
    graph = trace(layer, (7, 7, 4))
    parameters, images = _weights(graph), RNG.normal(0, 1, (3, 7, 7, 4)).astype(np.float32)
    scales = scales_of(graph, parameters, images)
    (given,), _ = int8.forward(graph, parameters, images, scales)
    weight, bias = (parameters[f"0.{name}"].astype(np.float64) for name in ("weight", "bias"))
    want = conv.forward(images.astype(np.float64), weight, layer, bias)
    s_w = weight_scales(parameters["0.weight"], parameters["0.bias"], scales.of(graph, IMAGE))
    half = np.full_like(weight, 0.5) * s_w
    ones = np.ones_like(images, np.float64)
    limit = conv.forward(np.abs(images.astype(np.float64)), half, layer)
    limit += conv.forward(ones * scales.image / 2, np.abs(weight) + half, layer) + s_w * scales.image / 2
    assert (np.abs(given - want) <= limit * (1 + 1e-5)).all()
    assert np.abs(given - want).max() > 1e-4  # it is not the float32 network


_BODY = Residual(Sequential(Conv2d(4, 3, padding=1, groups=4), BatchNorm2d()))
NETWORKS = {
    "plain": Sequential(Conv2d(4, 3), ReLU(), MaxPool2d(2), Flatten(), Dropout(0.5), Linear(4)),
    "residual": Sequential(
        *(Conv2d(4, 3, bias=False), BatchNorm2d(), ReLU(), _BODY),
        *(ReLU(), GlobalAvgPool2d(), Linear(4)),
    ),
    "branches": Sequential(
        *(Conv2d(4, 3), Hardswish(), Concat(Conv2d(2, 1), Sequential(MaxPool2d(3, stride=1, padding=1), Conv2d(2, 1)))),
        *(BatchNorm2d(), Flatten(), Linear(4)),
    ),
}


@pytest.mark.parametrize("net", NETWORKS.values(), ids=NETWORKS)
def test_a_network_in_int8_is_near_the_float_one_and_changes_with_its_scales(net: Sequential) -> None:
    whole = trace(net, (10, 10, 3))
    own, images = _weights(whole), RNG.integers(0, 256, (6, 10, 10, 3), np.uint8)
    scales, folded = scales_of(whole, own, images), fold_norms(whole)
    graph, parameters = folded.graph, folded.fold(own)
    outputs, integers = int8.forward(graph, parameters, images, scales)
    assert [output.dtype for output in outputs] == [np.dtype(np.float32)] * len(graph.nodes)
    want = exact(whole, {name: value.astype(np.float64) for name, value in own.items()}, images).logits
    assert 0 < np.abs(outputs[-1] - want).max() < 0.05 * np.abs(want).max()
    for values in integers.values():
        assert (values == np.rint(values)).all()
        assert values.min() >= -127
        assert values.max() <= 255
    coarse = Scales(scales.image * 20, {name: value * 20 for name, value in scales.values.items()})
    far, _ = int8.forward(graph, parameters, images, coarse)
    assert np.abs(far[-1] - want).max() > 4 * np.abs(outputs[-1] - want).max()


def test_whoever_else_takes_a_rounded_value_takes_it_rounded() -> None:
    graph = trace(Sequential(ReLU(), Residual(Conv2d(3, 1))), (2, 2, 3), Normalisation((0.5,)))
    parameters = {"1.body.weight": np.zeros((1, 1, 3, 3), np.float32), "1.body.bias": np.zeros(3, np.float32)}
    parameters = {name: parameters[f"1.body.{name.rpartition('.')[2]}"] for name in _weights(graph)}
    image = np.linspace(0, 1, 12, dtype=np.float32).reshape(1, 2, 2, 3)
    outputs, integers = int8.forward(graph, parameters, image, Scales(1.0, {"0": 0.1}))
    assert (outputs[-1] == integers[0].astype(np.float32) * np.float32(0.1)).all()
    assert not np.allclose(outputs[-1], np.maximum(image - 0.5, 0), atol=0.01)


def test_a_channel_that_a_normalization_switched_off_keeps_its_bias() -> None:
    graph = trace(Conv2d(3, 1), (1, 1, 1), Normalisation((0.0,), (0.5,)))
    weight = np.array([0.0, 1e-12, 1.0], np.float32).reshape(1, 1, 1, 3)
    bias = np.array([0.3, 0.3, 0.3], np.float32)
    (given,), _ = int8.forward(graph, {"0.weight": weight, "0.bias": bias}, np.zeros((1, 1, 1, 1), np.uint8), Scales(9))
    np.testing.assert_allclose(given[0, 0, 0, :2], 0.3, rtol=1e-6)
    assert math.isclose(given[0, 0, 0, 2], 0.3, abs_tol=9 / 127 / 2)


def test_the_reference_engine_answers_in_int8() -> None:
    graph = trace(NETWORKS["residual"], (10, 10, 3))
    parameters, images = _weights(graph), RNG.integers(0, 256, (300, 10, 10, 3), np.uint8)
    folded = fold_norms(graph)
    values, scales = folded.fold(parameters), scales_of(graph, parameters, images)
    engine = ReferenceEngine()
    predictor = engine.int8_predictor(graph, parameters, scales)
    logits = predictor.logits(images)
    assert (logits[290:] == int8.forward(folded.graph, values, images[290:], scales)[0][-1]).all()
    plain = engine.predictor(graph, parameters)
    assert (predictor.features(images[:5]) == plain.features(images[:5])).all()
    predictor.load({name: value * np.float32(2) for name, value in parameters.items()})
    assert not (predictor.logits(images) == logits).any()
    with pytest.raises(SettingError, match="scales must be those of the network's 2 rounded values"):
        engine.int8_predictor(graph, parameters, Scales(1.0, {}))
