"""Training in bfloat16: exactly where nothing rounds, by the same sums everywhere, and near what its rounding costs."""

from __future__ import annotations

import numpy as np
import pytest

from conformance_cases import exact_count, real_case
from conformance_checks import RATE, check_exact_step
from emit_functions import targets
from half_cases import representable_step, rounded, rounded_step, tile_products
from neocog.engines.base import StepSettings
from neocog.engines.native import NativeEngine
from neocog.nn.blocks import Concat, Residual, Sequential
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
    SiLU,
    Slice,
)
from neocog.nn.losses import CrossEntropy, MeanSquaredError
from neocog.nn.optimizers import SGD
from neocog.nn.parameters import initial_parameters

PLAIN = (
    *(Conv2d(8, 3, padding=1), ReLU(), MaxPool2d(2), Conv2d(40, 3), ReLU(), MaxPool2d(2)),
    *(Flatten(), Linear(33), ReLU(), Linear(4)),
)
NEXT = Sequential(Conv2d(64, 1), ReLU(), Conv2d(64, 3, padding=1, groups=16), ReLU(), Conv2d(48, 1))
SHUFFLE = Sequential(
    *(Conv2d(24, 1, groups=4), ReLU(), ChannelShuffle(4), Conv2d(24, 3, padding=1, groups=24)),
    *(Conv2d(48, 1, groups=4),),
)
NETWORKS = {
    "plain": trace(Sequential(*PLAIN), (12, 11, 3)),
    "strides": trace(
        Sequential(
            *(Conv2d(8, 5, 2, 2), ReLU(), Conv2d(34, 3, 2, 1), Conv2d(8, 1, 2), ReLU()),
            *(Conv2d(8, (3, 2), (1, 2), ((2, 1), (0, 2)), 2), Flatten(), Linear(4)),
        ),
        (21, 18, 2),
    ),
    "joins": trace(
        Sequential(
            *(Conv2d(16, 3, padding=1), Residual(Sequential(Conv2d(16, 3, padding=1), ReLU(), Conv2d(16, 1)))),
            *(ReLU(), MaxPool2d(3, 2, 1), Conv2d(8, 4), AvgPool2d(2), Conv2d(8, 1), GlobalAvgPool2d(), Linear(4)),
        ),
        (14, 14, 3),
    ),
    "groups": trace(
        Sequential(
            *(Conv2d(8, 3), Conv2d(8, 3, padding=1, groups=8), ReLU(), Conv2d(8, 3, groups=2), Dropout(0.5)),
            *(Conv2d(8, 3), Flatten(), Linear(4)),
        ),
        (12, 10, 3),
    ),
    "shuffled": trace(
        Sequential(
            *(Conv2d(40, 3), Conv2d(40, 3, 2, 1, groups=40), Concat(Sequential(), Conv2d(8, 1)), ChannelShuffle(3)),
            *(Concat(Slice(36), Sequential(Slice(36, 48), Conv2d(12, 3, padding=1, groups=12)), Slice(5, 9)), ReLU()),
            *(Conv2d(8, 1), Flatten(), Linear(4)),
        ),
        (11, 9, 3),
    ),
    "groups of any size": trace(  # the blocks of a ResNeXt and of a ShuffleNet, and what lies across planes and vectors
        Sequential(
            *(Conv2d(48, 1), Residual(NEXT), ReLU(), Conv2d(48, 3, 2, 1, groups=2), Residual(SHUFFLE), ReLU()),
            *(Conv2d(30, (3, 2), 1, 2, 2, False, 3), Conv2d(96, 2, (1, 2), groups=3), ReLU(), Flatten(), Linear(4)),
        ),
        (9, 8, 3),
    ),
}
COUNTS = {"plain": 40, "strides": 3, "joins": 16, "groups": 4, "shuffled": 4, "groups of any size": 8}


SIDES = ("avx512", "avx2", "sse2", "avx2", "sse2", "avx512")


@pytest.mark.parametrize(("name", "sides"), [*zip(NETWORKS, SIDES, strict=True), ("shuffled", "avx512")])
def test_nothing_is_lost_of_a_step_that_bfloat16_represents(name, sides):
    graph = NETWORKS[name]
    case = representable_step(graph, exact_count(COUNTS[name], graph), seed=1)
    assert case is not None
    assert any((value != 0).mean() > 0.1 for value in case.parameters.values())
    check_exact_step(NativeEngine(targets().get(sides), precision="bfloat16"), case)


SEPARABLE = trace(
    Sequential(
        *(Conv2d(8, 3, padding=1, bias=False), BatchNorm2d(), ReLU(), Conv2d(8, 3, 2, 1, groups=8, bias=False)),
        *(BatchNorm2d(), ReLU(), Conv2d(40, 1, bias=False), BatchNorm2d(), ReLU()),
        *(Conv2d(48, 3, padding=1, groups=8), ReLU(), ChannelShuffle(8), Flatten(), Linear(4)),
    ),
    (12, 11, 3),
)


@pytest.mark.parametrize(
    ("graph", "count", "seed"),
    [(NETWORKS["plain"], 40, 3), (NETWORKS["strides"], 3, 3), (SEPARABLE, 8, 5)],
    ids=["plain", "strides", "separable and grouped"],
)
def test_a_step_is_that_of_rounded_factors(graph, count, seed):
    case = real_case(graph, count, seed, CrossEntropy())
    program = NativeEngine(precision="bfloat16").train_program(graph, case.parameters, _settings(case))
    result, model = program.step(case.images, case.targets, RATE), rounded_step(case)
    plain = NativeEngine().train_program(graph, case.parameters, _settings(case))
    exact = {"logits": plain.step(case.images, case.targets, RATE).logits} | plain.gradients()
    for key, value in (program.gradients() | {"logits": result.logits}).items():
        away, costs = (np.linalg.norm(model[key] - other) for other in (value, exact[key]))
        # Sums in another order may be rounded to the neighbour.
        assert 0 < costs < 0.2 * np.linalg.norm(exact[key]), key
        assert away < 0.05 * costs, key


def _settings(case):
    return StepSettings(case.loss, SGD(momentum=0.9), case.batch_size, case.seed)


def _trained(engine, graph, threads, steps=2):
    rng = np.random.default_rng(5)
    count = 8
    images = rng.random((count, graph.input.height, graph.input.width, graph.input.channels), dtype=np.float32)
    labels = rng.integers(0, graph.classes, count).astype(np.int32)
    program = engine.train_program(
        graph, initial_parameters(graph), StepSettings(CrossEntropy(), SGD(momentum=0.9), count), threads
    )
    for _ in range(steps):
        program.step(images, labels, 0.05)
    return program


NORMALIZED = trace(
    Sequential(
        *(Conv2d(16, 3, 2, 1, bias=False), BatchNorm2d(), ReLU(), Conv2d(16, 3, padding=1), SiLU()),
        *(Residual(Sequential(Conv2d(16, 3, padding=1, bias=False), BatchNorm2d())), ReLU(), GlobalAvgPool2d()),
        *(Linear(4),),
    ),
    (17, 16, 3),
)


@pytest.mark.parametrize(
    "graph", [NETWORKS["plain"], NORMALIZED, SEPARABLE], ids=["plain", "normalized", "separable and grouped"]
)
def test_the_same_bits_on_any_number_of_threads(graph):
    engine = NativeEngine(precision="bfloat16")
    one, two = (_trained(engine, graph, threads) for threads in (1, 2))
    for name, value in one.parameters().items():
        assert value.tobytes() == two.parameters()[name].tobytes(), name
    for name, value in one.optimizer_state().items():
        assert value.tobytes() == two.optimizer_state()[name].tobytes(), name


def _tile_sums(rows, dy):
    """Return the sums over positions of channels (images, channels, positions) times filters, by tile registers."""
    sums = np.zeros((rows.shape[1], dy.shape[2]), np.float32)
    for x, y in zip(rows, dy, strict=True):
        for start in range(0, x.shape[1], 32):
            short = ((0, 0), (0, -min(0, x.shape[1] - start - 32)))
            tile, pairs = np.pad(x[:, start : start + 32], short), np.pad(y[start : start + 32], short[::-1])
            sums = tile_products(sums, tile, pairs)
    return sums


@pytest.mark.parametrize("name", targets())
def test_gradients_have_the_bits_of_tile_registers(name):
    """Of convolutions over positions of a padded plane, one of them of groups, and of a fully connected layer over
    images.
    """
    rng = np.random.default_rng(4)
    grouped = Conv2d(8, 3, padding=1, groups=4)
    for last, count, side in ((Conv2d(8, 3, padding=1), 2, 8), (grouped, 2, 8), (Linear(8), 64, 1)):
        graph = trace(Sequential(Conv2d(36, 1), *(() if side > 1 else (Flatten(),)), last), (side, side, 36))
        parameters = {
            key: rng.normal(size=value.shape).astype(np.float32) for key, value in initial_parameters(graph).items()
        }
        parameters |= {"0.weight": np.eye(36, dtype=np.float32)[None, None], "0.bias": np.zeros(36, np.float32)}
        images = rng.normal(size=(count, side, side, 36)).astype(np.float32)
        program = NativeEngine(targets()[name], precision="bfloat16").train_program(
            graph, parameters, StepSettings(MeanSquaredError(), SGD(), count), 1
        )
        goal = rng.normal(size=(count, *graph.answer_shape)).astype(np.float32)
        logits = program.step(images, goal, 0.0).logits
        dy = rounded((logits - goal) * np.float32(2 / logits.size))
        if side > 1:  # the zeros between rows are positions too
            line = side + 1
            x = np.zeros((count, (side + 3) * line, 36), np.float32)
            x[:, line + 1 : (side + 1) * line + 1].reshape(count, side, line, 36)[:, :, :side] = images
            flat = np.pad(dy, ((0, 0), (0, 0), (0, 1), (0, 0))).reshape(count, -1, 8)[:, :-1]
            taps = [r * line + s for r in range(3) for s in range(3)]
            rows = [x[:, tap : tap + flat.shape[1]].transpose(0, 2, 1) for tap in taps]
        else:
            flat, rows = dy[None], [images.reshape(count, 36).T[None]]
        wanted = np.stack([_tile_sums(tap, flat) for tap in rows])
        if last is grouped:  # filters 2 n and 2 n + 1 see the channels from 9 n on
            wanted = np.stack([wanted[:, 9 * (k // 2) : 9 * (k // 2 + 1), k] for k in range(8)], axis=-1)
        key = graph.nodes[-1].name
        gradients = program.gradients()
        assert gradients[f"{key}.weight"].tobytes() == wanted.tobytes()
        ones = np.ones((len(flat), 1, flat.shape[1]), np.float32)
        assert gradients[f"{key}.bias"].tobytes() == _tile_sums(ones, flat)[0].tobytes()
