"""Every engine against the reference where nothing rounds: the numbers must be the same, to the last bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance_cases import exact_cases, exact_count, exact_slopes, examples, integer_case
from conformance_checks import check_exact_prediction, check_exact_step
from conformance_networks import LANDMARKS, networks


@pytest.mark.parametrize("name", LANDMARKS)
@pytest.mark.parametrize("count", [1, 4])
def test_landmarks(engine, name, count):
    graph = LANDMARKS[name]
    case = integer_case(graph, exact_count(count, graph), seed=count, batch_size=4)
    check_exact_prediction(engine, case)
    check_exact_step(engine, case)


@examples(0.5)
@given(case=exact_cases())
def test_steps_of_any_network(engine, case):
    check_exact_step(engine, case)


@examples(0.3)
@given(case=exact_cases())
def test_predictions_of_any_network(engine, case):
    check_exact_prediction(engine, case)


@given(networks(exact=True), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_most_networks_have_a_case_without_rounding(graph, count, seed):
    case = integer_case(graph, exact_count(count, graph), seed)
    assert case is not None
    assert all((value == np.round(value)).all() for value in case.parameters.values())


@given(networks(exact=True), st.integers(1, 5))
def test_some_slope_survives_every_way_to_scale_it(graph, count):
    slopes = exact_slopes(exact_count(count, graph), graph.classes)
    assert len(slopes) > 1
    assert set(slopes) == {-slope for slope in slopes}
