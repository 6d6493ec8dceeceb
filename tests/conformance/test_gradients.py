"""Gradients of values inside a network: every engine that finds them against the reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance_bounds import gradient_bound, within
from conformance_cases import LANDMARKS, examples, real_case, real_cases
from conformance_drawn import graphs
from conformance_graphs import GRAPHS
from neocog.engines.base import GradientEngine, value_shape
from neocog.engines.native import NativeEngine
from neocog.engines.reference import ReferenceEngine
from neocog.nn.graph import IMAGE
from neocog.nn.losses import CrossEntropy
from neocog.nn.rewrite import ancestors

ENGINES = {"native": NativeEngine(algorithm="direct"), "reference": ReferenceEngine()}


def check(engine, case, value, last):
    """The gradient of a value strays from the exact one by no more than rounding may move it."""
    assert isinstance(engine, GradientEngine)
    graph, image = case.graph, case.images[:1]
    rng = np.random.default_rng(case.seed)
    sent = rng.standard_normal((1, *value_shape(graph, last))).astype(np.float32)
    bounds = gradient_bound(case, sent, value, last)
    program = engine.gradient_program(graph, case.parameters, value, last)
    for _ in range(2):  # what a run leaves in memory does not count in the next one
        output, found = program.run(image, sent)
        assert output.dtype == found.dtype == np.float32
        assert within(output, bounds.output, bounds.of_output)
        assert within(found, bounds.gradient, bounds.of_gradient)


@pytest.mark.parametrize("name", ["article", "two stages", "dropouts", "overlapping pools", "mean pools", "nested"])
@pytest.mark.parametrize("engine", ENGINES)
def test_the_pixels_of_landmarks(engine, name):
    case = real_case(LANDMARKS[name], 1, 3, CrossEntropy())
    check(ENGINES[engine], case, IMAGE, len(case.graph.nodes) - 1)


@pytest.mark.parametrize("name", ["two residual stages", "dense", "squeezed and excited", "a head for each pixel"])
def test_every_value_of_graphs_with_branches(name):
    case = real_case(GRAPHS[name], 1, 3, CrossEntropy())
    last = len(case.graph.nodes) - 1
    for value in (IMAGE, *range(0, last, 3)):
        check(ENGINES["native"], case, value, last)


@examples(0.15)
@given(case=real_cases(st.just(CrossEntropy()), graphs()), data=st.data())
def test_any_value_of_any_graph(case, data):
    last = data.draw(st.integers(0, len(case.graph.nodes) - 1))
    value = data.draw(st.sampled_from([IMAGE, *(node.index for node in ancestors(case.graph, last)[:-1])]))
    if value == IMAGE or value < last:
        check(ENGINES["native"], case, value, last)
