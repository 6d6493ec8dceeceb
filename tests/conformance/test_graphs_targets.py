"""The native engine on graphs: on every instruction set, with its own width of vectors, and by Winograd's algorithm."""

import llvmlite.binding as llvm
import numpy as np
import pytest

from conformance_cases import real_case
from conformance_checks import check_close_prediction, check_close_step
from conformance_graphs import GRAPHS, VARIANTS
from neocog.engines.base import StepSettings
from neocog.engines.native import NativeEngine
from neocog.engines.reference import ReferenceEngine
from neocog.jit.host import NARROWED, make_target
from neocog.nn.blocks import Residual, Sequential
from neocog.nn.graph import Graph, trace
from neocog.nn.layers import (
    Activation,
    AdaptiveAvgPool2d,
    AvgPool2d,
    BatchNorm2d,
    Concatenate,
    Conv2d,
    Flatten,
    GlobalAvgPool2d,
    GroupNorm,
    LayerNorm2d,
    LayerScale,
    Linear,
    LocalResponseNorm,
    Maxout,
    MaxPool2d,
    PReLU,
    ReLU,
    Softmax,
)
from neocog.nn.losses import CrossEntropy
from neocog.nn.optimizers import SGD
from neocog.nn.parameters import initial_parameters
from neocog.nn.symbol import Input


def _pointwise() -> Graph:
    """Lay what every activation makes of 3 channels side by side, before windows that look at pixels around."""
    x = Input((5, 6, 2))
    y = Conv2d(3, 3, padding=1)(x)
    layers = [layer for kind, variants in VARIANTS.items() if issubclass(kind, Activation) for layer in variants]
    parts = [layer(y) for layer in (*layers, PReLU(), Softmax(), Maxout(3), BatchNorm2d(), GroupNorm(1), GroupNorm(3))]
    z = Conv2d(3, 3, padding=1)(Concatenate()(*parts))
    return Graph(x, Linear(3)(Flatten()(MaxPool2d(3, 2, 1)(z))))


def _normalised() -> Graph:
    """Normalise channels that fill no whole vectors by groups, by pixels and by neighbours, side by side."""
    x = Input((4, 5, 2))
    y = Conv2d(21, 3, padding=1)(x)
    layers = (GroupNorm(7), LayerNorm2d(), LayerNorm2d(0.1, affine=False), LayerScale(), *VARIANTS[LocalResponseNorm])
    return Graph(x, Linear(3)(Flatten()(Conv2d(5, 2)(Concatenate()(*(layer(y) for layer in layers))))))


def _pooled() -> Graph:
    """Pool 19 channels in every way, bring the maps to one size, and lay them side by side."""
    x = Input((7, 9, 2))
    y = Conv2d(19, 3, padding=1)(x)
    ways = [layer for kind in (MaxPool2d, AvgPool2d, AdaptiveAvgPool2d) for layer in VARIANTS[kind]]
    sizes = [AdaptiveAvgPool2d((3, 2))(way(y)) for way in ways]
    return Graph(x, Linear(3)(GlobalAvgPool2d()(Conv2d(5, 2)(Concatenate()(*sizes)))))


NETWORKS = {"all activations": _pointwise(), "all normalizations": _normalised(), "all poolings": _pooled(), **GRAPHS}


def engine_for(name, algorithm):
    """Return the engine for an instruction set, or skip where this processor has not got it."""
    cpu, features = NARROWED[name]
    if not all(llvm.get_host_cpu_features().get(feature) for feature in features):
        pytest.skip(f"this machine has no {name}")
    return NativeEngine(make_target(cpu, features, llvm.get_process_triple()), algorithm=algorithm)


@pytest.mark.parametrize("target", sorted(NARROWED))
@pytest.mark.parametrize(
    "name",
    [
        *(
            "all activations",
            "all normalizations",
            "all poolings",
            "dropped paths",
            "shared by all",
            "inception",
            "gates",
        ),
        *("pixels for all", "squeezed and excited", "split and shuffled", "enlarged"),
        *("inverted residuals", "depthwise first and last", "groups in blocks"),
    ],
)
def test_steps_and_predictions_stay_within_their_bounds_on_every_instruction_set(target, name):
    engine = engine_for(target, "direct")
    case = real_case(NETWORKS[name], 3, 1, CrossEntropy(0.1), batch_size=4)
    check_close_step(engine, case)
    check_close_prediction(engine, case)


def _wide() -> Graph:
    body = Sequential(
        *(Conv2d(32, 3, padding=1, bias=False), BatchNorm2d(), ReLU(), Conv2d(32, 3, padding=1, bias=False)),
        BatchNorm2d(),
    )
    return trace(
        Sequential(Conv2d(32, 3, padding=1), ReLU(), Residual(body), ReLU(), GlobalAvgPool2d(), Linear(5)), (14, 13, 3)
    )


@pytest.mark.parametrize("target", sorted(NARROWED))
def test_a_residual_block_trains_and_predicts_by_winograds_algorithm_as_the_reference_does(target):
    engines, graph = (engine_for(target, "winograd"), ReferenceEngine()), _wide()
    programs = [
        each.train_program(graph, initial_parameters(graph, 2), StepSettings(CrossEntropy(), SGD(momentum=0.9), 8))
        for each in engines
    ]
    random = np.random.default_rng(1)
    for count in (8, 5, 8):
        images = random.integers(0, 256, (count, 14, 13, 3), np.uint8)
        labels = random.integers(0, 5, count).astype(np.int32)
        for program in programs:
            program.step(images, labels, 0.05)
        for got, want in zip(
            (programs[0].gradients(), programs[0].parameters()),
            (programs[1].gradients(), programs[1].parameters()),
            strict=True,
        ):
            for key, value in want.items():
                assert np.abs(got[key] - value).max() <= 5e-5 * np.abs(value).max(), key
    parameters = programs[1].parameters()
    got, want = (each.predictor(graph, parameters).logits(images) for each in engines)
    assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()
