"""The largest value of every feature map: every engine against the reference, and what maps that are cut can hide."""

from __future__ import annotations

import llvmlite.binding as llvm
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance_bounds import error_bound, within
from conformance_cases import exact_cases, exact_count, examples, integer_case, real_case, real_cases
from conformance_drawn import graphs
from conformance_graphs import GRAPHS
from conformance_networks import LANDMARKS
from neocog.engines.base import peak_sources
from neocog.engines.native import PEAKS_BATCH, NativeEngine
from neocog.engines.reference import ReferenceEngine
from neocog.errors import ShapeError
from neocog.jit.host import NARROWED, make_target
from neocog.nn.blocks import Sequential
from neocog.nn.graph import Graph, trace
from neocog.nn.layers import AvgPool2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU
from neocog.nn.losses import CrossEntropy
from neocog.nn.parameters import initial_parameters
from neocog.plan.ops.chain import Chain
from neocog.plan.planner import plan_program

# Poolings inside convolutions, one that leaves a rest, and one of means; the first runs as a chain, the last does not.
NETWORKS = {
    "chain": trace(
        Sequential(
            Conv2d(20, 3, padding=1), ReLU(), MaxPool2d(2), Conv2d(33, 3), MaxPool2d(2), Conv2d(16, 3, padding=2),
            ReLU(), AvgPool2d(2, 1), Conv2d(5, 2, stride=(1, 2), padding=1), Flatten(), Linear(3),
        ),
        (24, 22, 3),
    ),
    "whole batch": trace(
        Sequential(Conv2d(17, 3, padding=1), ReLU(), Conv2d(32, 3, padding=1), Flatten(), Linear(3)), (3, 3, 16)
    ),
}  # fmt: skip
ALGORITHMS = ("direct", "winograd")


def images_for(graph: Graph, count: int, seed: int = 0) -> np.ndarray:
    shape = graph.input
    return np.random.default_rng(seed).random((count, shape.height, shape.width, shape.channels), np.float32)


def same(one: dict[int, np.ndarray], other: dict[int, np.ndarray]) -> bool:
    return list(one) == list(other) and all(one[layer].tobytes() == other[layer].tobytes() for layer in one)


def check_exactly(engine, case):
    got = engine.predictor(case.graph, case.parameters).peaks(case.images)
    want = ReferenceEngine().predictor(case.graph, case.parameters).exact_peaks(case.images)
    assert list(got) == list(want)
    # Without a draw, maps behind a Dropout may need more bits than the step that was made exact.
    rounded = any(isinstance(node.layer, Dropout) and node.layer.rate for node in case.graph.nodes)
    for layer, exact in want.items():
        assert got[layer].dtype == np.float32
        assert got[layer].shape == exact.shape
        slack = 1e-5 * np.abs(exact).max(initial=1.0) if rounded else 0.0
        np.testing.assert_allclose(got[layer], exact, rtol=0, atol=slack)


def check_rounding(engine, case):
    """Two maps that stray by at most e have peaks that stray by at most e."""
    bounds = error_bound(case, training=False)
    got = engine.predictor(case.graph, case.parameters).peaks(case.images)
    for layer, source in peak_sources(case.graph).items():
        exact, limit = bounds.run.outputs[source].max((1, 2)), bounds.of_outputs[source].max((1, 2))
        assert within(got[layer], exact, limit), layer


@pytest.mark.parametrize("name", LANDMARKS)
def test_landmarks(engine, name):
    graph = LANDMARKS[name]
    check_exactly(engine, integer_case(graph, exact_count(4, graph), seed=4))
    check_rounding(engine, real_case(graph, 3, 0, CrossEntropy()))


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs(engine, name):
    check_rounding(engine, real_case(GRAPHS[name], 3, 0, CrossEntropy()))


@examples(0.3)
@given(case=real_cases(st.just(CrossEntropy()), graphs()))
def test_any_graph_with_ordinary_numbers(engine, case):
    check_rounding(engine, case)


@examples(0.3)
@given(case=exact_cases())
def test_any_network_where_nothing_rounds(engine, case):
    check_exactly(engine, case)


@examples(0.3)
@given(case=real_cases(st.just(CrossEntropy())))
def test_any_network_with_ordinary_numbers(engine, case):
    check_rounding(engine, case)


def test_a_network_without_convolutions_has_no_peaks(engine):
    graph = trace(Sequential(MaxPool2d(2), Flatten(), Linear(2)), (4, 4, 1))
    predictor = engine.predictor(graph, initial_parameters(graph, 0))
    assert predictor.peaks(np.zeros((3, 4, 4, 1), np.uint8)) == {}


def test_images_of_another_size_are_refused(engine):
    for graph in (NETWORKS["chain"], LANDMARKS["nothing but linear"]):
        with pytest.raises(ShapeError):
            engine.predictor(graph, initial_parameters(graph, 0)).peaks(np.zeros((3, 4, 4, 1), np.uint8))


def test_a_map_that_is_negative_everywhere_has_a_negative_peak(engine):
    graph = trace(Sequential(Conv2d(3, 3, padding=2), MaxPool2d(2), Conv2d(2, 3, padding=1), Flatten()), (7, 6, 1))
    parameters = {n: np.zeros_like(v) for n, v in initial_parameters(graph, 0).items()}
    parameters["0.bias"][...] = (-1, -2, 3)
    parameters["2.bias"][...] = -5
    peaks = engine.predictor(graph, parameters).peaks(images_for(graph, 3))
    assert peaks[0].tolist() == [[-1, -2, 3]] * 3
    assert peaks[2].tolist() == [[-5, -5]] * 3


def test_only_a_relu_directly_behind_counts(engine):
    net = Sequential(
        *(Conv2d(2, 1), ReLU(), ReLU(), Conv2d(2, 1), Dropout(0.5), ReLU(), Conv2d(2, 1), MaxPool2d(2), ReLU()),
        *(Conv2d(2, 1), Flatten()),
    )
    graph = trace(net, (4, 4, 1))
    parameters = {n: np.zeros_like(v) for n, v in initial_parameters(graph, 0).items()}
    for layer in (0, 3, 6, 9):
        parameters[f"{layer}.bias"][...] = (-4, 7)
    peaks = engine.predictor(graph, parameters).peaks(images_for(graph, 2))
    assert {layer: peak[0].tolist() for layer, peak in peaks.items()} == {0: [0, 7], 3: [-4, 7], 6: [-4, 7], 9: [-4, 7]}


@pytest.mark.parametrize("side", [5, 10, 11])
@pytest.mark.parametrize("padding", [0, 1])
def test_values_that_a_pooling_never_looks_at_count(engine, side, padding):
    convolution = Conv2d(1, 3, padding=padding, bias=False)
    net = Sequential(convolution, ReLU(), MaxPool2d(2, padding=padding), Flatten(), Linear(2))
    graph = trace(net, (side, side, 1))
    parameters = initial_parameters(graph, 0)
    parameters["0.weight"] = np.zeros((3, 3, 1, 1), np.float32)
    parameters["0.weight"][1, 1] = 1
    inside = range(1 - padding, side - 1 + padding)
    places = [(row, column) for row in inside for column in inside]
    images = np.zeros((len(places), side, side, 1), np.float32)
    for image, place in zip(images, places, strict=True):
        image[place] = 1
    assert (engine.predictor(graph, parameters).peaks(images)[0] == 1).all()


def test_a_nan_anywhere_in_a_map_is_its_peak(engine):
    graph = NETWORKS["chain"]
    parameters = initial_parameters(graph, 0)
    predictor = engine.predictor(graph, parameters)
    rows, columns = graph.input.height, graph.input.width
    images = images_for(graph, rows * columns)
    for number, image in enumerate(images):
        image[divmod(number, columns)] = np.nan
    assert np.isnan(predictor.peaks(images)[0]).all()
    assert not np.isnan(predictor.peaks(images_for(graph, 5))[0]).any()  # nothing stays behind
    parameters["0.bias"][3] = np.nan
    predictor.load(parameters)
    peaks = predictor.peaks(images_for(graph, 2))
    assert np.isnan(peaks[0]).nonzero()[1].tolist() == [3, 3]
    assert np.isnan(peaks[3]).all()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("name", NETWORKS)
def test_fewer_images_than_the_program_takes_change_nothing(name, algorithm):
    graph = NETWORKS[name]
    predictor = NativeEngine(algorithm=algorithm).predictor(graph, initial_parameters(graph, 2))
    images = images_for(graph, 2 * PEAKS_BATCH + 3)
    whole = predictor.peaks(images)
    for count in (0, 1, 2, 7, PEAKS_BATCH - 1, PEAKS_BATCH, PEAKS_BATCH + 1):
        assert same(predictor.peaks(images[:count]), {layer: peaks[:count] for layer, peaks in whole.items()})


def test_no_images_have_no_peaks(engine):
    graph = NETWORKS["chain"]
    peaks = engine.predictor(graph, initial_parameters(graph, 2)).peaks(images_for(graph, 0))
    assert {layer: peak.shape for layer, peak in peaks.items()} == {0: (0, 20), 3: (0, 33), 5: (0, 16), 8: (0, 5)}


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("name", NETWORKS)
def test_the_bits_do_not_depend_on_the_number_of_threads(name, algorithm):
    graph = NETWORKS[name]
    engine, images = NativeEngine(algorithm=algorithm), images_for(graph, PEAKS_BATCH + 5)
    alone, *others = (
        engine.predictor(graph, initial_parameters(graph, 2), threads).peaks(images) for threads in (1, 2, 3, 7)
    )
    assert all(same(alone, other) for other in others)


def test_the_networks_above_run_both_ways():
    chained = {}
    for name, graph in NETWORKS.items():
        program = plan_program(graph, PEAKS_BATCH, NativeEngine().target, outputs=("peaks",))
        chains = [scheduled.stage for scheduled in program.stages if isinstance(scheduled.stage, Chain)]
        chained[name] = any(
            "Conv2d" in inner.name and "peaks" not in inner.name for c in chains for inner in c.inner_stages()
        )
    assert chained == {"chain": True, "whole batch": False}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("side", [3, 5, 11, 16])
def test_a_peak_is_the_largest_of_the_same_programs_outputs(side, algorithm):
    graph = trace(Sequential(Conv2d(16, 1), Conv2d(33, 3, padding=1), Flatten()), (side, side, 3))
    predictor = NativeEngine(algorithm=algorithm).predictor(graph, initial_parameters(graph, 2))
    images = images_for(graph, PEAKS_BATCH)
    maps = predictor.logits(images).reshape(-1, side * side, 33)
    assert predictor.peaks(images)[1].tobytes() == maps.max(axis=1).tobytes()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("name", sorted(NARROWED))
def test_every_instruction_set_finds_the_peaks_of_the_reference(name, algorithm):
    cpu, features = NARROWED[name]
    if not all(llvm.get_host_cpu_features().get(feature) for feature in features):
        pytest.skip(f"this machine has no {name}")
    engine = NativeEngine(make_target(cpu, features, llvm.get_process_triple()), algorithm=algorithm)
    for graph in NETWORKS.values():
        parameters, images = initial_parameters(graph, 2), images_for(graph, PEAKS_BATCH + 5)
        got = engine.predictor(graph, parameters).peaks(images)
        for layer, want in ReferenceEngine().predictor(graph, parameters).exact_peaks(images).items():
            assert np.abs(got[layer] - want).max() <= 2e-5 * np.abs(want).max(), layer


def test_new_parameters_count_from_the_next_call_on():
    graph = NETWORKS["chain"]
    engine, images = NativeEngine(algorithm="winograd"), images_for(graph, 3)
    predictor = engine.predictor(graph, initial_parameters(graph, 3))
    before = predictor.peaks(images)
    predictor.load(initial_parameters(graph, 2))
    after = predictor.peaks(images)
    assert same(after, engine.predictor(graph, initial_parameters(graph, 2)).peaks(images))
    assert not np.array_equal(before[8], after[8])
