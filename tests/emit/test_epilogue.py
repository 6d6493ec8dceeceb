"""What runs where a sum is stored gives, bit for bit, what a pass of its own gives; padding stays zero."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from neocog.engines.native import NativeEngine
from neocog.nn import layers
from neocog.nn.graph import Graph
from neocog.nn.layer import Layer
from neocog.nn.layers import Activation, Add, Conv2d, Flatten, Linear, PReLU, ReLU, Sigmoid
from neocog.nn.parameters import initial_parameters
from neocog.nn.symbol import Input, Symbol
from neocog.plan.algorithm import Algorithm
from neocog.plan.layout import Space
from neocog.plan.passes import steps

ALGORITHMS = ("direct", "winograd")
ACTIVATIONS = [layer for layer in layers.LAYERS if issubclass(layer, Activation | PReLU)]
CHANNELS = 21  # no whole number of vectors, and more than one panel on some targets


def answers(graph: Graph, algorithm: Algorithm) -> bytes:
    """Return what a network answers to a few images."""
    predictor = NativeEngine(algorithm=algorithm).predictor(graph, initial_parameters(graph, 5), 1)
    shape = graph.input
    images = np.random.default_rng(2).standard_normal((3, shape.height, shape.width, shape.channels))
    return predictor.logits(images.astype(np.float32)).tobytes()


def residual(x: Symbol, layer: Layer) -> Symbol:
    y = layer(Conv2d(CHANNELS, 3, padding=1)(x))
    return layer(Add()(y, Conv2d(CHANNELS, 3, padding=1)(y)))


def strided(x: Symbol, layer: Layer) -> Symbol:
    y = Conv2d(CHANNELS, 3, stride=2, padding=1)(x)
    return layer(Add()(y, Conv2d(CHANNELS, 1, stride=2)(x)))


def of_vectors(x: Symbol, layer: Layer) -> Symbol:
    y = layer(Linear(CHANNELS)(Flatten()(x)))
    return layer(Add()(layer(Linear(CHANNELS)(y)), y))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    ("build", "layer"),
    [
        *((residual, layer) for layer in ACTIVATIONS),
        *((build, layer) for build in (strided, of_vectors) for layer in (ReLU, PReLU, Sigmoid)),
    ],
)
def test_an_epilogue_gives_the_bits_of_a_pass_of_its_own(
    build: Callable[[Symbol, Layer], Symbol],
    layer: type[Layer],
    algorithm: Algorithm,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = Input((7, 9, 5))
    graph = Graph(x, build(x, layer()))
    together = answers(graph, algorithm)
    monkeypatch.setattr(steps._Grouping, "_takes_along", lambda *_: False)
    assert answers(graph, algorithm) == together


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("layer", [layer for layer in ACTIVATIONS if not getattr(layer, "keeps_zero", True)])
def test_lanes_past_the_channels_stay_zero(layer: type[Layer], algorithm: Algorithm) -> None:
    x = Input((5, 6, 3))
    graph = Graph(x, layer()(Conv2d(CHANNELS, 3, padding=1)(ReLU()(Conv2d(16, 3, padding=1)(x)))))
    predictor = NativeEngine(algorithm=algorithm).predictor(graph, initial_parameters(graph, 5), 1)
    predictor.logits(np.ones((1, 5, 6, 3), np.float32))
    executable = predictor.executable(1)
    logits = executable.program.outputs["logits"]
    assert logits is not None
    assert not logits.has_halo
    pixels = executable.array(Space.ARENA, logits.name).reshape(-1, logits.pitch)
    assert (pixels[:, :CHANNELS] != 0).all()
    assert (pixels[:, CHANNELS:] == 0).all()
