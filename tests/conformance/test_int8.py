"""Prediction in int8: the very numbers of the oracle, on every instruction set and number of threads."""

from __future__ import annotations

import os
from functools import cache

import numpy as np
import pytest

from emit_functions import targets
from int8_bounds import logits_bound
from int8_cases import PHOTOS, scales_of
from neocog.engines.native import NativeEngine
from neocog.engines.reference import ReferenceEngine
from neocog.nn.blocks import Concat, Residual, Sequential, SqueezeExcite
from neocog.nn.graph import Graph, Normalisation, trace
from neocog.nn.layers import (
    Add,
    AvgPool2d,
    BatchNorm2d,
    ChannelShuffle,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    LeakyReLU,
    Linear,
    Maxout,
    MaxPool2d,
    Multiply,
    PixelShuffle,
    PReLU,
    ReLU,
    ReLU6,
    Slice,
    Tanh,
    Upsample,
)
from neocog.nn.parameters import variables_of
from neocog.nn.scales import Scales
from neocog.nn.symbol import Input

BYTES = Normalisation((0.0,), (0.5,))  # of pixels that nothing is taken off


def products() -> Graph:
    """Return a network that multiplies images, rounded or not, by each other and by one value for all pixels, and adds
    more than two.
    """
    x = Input((9, 8, 3))
    one, other = ReLU()(Conv2d(12, 3, padding=1)(x)), LeakyReLU(0.1)(Conv2d(12, 1)(x))
    largest = MaxPool2d((9, 8))(other)
    both, weighed = Multiply()(one, other), Multiply()(largest, one, other)
    factors = Conv2d(6, 3)(both), Conv2d(6, 3)(weighed)
    last = Multiply()(MaxPool2d((7, 6))(Conv2d(6, 3)(other)), *factors)
    return Graph(x, Add()(last, Conv2d(6, 3)(both), Conv2d(6, 3)(other)), PHOTOS)


NETWORKS: dict[str, Graph] = {
    "words across pixels, poolings in registers": trace(
        Sequential(
            *(Conv2d(20, 3), ReLU(), MaxPool2d(2), Conv2d(33, 3, padding=1), ReLU(), MaxPool2d(2)),
            *(Flatten(), Dropout(0.5), Linear(19), ReLU(), Linear(7)),
        ),
        (40, 38, 1),
        BYTES,
    ),
    "strides, joins and signs": trace(
        Sequential(
            *(Conv2d(16, 5, 2, 2, bias=False), BatchNorm2d(), ReLU(), MaxPool2d(3, 2, 1)),
            *(Residual(Sequential(Conv2d(16, 3, padding=1), LeakyReLU(0.1), Conv2d(16, 3, padding=1))), ReLU()),
            *(Residual(Sequential(Conv2d(16, 1), PReLU())), Conv2d(24, (3, 2), padding=((1, 0), (0, 2)), dilation=2)),
            *(AvgPool2d(2, 1), Conv2d(6, 1), GlobalAvgPool2d(), Linear(5)),
        ),
        (21, 18, 3),
        PHOTOS,
    ),
    "groups and channels": trace(
        Sequential(
            *(Conv2d(24, 3, 2, 1), ReLU6(), Conv2d(24, 3, padding=1, groups=24, bias=False), BatchNorm2d(), ReLU6()),
            *(Conv2d(20, 1), Conv2d(20, 5, 2, 2, groups=20), LeakyReLU(0.2)),
            *(Conv2d(40, 3, padding=1, groups=5), ReLU(), Conv2d(12, 1, groups=2), Flatten(), Linear(3)),
        ),
        (17, 14, 3),
        PHOTOS,
    ),
    "means and exponentials": trace(
        Sequential(Conv2d(20, 3), Tanh(), SqueezeExcite(4), Conv2d(8, 1), AvgPool2d(2, 1), Conv2d(3, 3)), (9, 8, 3)
    ),
    "products of images": products(),
    "one value for several, and the image itself": trace(
        Sequential(
            Concat(Conv2d(5, 3, padding=1), Sequential(MaxPool2d(3, 1, 1), Conv2d(6, 1)), Sequential()),
            *(Residual(Sequential(ReLU(), Conv2d(14, 3, padding=1))), ConvTranspose2d(4, 2, 2), Conv2d(3, 3)),
        ),
        (9, 8, 3),
    ),
    "normalizations that cannot be folded": trace(
        Sequential(
            *(Conv2d(8, 3), ReLU(), BatchNorm2d(), Conv2d(8, 3), ReLU(), BatchNorm2d(), MaxPool2d(2)),
            *(Conv2d(20, 3), LeakyReLU(0.1), BatchNorm2d()),
        ),
        (12, 12, 3),
        PHOTOS,
    ),
    "values that only move": trace(
        Sequential(
            *(Conv2d(8, 3), ReLU(), Conv2d(8, 1, groups=4), ChannelShuffle(4), Conv2d(8, 3, padding=1, groups=8)),
            *(PixelShuffle(2), Upsample(2), Concat(Slice(1), Sequential()), Maxout(3), Conv2d(6, 3, 2)),
        ),
        (7, 8, 3),
        BYTES,
    ),
    "two paddings on an image, a pooling last": trace(
        Sequential(
            Concat(Conv2d(5, 3, 4, 1), Conv2d(5, 1, 4)), ReLU(), Concat(Conv2d(4, 1), MaxPool2d(3, 1, 1)), MaxPool2d(2)
        ),
        (13, 13, 3),
        PHOTOS,
    ),
    **{
        f"{what}, {channels} channels": trace(Sequential(first, ReLU(), GlobalAvgPool2d(), Linear(3)), (9, 9, channels))
        for what, first in (("holes first", Conv2d(5, 3, dilation=2)), ("groups first", Conv2d(8, 3, groups=2)))
        for channels in (4, 16)
    },
}
THOROUGH = os.environ.get("NEOCOG_TEST_PROFILE") == "thorough"


@cache
def case(name: str) -> tuple[Graph, dict[str, np.ndarray], Scales, np.ndarray, np.ndarray]:
    """Return a network with parameters, scales, images, and what the oracle answers to them."""
    graph, rng = NETWORKS[name], np.random.default_rng(len(name))
    parameters = {v.name: (rng.normal(size=v.shape) * 0.3).astype(np.float32) for v in variables_of(graph)}
    parameters = {k: np.abs(v) + np.float32(0.5) if "running_var" in k else v for k, v in parameters.items()}
    sides = (graph.input.height, graph.input.width, graph.input.channels)
    images = rng.integers(0, 256, (9, *sides), dtype=np.uint8)
    scales = scales_of(graph, parameters, images[:4])
    wanted = ReferenceEngine().int8_predictor(graph, parameters, scales).logits(images)
    return graph, parameters, scales, images, wanted


@cache
def strayed() -> np.ndarray:
    """Return how far means and exponentials may be from the oracle's logits (int8_bounds.py says why)."""
    graph, parameters, scales, images, _ = case("means and exponentials")
    return logits_bound(graph, parameters, images, scales)


@pytest.mark.parametrize("sides", targets() if THOROUGH else ["host", "sse2"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_numbers_are_those_of_the_oracle(name, sides):
    graph, parameters, scales, images, wanted = case(name)
    predictor = NativeEngine(targets()[sides]).int8_predictor(graph, parameters, scales, 1)
    for count in (1, 9):
        got = predictor.logits(images[:count])
        assert got.shape == wanted[:count].shape
        if name == "means and exponentials":
            assert (np.abs(got - wanted[:count]) <= strayed()[:count]).all()
        else:
            assert (got == wanted[:count]).all()
    assert (predictor.logits(images[:1], batch_size=9) == predictor.logits(images, batch_size=9)[:1]).all()


def test_most_images_leave_means_and_exponentials_no_room():
    """So the bound is a sharp one: in 6 of 9 images and more no value lies so near a half that it may be rounded
    either way, and the engine must have the very numbers of the oracle.
    """
    limits = strayed().reshape(9, -1).max(axis=1)
    assert (limits == 0).sum() >= 6


def test_threads_and_floats_make_no_difference():
    graph, parameters, scales, images, _ = case("strides, joins and signs")
    engine = NativeEngine()
    one, two = (engine.int8_predictor(graph, parameters, scales, threads) for threads in (1, 2))
    assert (one.logits(images) == two.logits(images)).all()
    floats = images.astype(np.float32) / np.float32(255)
    assert (one.logits(floats) == ReferenceEngine().int8_predictor(graph, parameters, scales).logits(floats)).all()


def test_new_parameters_are_rounded_anew():
    graph, parameters, scales, images, wanted = case("words across pixels, poolings in registers")
    predictor = NativeEngine().int8_predictor(graph, {k: v * 2 for k, v in parameters.items()}, scales, 1)
    assert (predictor.logits(images) != wanted).any()
    predictor.load(parameters)
    assert (predictor.logits(images) == wanted).all()


def test_what_is_inside_a_network_is_that_of_float32():
    graph, parameters, scales, images, _ = case("words across pixels, poolings in registers")
    engine = NativeEngine()
    rounded, exact = engine.int8_predictor(graph, parameters, scales, 1), engine.predictor(graph, parameters, 1)
    assert (rounded.features(images) == exact.features(images)).all()
    assert (rounded.outputs(images, [0])[0] == exact.outputs(images, [0])[0]).all()
    assert all((rounded.peaks(images)[layer] == peaks).all() for layer, peaks in exact.peaks(images).items())
