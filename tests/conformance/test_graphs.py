"""Every engine on networks of every form, with every layer: exactly where nothing rounds, within bounds elsewhere."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance_bounds import error_bound, within
from conformance_cases import exact_cases, exact_count, examples, integer_case, real_case, real_cases
from conformance_checks import (
    check_close_prediction,
    check_close_step,
    check_exact_prediction,
    check_exact_step,
)
from conformance_drawn import graphs
from conformance_graphs import EACH, GRAPHS, VARIANTS, is_exact, layers_of
from neocog.engines.base import StepSettings
from neocog.nn.layers import LAYERS, BatchNorm2d
from neocog.nn.losses import BinaryCrossEntropy, CrossEntropy, MeanSquaredError
from neocog.nn.optimizers import SGD

LOSSES = (CrossEntropy(), CrossEntropy(0.1), MeanSquaredError())
EVERY_LOSS = (*LOSSES, BinaryCrossEntropy(), BinaryCrossEntropy(2.5))
CASES = GRAPHS | EACH
UNROUNDED = {name: graph for name, graph in CASES.items() if is_exact(graph) and exact_count(4, graph)}
STATISTICS = {name: graph for name, graph in CASES.items() if BatchNorm2d in layers_of(graph)}


def test_every_layer_has_networks_around_it():
    assert set(VARIANTS) == set(LAYERS)
    assert {layer for graph in EACH.values() for layer in layers_of(graph)} == set(LAYERS)


@pytest.mark.parametrize("name", CASES)
def test_a_step_stays_within_its_bounds(engine, name):
    parity = list(CASES).index(name) % 2
    check_close_step(engine, real_case(CASES[name], 3, parity, LOSSES[1 + parity], batch_size=4))


@pytest.mark.parametrize("name", GRAPHS)
def test_a_step_with_the_other_loss_stays_within_its_bounds(engine, name):
    parity = list(CASES).index(name) % 2
    check_close_step(engine, real_case(GRAPHS[name], 3, 1 - parity, LOSSES[2 - parity]))


@pytest.mark.parametrize("name", [name for name in CASES if name in GRAPHS or name.endswith("on images")])
def test_a_prediction_stays_within_its_bounds(engine, name):
    check_close_prediction(engine, real_case(CASES[name], 3, 1, CrossEntropy()))


@pytest.mark.parametrize("name", STATISTICS)
def test_running_averages_stay_within_their_bounds_for_three_steps_the_last_of_them_short(engine, name):
    graph = STATISTICS[name]
    case = real_case(graph, 4, 1, CrossEntropy())
    frozen = {node.name for node in graph.nodes if getattr(node.layer, "frozen", False)}
    program = engine.train_program(graph, case.parameters, StepSettings(case.loss, SGD(), 4, case.seed))
    for step, count in enumerate((4, 4, 3)):
        stored = program.parameters()
        images, targets = np.roll(case.images, step, axis=0)[:count], np.roll(case.targets, step, axis=0)[:count]
        program.step(images, targets, 0.125)
        bounds = error_bound(
            replace(case, parameters=stored, images=images, targets=targets), training=True, step=step + 1
        )
        found = program.parameters()
        assert bounds.of_buffers
        for key, limit in bounds.of_buffers.items():
            assert within(found[key], bounds.run.buffers[key], limit), (key, step)
            assert (found[key] != stored[key]).any() == (key.rpartition(".")[0] not in frozen)


@examples(0.5)
@given(case=real_cases(st.sampled_from(EVERY_LOSS), graphs()))
def test_steps_of_any_graph(engine, case):
    check_close_step(engine, case)


@examples(0.3)
@given(case=real_cases(st.just(CrossEntropy()), graphs()))
def test_predictions_of_any_graph(engine, case):
    check_close_prediction(engine, case)


@pytest.mark.parametrize("name", UNROUNDED)
def test_numbers_that_do_not_round_are_the_same(engine, name):
    graph = UNROUNDED[name]
    case = integer_case(graph, exact_count(4, graph), seed=4, batch_size=5)
    check_exact_prediction(engine, case)
    check_exact_step(engine, case)


@examples(0.5)
@given(case=exact_cases(graphs(exact=True)))
def test_numbers_of_any_graph_that_do_not_round_are_the_same(engine, case):
    check_exact_prediction(engine, case)
    check_exact_step(engine, case)
