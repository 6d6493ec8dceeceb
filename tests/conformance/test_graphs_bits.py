"""The native engine on graphs: the same bits on any number of threads, across kill and resume,
and whatever comes with an image.
"""

import llvmlite.binding as llvm
import numpy as np
import pytest

from conformance_cases import real_case
from conformance_graphs import GRAPHS
from neocog.engines.base import StepSettings
from neocog.engines.native import NativeEngine
from neocog.jit.host import NARROWED, make_target
from neocog.nn.blocks import Residual, Sequential
from neocog.nn.followers import EMA
from neocog.nn.graph import trace
from neocog.nn.layers import (
    BatchNorm2d,
    Conv2d,
    DropPath,
    Flatten,
    GroupNorm,
    Hardswish,
    Linear,
    MaxPool2d,
    ReLU,
)
from neocog.nn.losses import CrossEntropy
from neocog.nn.optimizers import AdamW
from neocog.nn.zoo import resnet20

# In front of ResNet-20 a block that it has not: an image may skip it.
SKIPPED = Residual(Sequential(Conv2d(3, 3, padding=1, bias=False), BatchNorm2d(), ReLU(), DropPath(0.5)))
GROUPS = Sequential(
    *(Conv2d(12, 3, padding=1), GroupNorm(3), Hardswish()),
    *(Residual(Sequential(Conv2d(12, 3, padding=1), GroupNorm(4, affine=False), ReLU())), MaxPool2d(2)),
    *(GroupNorm(1), Flatten(), Linear(5)),
)
NETWORKS = {
    "groups": trace(GROUPS, (9, 7, 2)),
    "resnet20": trace(Sequential(SKIPPED, resnet20()), (16, 16, 3)),
    **{name: GRAPHS[name] for name in ("dropped paths", "shared by all", "dense", "a head for each pixel")},
}
COUNTS = (7, 7, 5, 7)  # images of each step: the third is a short batch


def trained(name, threads, killed_after=None):
    """Train some steps, and return all that training changes, and predictions; if it is killed, go on from copies."""
    graph = NETWORKS[name]
    case = real_case(graph, 7, 2, CrossEntropy())
    settings = StepSettings(CrossEntropy(0.1), AdamW(weight_decay=0.05), 7, 5, followers=(EMA(0.9),))
    engine = NativeEngine()
    program = engine.train_program(graph, case.parameters, settings, threads)
    assert program.threads == threads
    for step, count in enumerate(COUNTS):
        if step == killed_after:
            killed, program = (
                program,
                engine.train_program(graph, program.parameters(), settings, threads),
            )
            program.load_optimizer_state(killed.optimizer_state(), step)
        program.step(np.roll(case.images, step, axis=0)[:count], case.targets[:count], 0.01)
    parameters = program.parameters()
    answers = {"answers": engine.predictor(graph, parameters, threads).logits(case.images)}
    gradients = {f"gradient of {key}": value for key, value in program.gradients().items()}
    return parameters | program.optimizer_state() | gradients | answers


def assert_same_bits(one, other):
    assert one.keys() == other.keys()
    for key, value in one.items():
        assert np.isfinite(value).all(), key
        assert value.tobytes() == other[key].tobytes(), key


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize("name", NETWORKS)
def test_bits_depend_neither_on_the_number_of_threads_nor_on_a_resume(name):
    alone = trained(name, 1)
    for threads in (2, 3, 5):
        assert_same_bits(trained(name, threads), alone)
    assert_same_bits(trained(name, 2, killed_after=2), alone)


def _wide(channels: int, side: int) -> Sequential:
    """Return convolutions whose filters, transformed for Winograd's algorithm, no second-level cache may hold."""
    return Sequential(
        *(Conv2d(channels, 3, padding=1, bias=False), BatchNorm2d(), ReLU(), Conv2d(channels, 3, padding=1)),
        *(ReLU(), Flatten(), Linear(5)),
    )


WIDE = {f"{c} channels on {s} x {s}": trace(_wide(c, s), (s, s, 3)) for c, s in ((128, 8), (256, 8), (128, 4))}
ALIKE = {**GRAPHS, **WIDE}


@pytest.mark.parametrize(
    ("name", "target"), [*((name, "this processor") for name in ALIKE), *((name, "avx2") for name in WIDE)]
)
def test_an_image_gets_the_same_bits_whatever_comes_with_it(name, target):
    graph = ALIKE[name]
    case = real_case(graph, 70, 2, CrossEntropy())
    narrowed = [make_target(*NARROWED[target], llvm.get_process_triple())] if target in NARROWED else []
    predictor = NativeEngine(*narrowed).predictor(graph, case.parameters, 2)
    whole = predictor.logits(case.images, 64)
    assert np.isfinite(whole).all()
    for size in (1, 5, 9):
        pieces = [predictor.logits(case.images[start : start + size], 64) for start in range(0, 70, size)]
        assert np.concatenate(pieces).tobytes() == whole.tobytes(), size
