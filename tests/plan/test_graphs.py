"""Any graph has a plan: for training, prediction and peaks, by every algorithm, and it passes its own verification."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance_drawn import graphs
from conformance_graphs import EACH, GRAPHS
from neocog.nn.graph import Graph
from neocog.nn.layers import Conv2d
from neocog.nn.losses import CrossEntropy
from neocog.nn.optimizers import SGD
from neocog.plan.algorithm import Algorithm
from neocog.plan.planner import plan_program
from neocog.plan.program import Program, Training
from neocog.target.processor import Target

WIDE = Target("x86_64-unknown-linux-gnu", "skylake-avx512", "", 16, 32, True)
NARROW = Target("x86_64-unknown-linux-gnu", "x86-64", "", 4, 16, False)
MANY = settings(max_examples=5 * settings().max_examples)  # planning is quick


def plans(graph: Graph, batch: int, target: Target, algorithm: Algorithm) -> list[Program]:
    """Plan all programs of a network; `plan_program` verifies each."""
    training = Training(CrossEntropy(), SGD(momentum=0.9))
    made = [
        plan_program(graph, batch, target, training, algorithm),
        plan_program(graph, batch, target, None, algorithm),
    ]
    if any(isinstance(node.layer, Conv2d) for node in graph.nodes):
        made.append(plan_program(graph, batch, target, None, algorithm, outputs=("peaks",)))
    return made


@pytest.mark.parametrize("name", GRAPHS | EACH)
def test_known_graphs(name: str) -> None:
    for target in (WIDE, NARROW):
        for program in plans((GRAPHS | EACH)[name], 4, target, "auto"):
            assert program.stages


@MANY
@given(graphs(), st.integers(1, 5), st.sampled_from((WIDE, NARROW)), st.sampled_from(("auto", "direct", "winograd")))
def test_any_graph(graph: Graph, batch: int, target: Target, algorithm: Algorithm) -> None:
    for program in plans(graph, batch, target, algorithm):
        assert program.stages
