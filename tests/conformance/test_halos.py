"""Halos are cleared where a network's maps would else not stay in the cache: here wherever that can be done."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from conformance_cases import real_case
from conformance_checks import check_close_prediction, check_close_step
from conformance_graphs import GRAPHS
from neocog.engines.native import NativeEngine
from neocog.nn.graph import trace
from neocog.nn.losses import CrossEntropy
from neocog.nn.parameters import initial_parameters
from neocog.nn.zoo import mobilenet_v2
from neocog.plan import planner
from neocog.plan.layout import Space
from neocog.plan.ops.halo import ClearHalo
from neocog.plan.passes import halos
from neocog.plan.planner import plan_program
from neocog.plan.program import Program
from neocog.target.processor import Target

WIDE = Target("x86_64-unknown-linux-gnu", "skylake-avx512", "", 16, 32, True)
EVERY = halos.with_halos_cleared


def clearing_everywhere(stages, tensors, kept, target):
    return EVERY(stages, tensors, kept, replace(target, level2=1))


@pytest.fixture
def everywhere(monkeypatch):
    monkeypatch.setattr(planner, "with_halos_cleared", clearing_everywhere)
    monkeypatch.setattr(halos, "LONG", 1)
    monkeypatch.setattr(halos, "MOST", 1 << 40)


def cleared(program: Program) -> set[str]:
    return {stage.tensor.name for stage in program.every_stage() if isinstance(stage, ClearHalo)}


@pytest.mark.parametrize("name", GRAPHS)
def test_steps_and_predictions_stay_within_their_bounds(everywhere, name):
    case = real_case(GRAPHS[name], 3, 1, CrossEntropy(), batch_size=4)
    check_close_step(NativeEngine(), case)
    check_close_prediction(NativeEngine(), case)


@pytest.mark.parametrize("batch", [1, 8])
def test_answers_are_the_same_bits_with_halos_cleared_however_often_they_are_asked_for(monkeypatch, batch):
    graph = trace(mobilenet_v2(10), (40, 40, 3))
    parameters = initial_parameters(graph)
    images = np.random.default_rng(0).random((batch, 40, 40, 3), np.float32)
    monkeypatch.setattr(planner, "with_halos_cleared", lambda stages, tensors, kept, target: stages)
    untouched = NativeEngine().predictor(graph, parameters, threads=1)
    expected = untouched.logits(images)
    assert not cleared(untouched.executable(batch).program)
    monkeypatch.setattr(planner, "with_halos_cleared", clearing_everywhere)
    monkeypatch.setattr(halos, "MOST", 1 << 40)
    clearing = NativeEngine().predictor(graph, parameters, threads=2)
    for _ in range(3):
        np.testing.assert_array_equal(clearing.logits(images), expected)
    assert len(cleared(clearing.executable(batch).program)) > 5


def test_large_maps_share_their_memory(monkeypatch):
    """MobileNetV2 on 224 × 224 touched 20 MB for one image, each layer memory of its own: 11 % slower."""
    graph = trace(mobilenet_v2(), (224, 224, 3))
    program = plan_program(graph, 1, WIDE)
    assert cleared(program)
    monkeypatch.setattr(planner, "with_halos_cleared", lambda stages, tensors, kept, target: stages)
    assert program.size(Space.ARENA) < 0.6 * plan_program(graph, 1, WIDE).size(Space.ARENA)


def test_maps_that_no_cache_holds_keep_their_halos():
    program = plan_program(trace(mobilenet_v2(), (224, 224, 3)), 64, WIDE)
    tensors = [stage.tensor for stage in program.every_stage() if isinstance(stage, ClearHalo)]
    assert all(4 * tensor.size <= halos.MOST * WIDE.level2 for tensor in tensors)


def test_small_networks_clear_nothing():
    assert not cleared(plan_program(trace(mobilenet_v2(), (32, 32, 3)), 1, WIDE))
