"""What each layer gives, by itself: every engine against the reference."""

from __future__ import annotations

import llvmlite.binding as llvm
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance_bounds import error_bound, within
from conformance_cases import examples, real_case, real_cases
from conformance_drawn import graphs
from conformance_graphs import GRAPHS
from conformance_networks import LANDMARKS
from neocog.engines.native import NativeEngine
from neocog.errors import SettingError, ShapeError
from neocog.jit.host import NARROWED, make_target
from neocog.nn.losses import CrossEntropy
from neocog.nn.parameters import initial_parameters


def check_rounding(engine, case):
    """Every layer's output strays from the exact one by no more than rounding may move it."""
    bounds, nodes = error_bound(case, training=False), case.graph.nodes
    got = engine.predictor(case.graph, case.parameters).outputs(case.images, range(len(nodes)))
    assert list(got) == list(range(len(nodes)))
    for node in nodes:
        exact, limit = bounds.run.outputs[node.index], bounds.of_outputs[node.index]
        assert got[node.index].dtype == np.float32
        assert within(got[node.index].reshape(exact.shape), exact, limit), node.title


@pytest.mark.parametrize("name", ["article", "dropouts", "rectangular everything"])
def test_landmarks(engine, name):
    check_rounding(engine, real_case(LANDMARKS[name], 3, 0, CrossEntropy()))


@pytest.mark.parametrize("name", ["two residual stages", "dense", "squeezed and excited", "a head for each pixel"])
def test_graphs_whose_normalizations_are_not_folded(engine, name):
    check_rounding(engine, real_case(GRAPHS[name], 2, 0, CrossEntropy()))


@examples(0.2)
@given(case=real_cases(st.just(CrossEntropy()), graphs()))
def test_any_graph_with_ordinary_numbers(engine, case):
    check_rounding(engine, case)


@pytest.mark.parametrize("name", sorted(NARROWED))
def test_every_instruction_set_gives_what_the_reference_does(name):
    cpu, features = NARROWED[name]
    if not all(llvm.get_host_cpu_features().get(feature) for feature in features):
        pytest.skip(f"this machine has no {name}")
    engine = NativeEngine(make_target(cpu, features, llvm.get_process_triple()))
    check_rounding(engine, real_case(GRAPHS["two residual stages"], 2, 0, CrossEntropy()))


def test_some_layers_alone_and_new_parameters(engine):
    graph = GRAPHS["two residual stages"]
    shape = graph.input
    images = np.random.default_rng(0).random((2, shape.height, shape.width, shape.channels), np.float32)
    first, second = initial_parameters(graph, 1), initial_parameters(graph, 2)
    predictor = engine.predictor(graph, first)
    last = len(graph.nodes) - 1
    some = predictor.outputs(images, [last, 1, 1])
    assert list(some) == [1, last]
    assert some[1].shape == (2, *_sides(graph.nodes[1].output))
    np.testing.assert_allclose(some[last], predictor.logits(images), rtol=1e-4, atol=1e-5)
    predictor.load(second)
    fresh = engine.predictor(graph, second).outputs(images, [1, last])
    assert all((predictor.outputs(images, [1, last])[index] == fresh[index]).all() for index in fresh)
    assert predictor.outputs(images, []) == {}


def test_layers_that_are_not_there_are_refused(engine):
    graph = LANDMARKS["article"]
    predictor = engine.predictor(graph, initial_parameters(graph, 0))
    with pytest.raises(SettingError, match="indices from 0"):
        predictor.outputs(np.zeros((1, *_sides(graph.input)), np.uint8), [len(graph.nodes)])
    with pytest.raises(ShapeError):
        predictor.outputs(np.zeros((1, 2, 2, 1), np.uint8), [0])


def _sides(shape):
    return shape.height, shape.width, shape.channels
