"""Prediction in bfloat16: exactly where nothing rounds, within derived bounds elsewhere, the same bits everywhere."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from conformance_cases import exact_count
from conformance_checks import check_exact_prediction
from conformance_graphs import EACH, GRAPHS, is_exact
from conformance_networks import LANDMARKS
from emit_functions import targets, vectors_alone
from half_cases import representable_case, rounded
from neocog.engines.native import NativeEngine
from neocog.engines.reference import ReferenceEngine
from neocog.nn.blocks import Concat, Residual, Sequential, SqueezeExcite
from neocog.nn.graph import trace
from neocog.nn.layers import (
    AvgPool2d,
    BatchNorm2d,
    ChannelShuffle,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Linear,
    MaxPool2d,
    ReLU,
    Sigmoid,
    SiLU,
    Slice,
)
from neocog.nn.parameters import variables_of
from neocog.plan.blocked import Blocked
from neocog.plan.ops.product import TileProduct
from rounding.rule import U, gamma

HALF = 2.0**-9  # the most that rounding to bfloat16 changes a number by, relative to it
# Of each layer alone, one place is enough: what surrounds it is computed as ever.
EVERY = GRAPHS | {name: graph for name, graph in EACH.items() if name.endswith("on images")}
CASES = LANDMARKS | {name: graph for name, graph in EVERY.items() if is_exact(graph) and exact_count(4, graph)}
NETWORKS = {
    "tails of everything": trace(
        Sequential(
            *(Conv2d(40, 3, padding=1), ReLU(), Conv2d(33, 3, padding=1), Sigmoid(), Conv2d(32, 1), MaxPool2d(2)),
            *(Flatten(), Linear(50), ReLU(), Linear(10)),
        ),
        (9, 12, 3),
    ),
    "strides and joins": trace(
        Sequential(
            *(Conv2d(16, 7, 2, 3, bias=False), BatchNorm2d(), ReLU(), MaxPool2d(3, 2, 1)),
            *(Residual(Sequential(Conv2d(16, 3, padding=1), SiLU(), Conv2d(16, 3, padding=1))), ReLU()),
            *(Conv2d(24, 3, 2, 1), ReLU(), Conv2d(24, (3, 2), padding=((1, 0), (0, 2)), dilation=2), AvgPool2d(2, 1)),
            *(Conv2d(24, 3, padding=1, groups=24), GlobalAvgPool2d(), Linear(5)),
        ),
        (33, 30, 3),
    ),
    "depthwise and shuffled": trace(
        Sequential(
            *(Conv2d(40, 3), ReLU(), Conv2d(40, 5, 2, 2, groups=40), BatchNorm2d(), SiLU()),
            *(Concat(Sequential(), Sequential(Conv2d(11, 1), ReLU())), ChannelShuffle(3)),
            *(Concat(Slice(7), Sequential(Slice(3, 45), Conv2d(42, 3, padding=1, groups=42))), ReLU()),
            *(Conv2d(40, 1), Conv2d(40, 3, padding=1, groups=5), Residual(Conv2d(40, 3, padding=1, groups=2)), ReLU()),
            *(SqueezeExcite(4), Conv2d(12, 1), Dropout(0.1), GlobalAvgPool2d(), Linear(5)),
        ),
        (19, 15, 3),
    ),
}


def _engine(target, **settings):
    return NativeEngine(target, precision="bfloat16", **settings)


def _parameters(graph, seed=0):
    rng = np.random.default_rng(seed)
    found = {v.name: (rng.normal(size=v.shape) * 0.2).astype(np.float32) for v in variables_of(graph)}
    return {name: np.abs(value) + 0.5 if "running_var" in name else value for name, value in found.items()}


def _images(graph, count, seed=1):
    sides = (graph.input.height, graph.input.width, graph.input.channels)
    return np.random.default_rng(seed).random((count, *sides), dtype=np.float32)


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_lost_of_what_bfloat16_represents(name):
    graph = CASES[name]
    case = representable_case(graph, exact_count(4, graph), seed=1)
    assert case is not None
    check_exact_prediction(_engine(vectors_alone(), algorithm="direct"), case)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        *((name, count) for name in ("tails of everything", "strides and joins") for count in (1, 3, 40)),
        ("depthwise and shuffled", 3),
    ],
)
def test_an_image_gets_the_same_bits_on_every_instruction_set_and_number_of_threads(name, count):
    graph = NETWORKS[name]
    parameters, images = _parameters(graph), _images(graph, count)
    # The parts in float32 round alike on vectors of eight and sixteen; four lanes have no fused multiply-add.
    alike = [target for key, target in targets().items() if key != "sse2"]
    answers = [_engine(target).predictor(graph, parameters, 1).logits(images) for target in alike]
    assert all((answer == answers[0]).all() for answer in answers)
    assert (_engine(alike[-1]).predictor(graph, parameters, 2).logits(images) == answers[-1]).all()
    one = _engine(alike[-1]).predictor(graph, parameters, 1)
    alone = np.concatenate([one.logits(images[n : n + 1], batch_size=count) for n in range(min(count, 3))])
    assert (alone == answers[-1][:3]).all()


ALONE = {
    "3 x 3": (Conv2d(40, 3, padding=1), (9, 7, 40)),
    "5 x 5, stride 2": (Conv2d(33, 5, 2, 2), (11, 9, 33)),
    "1 x 1": (Conv2d(70, 1), (5, 4, 64)),
    "3 x 3, stride 3, dilated": (Conv2d(16, 3, 3, 2, 2), (13, 11, 8)),
    "3 x 3, 16 groups of 4 channels": (Conv2d(64, 3, padding=1, groups=16), (7, 6, 64)),
    "3 x 3, stride 2, 2 groups of 24": (Conv2d(48, 3, 2, 1, groups=2), (9, 6, 48)),
    "1 x 1, 5 groups of 24": (Conv2d(120, 1, groups=5), (5, 6, 120)),
    "3 x 3, 3 groups of 32 for 10 filters": (Conv2d(30, 3, groups=3), (7, 5, 96)),
    "3 x 3, 3 groups of 10 for 32 filters": (Conv2d(96, 3, groups=3), (7, 5, 30)),
    "7 x 7 of an image": (Conv2d(32, 7, 2, 3), (20, 17, 3)),
}


@pytest.mark.parametrize("sides", [name for name in ("avx2", "sse2", "neon") if name in targets()])
@pytest.mark.parametrize("name", ALONE)
def test_a_convolution_is_within_its_bound_of_exact_sums_of_rounded_factors(name, sides):
    layer, shape = ALONE[name]
    first = name.endswith("of an image")
    layers = (layer,) if first else (Conv2d(shape[-1], 1), layer)  # what is no image of the caller's lies in planes
    graph = trace(Sequential(*layers), shape)
    parameters, images = _parameters(graph), _images(graph, 3)
    if not first:
        parameters["0.weight"] = np.eye(shape[-1], dtype=np.float32).reshape(1, 1, shape[-1], -1)
        parameters["0.bias"][:] = 0
    exact = {key: rounded(value) if key.endswith("weight") else value for key, value in parameters.items()}
    reference = ReferenceEngine()
    wanted = reference.predictor(graph, exact).exact_features(rounded(images).astype(np.float32))
    sizes = {key: np.abs(value) for key, value in exact.items()}
    total = reference.predictor(graph, sizes).exact_features(np.abs(rounded(images)).astype(np.float32))
    terms = parameters[f"{len(layers) - 1}.weight"].size // layer.channels
    got = _engine(targets()[sides]).predictor(graph, parameters).features(images)
    assert (np.abs(got - wanted) <= gamma(terms + 3) * total + U).all()


@pytest.mark.parametrize("features", [512, 33])
@pytest.mark.parametrize("count", [1, 5, 33])
def test_a_fully_connected_layer_is_within_its_bound(features, count):
    graph = trace(Sequential(Conv2d(32, 1), ReLU(), Flatten(), Linear(features), Linear(7)), (3, 4, 32))
    parameters, images = _parameters(graph), _images(graph, count)
    reference = ReferenceEngine()
    wanted = reference.predictor(graph, parameters).exact_logits(images)
    got = _engine(vectors_alone()).predictor(graph, parameters).logits(images)
    # Each factor of a product is rounded once, layer by layer, and what a layer gives is so again for the next one.
    sizes = {key: np.abs(value) for key, value in parameters.items()}
    total = reference.predictor(graph, sizes).exact_logits(images)
    roundings = 2 * 3
    bound = (1 + HALF) ** roundings * (1 + gamma(32 + 384 + features + 9)) - 1
    assert (np.abs(got - wanted) <= bound * total).all()
    assert np.abs(got - wanted).max() > 0  # it does round


def test_between_convolutions_of_groups_nothing_is_float32():
    graph = trace(
        Sequential(Conv2d(64, 3), ReLU(), Conv2d(64, 3, groups=16), BatchNorm2d(), ReLU(), Conv2d(128, 1), Flatten()),
        (8, 8, 3),
    )
    program = _engine(targets()["avx2"]).predictor(graph, _parameters(graph)).executable(2).program
    products = [stage for stage in program.every_stage() if isinstance(stage, TileProduct)]
    assert [stage.groups for stage in products] == [1, 16, 1]
    assert all(isinstance(before.y, Blocked) and before.y.name == after.x.name for before, after in pairwise(products))


def test_nan_stays_in_its_image():
    graph = NETWORKS["strides and joins"]
    parameters, images = _parameters(graph), _images(graph, 3)
    clean = _engine(vectors_alone()).predictor(graph, parameters).logits(images)
    images[1, 5, 5, 1] = np.nan
    got = _engine(vectors_alone()).predictor(graph, parameters).logits(images)
    assert np.isnan(got[1]).all()
    assert (got[[0, 2]] == clean[[0, 2]]).all()


def test_where_sums_are_stored_makes_no_difference(monkeypatch):
    """Between the products of the next block, or behind their own."""
    graph = trace(
        Sequential(Conv2d(8, 3), Conv2d(40, 3, padding=1), ReLU(), MaxPool2d(3, 2), Conv2d(5, 2), Conv2d(9, 3, 2)),
        (15, 13, 3),
    )
    parameters, images = _parameters(graph), _images(graph, 3)
    answers = []
    for forbidden in (False, True):
        engine = _engine(vectors_alone())
        program = engine.predictor(graph, parameters, 1).executable(3).program
        assert (
            any(isinstance(stage, TileProduct) and stage.interleaves for stage in program.every_stage())
            is not forbidden
        )
        answers.append(engine.predictor(graph, parameters, 1).logits(images))
        monkeypatch.setattr(TileProduct, "interleaves", property(lambda stage: False))
    assert answers[0].tobytes() == answers[1].tobytes()
