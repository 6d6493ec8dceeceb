"""What a program computes does not hang on what its memory holds, but for the zeros that it says it relies on.

Every byte that a program may give to something else is filled with NaNs before it runs; the results stay the same bits.
This is the proof of plan/verify.py held against the machine: an op that read what it did not write would show.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance_cases import Case, examples, real_case
from conformance_networks import LANDMARKS, networks
from neocog.engines.base import StepSettings
from neocog.engines.native import NativeEngine
from neocog.jit.executable import Executable
from neocog.nn.blocks import Sequential
from neocog.nn.graph import Graph, trace
from neocog.nn.layers import AvgPool2d, Conv2d, Flatten, Linear, MaxPool2d, ReLU
from neocog.nn.losses import CrossEntropy
from neocog.nn.optimizers import SGD
from neocog.plan.layout import Frame, Space
from neocog.plan.live_ranges import always

BATCH, COUNT = 16, 13  # chains have several blocks, the last one of which is short
ENGINES = {algorithm: NativeEngine(algorithm=algorithm) for algorithm in ("auto", "direct", "winograd")}
DEEP = [layer for channels in (16, 16, 24, 16) for layer in (Conv2d(channels, 3, padding=1), ReLU())]
NETWORKS = {
    "one size of map, with halos": trace(Sequential(*DEEP, Flatten(), Linear(3)), (10, 9, 2)),
    "pooled, with halos": trace(
        Sequential(
            *(Conv2d(16, 3, padding=1), ReLU(), MaxPool2d(2), Conv2d(20, 3, padding=1), AvgPool2d(3, 2), ReLU()),
            *(Conv2d(18, 3, padding=1), Conv2d(18, 3, padding=1), ReLU(), MaxPool2d(2, 3), Flatten(), Linear(3)),
        ),
        (21, 18, 3),
    ),
    **{name: LANDMARKS[name] for name in ("two stages", "dropouts", "mean pools", "overlapping pools", "nested")},
}


def framed(block: np.ndarray, frame: Frame) -> np.ndarray:
    """Look at the bytes inside the halos of a tensor."""
    halo = frame.halo
    rows, columns = halo.top + frame.height + halo.bottom, halo.left + frame.width + halo.right
    every = block.reshape(frame.images, rows, columns, frame.pitch * frame.bytes_each)
    return every[:, halo.top : halo.top + frame.height, halo.left : halo.left + frame.width]


def poison(executable: Executable, *, halos: bool = False) -> int:
    """Fill with NaNs whatever memory may be shared; where halos of zeros are, only what is inside them.

    Arguments:
        halos: whether to fill halos of zeros, and nothing else.

    Returns:
        how many allocations were filled.
    """
    program = executable.program
    forever = always([scheduled.stage for scheduled in program.stages])
    executable._bases(0)  # makes the scratch memory of the first thread
    filled = 0
    for (space, _), allocation in program.allocations.items():
        if allocation.live == forever or (halos and allocation.frame is None):
            continue
        memory = executable.arena if space is Space.ARENA else executable._scratch[0]
        block = memory[allocation.offset : allocation.end]
        inside = block if allocation.frame is None else framed(block, allocation.frame)
        inside_was = inside.copy()
        (block if halos else inside)[...] = 0xFF
        if halos:
            inside[...] = inside_was
        filled += 1
    return filled


def training_bytes(engine: NativeEngine, case: Case, how: str) -> tuple[list[bytes], int]:
    """Take two steps and return all that they leave, and how many allocations were poisoned."""
    settings = StepSettings(case.loss, SGD(momentum=0.9), case.batch_size, case.seed)
    train_program = engine.train_program(case.graph, case.parameters, settings, threads=1)
    found, filled = [], 0
    for _ in range(2):
        filled += poison(train_program.executable, halos=how == "halos") if how else 0
        result = train_program.step(case.images, case.targets, 0.125)
        found += [np.float64(result.loss).tobytes(), result.logits.tobytes()]
        found += [
            value.tobytes()
            for state in (train_program.gradients(), train_program.parameters())
            for value in state.values()
        ]
    return found, filled


def prediction_bytes(engine: NativeEngine, case: Case, how: str) -> tuple[list[bytes], int]:
    """Predict twice and return the logits, and how many allocations were poisoned."""
    predictor = engine.predictor(case.graph, case.parameters, threads=1)
    found, filled = [], 0
    for _ in range(2):
        filled += poison(predictor.executable(COUNT), halos=how == "halos") if how else 0
        found.append(predictor.logits(case.images).tobytes())
    return found, filled


def check(engine: NativeEngine, graph: Graph) -> int:
    case = real_case(graph, COUNT, 1, CrossEntropy(), batch_size=BATCH)
    filled = 0
    for results in (training_bytes, prediction_bytes):
        clean, _ = results(engine, case, "")
        poisoned, pieces = results(engine, case, "poisoned")
        same = [
            one == other for one, other in zip(clean, poisoned, strict=True)
        ]  # pytest compares long bytes for minutes
        assert all(same)
        filled += pieces
    return filled


@pytest.mark.parametrize("algorithm", ENGINES)
@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_is_read_that_was_not_written(name: str, algorithm: str) -> None:
    assert check(ENGINES[algorithm], NETWORKS[name])


@examples(0.3)
@given(networks(), st.sampled_from(sorted(ENGINES)))
def test_nothing_is_read_that_was_not_written_by_any_network(graph: Graph, algorithm: str) -> None:
    check(ENGINES[algorithm], graph)


def test_a_halo_that_is_not_zero_shows() -> None:
    """These tests can fail: with NaNs in the halos that are relied on, so do the results."""
    case = real_case(NETWORKS["one size of map, with halos"], COUNT, 1, CrossEntropy(), batch_size=BATCH)
    clean, _ = prediction_bytes(ENGINES["winograd"], case, "")
    dirty, filled = prediction_bytes(ENGINES["winograd"], case, "halos")
    assert filled
    assert clean != dirty
