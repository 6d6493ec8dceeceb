"""Pixels of many channels lie a cache line further apart than their channels need: here all do that could."""

from __future__ import annotations

import pytest

from conformance_cases import real_case
from conformance_checks import check_close_prediction, check_close_step
from conformance_graphs import GRAPHS
from neocog.engines.native import NativeEngine
from neocog.nn.blocks import Sequential
from neocog.nn.graph import trace
from neocog.nn.layers import Conv2d, Flatten, GlobalAvgPool2d, Linear, ReLU
from neocog.nn.losses import CrossEntropy
from neocog.nn.optimizers import SGD
from neocog.plan.lower import draft
from neocog.plan.planner import plan_program
from neocog.plan.program import Training
from neocog.target.processor import Target


@pytest.mark.parametrize("name", GRAPHS)
def test_steps_and_predictions_stay_within_their_bounds(monkeypatch, name):
    monkeypatch.setattr(draft, "SAME_SETS", 64)
    case = real_case(GRAPHS[name], 3, 1, CrossEntropy(), batch_size=4)
    check_close_step(NativeEngine(), case)
    check_close_prediction(NativeEngine(), case)


@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize(("channels", "pitch"), [(256, 256), (512, 528), (1024, 1040), (528, 528)])
def test_pixels_that_would_meet_in_one_set_of_the_cache_lie_a_line_apart(lanes, channels, pitch):
    graph = trace(Sequential(Conv2d(channels, 1), ReLU(), GlobalAvgPool2d(), Linear(2)), (3, 3, 1))
    target = Target("x86_64-unknown-linux-gnu", "test", "", lanes, 16, True)
    program = plan_program(graph, 4, target, Training(CrossEntropy(), SGD()))
    of_images = {part for stage in program.every_stage() for part in stage.writes() if getattr(part, "height", 1) == 3}
    assert {part.pitch for part in of_images if part.channels == channels} == {pitch}


def test_vectors_lie_one_behind_another():
    graph = trace(Sequential(Flatten(), Linear(1024), ReLU(), Linear(2)), (3, 3, 1))
    target = Target("x86_64-unknown-linux-gnu", "test", "", 16, 32, True)
    assert plan_program(graph, 4, target, outputs=("2",)).outputs["2"].pitch == 1024
