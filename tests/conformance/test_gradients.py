"""Gradients of values inside a network: every engine that finds them against the reference."""

from __future__ import annotations

import llvmlite.binding as llvm
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance_bounds import value_bounds, within
from conformance_cases import examples, real_case, real_cases
from conformance_drawn import graphs
from conformance_graphs import GRAPHS
from conformance_networks import LANDMARKS
from neocog.engines.base import GradientEngine, value_shape
from neocog.engines.native import NativeEngine
from neocog.engines.reference import ReferenceEngine
from neocog.errors import ShapeError
from neocog.jit.host import NARROWED, make_target
from neocog.nn.graph import IMAGE
from neocog.nn.losses import CrossEntropy
from neocog.nn.parameters import initial_parameters
from neocog.nn.rewrite import ancestors

# The direct sum forms the reference's own products; Winograd's algorithm forms others.
ENGINES = {"native": NativeEngine(algorithm="direct"), "reference": ReferenceEngine()}


def check(engine, case, values):
    """The gradients of values stray from the exact ones by no more than rounding may move them."""
    assert isinstance(engine, GradientEngine)
    graph, last = case.graph, len(case.graph.nodes) - 1
    sent = np.random.default_rng(case.seed).standard_normal((1, *value_shape(graph, last))).astype(np.float32)
    bounds = value_bounds(case, sent)
    for value in values:
        program = engine.gradient_program(graph, case.parameters, value, last)
        for _ in range(2):  # what a run leaves in memory counts no more in the next one
            output, found = program.run(case.images, sent)
            assert output.dtype == found.dtype == np.float32
            assert within(output, bounds.logits, bounds.of_logits)
            assert within(found, bounds.gradients[value], bounds.of_gradients[value]), value


def inner_values(graph):
    """List the values that the answers depend on, but for the answers themselves."""
    return [IMAGE, *(node.index for node in ancestors(graph, len(graph.nodes) - 1)[:-1])]


@pytest.mark.parametrize("name", ["article", "two stages", "dropouts", "overlapping pools", "flatten, then ReLU"])
@pytest.mark.parametrize("engine", ENGINES)
def test_the_pixels_of_landmarks(engine, name):
    check(ENGINES[engine], real_case(LANDMARKS[name], 1, 3, CrossEntropy()), [IMAGE])


@pytest.mark.parametrize("name", ["two residual stages", "dense", "squeezed and excited", "a head for each pixel"])
def test_values_of_graphs_with_branches(name):
    case = real_case(GRAPHS[name], 1, 3, CrossEntropy())
    check(ENGINES["native"], case, inner_values(case.graph)[::5])


@examples(0.06)
@given(case=real_cases(st.just(CrossEntropy()), graphs()), data=st.data())
def test_any_value_of_any_graph(case, data):
    one = case.images[:1]
    case = type(case)(case.graph, case.parameters, one, case.targets[:1], case.loss, 1, case.seed)
    check(ENGINES["native"], case, [data.draw(st.sampled_from(inner_values(case.graph)))])


@pytest.mark.parametrize("name", sorted(NARROWED))
def test_every_instruction_set_gives_what_the_reference_does(name):
    cpu, features = NARROWED[name]
    if not all(llvm.get_host_cpu_features().get(feature) for feature in features):
        pytest.skip(f"this machine has no {name}")
    engine = NativeEngine(make_target(cpu, features, llvm.get_process_triple()), algorithm="direct")
    check(engine, real_case(GRAPHS["two residual stages"], 1, 0, CrossEntropy()), [IMAGE])


def test_a_gradient_of_another_shape_is_refused():
    graph = LANDMARKS["article"]
    program = ENGINES["native"].gradient_program(graph, initial_parameters(graph, 0), IMAGE, len(graph.nodes) - 1)
    with pytest.raises(ShapeError, match=r"of the shape \(1, 2\), got 1 and \(1, 3\)"):
        program.run(np.zeros((1, 6, 6, 1), np.uint8), np.zeros((1, 3), np.float32))
