"""Every engine against the reference where nothing rounds: the numbers must be the same, to the last bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance_cases import LANDMARKS, exact_cases, exact_count, exact_slopes, examples, integer_case, networks
from neocog.engines.base import StepSettings
from neocog.engines.reference import ReferenceEngine
from neocog.nn.optimizers import SGD


def check_prediction(engine, case):
    """Compare logits and features."""
    mine = engine.predictor(case.graph, case.parameters)
    reference = ReferenceEngine().predictor(case.graph, case.parameters)
    assert_same(mine.features(case.images), reference.exact_features(case.images), "features")
    # Without a draw, logits may need more bits than the step that was made exact: allow one rounding of each sum.
    logits, exact = mine.logits(case.images), reference.exact_logits(case.images)
    if any(type(node.layer).__name__ == "Dropout" and node.layer.rate for node in case.graph.nodes):
        np.testing.assert_allclose(logits, exact, rtol=1e-5, atol=1e-5 * np.abs(exact).max(initial=1.0))
    else:
        assert_same(logits, exact, "logits")


def check_step(engine, case):
    """Compare one step of descent. Its rate is a power of two, so the update rounds once, in every engine alike."""
    settings = StepSettings(case.loss, SGD(), case.batch_size, case.seed)
    mine = engine.stepper(case.graph, case.parameters, settings)
    reference = ReferenceEngine().stepper(case.graph, case.parameters, settings)
    result = mine.step(case.images, case.targets, 0.125)
    wanted = reference.step(case.images, case.targets, 0.125)
    assert_same(result.logits, reference.exact_logits, "logits")
    # Squares may need more than 24 bits: a rounding for each of them, and one for each addition.
    assert result.loss == pytest.approx(wanted.loss, rel=(reference.exact_logits.size + 4) * 2.0**-24)
    gradients, parameters = mine.gradients(), mine.parameters()
    assert set(gradients) == set(parameters) == set(reference.exact_parameters)
    for name, gradient in reference.exact_gradients.items():
        assert_same(gradients[name], gradient, f"gradient of {name}")
        assert_same(parameters[name], reference.exact_parameters[name].astype(np.float32), f"new {name}")


def assert_same(computed, exact, what):
    assert computed.dtype == np.float32
    assert computed.shape == exact.shape, what
    differ = np.argwhere(computed != exact)
    assert len(differ) == 0, (
        f"{what}: {len(differ)} of {exact.size} differ, first at {tuple(differ[0])}: "
        f"{computed[tuple(differ[0])]} for {exact[tuple(differ[0])]}"
    )


@pytest.mark.parametrize("name", LANDMARKS)
@pytest.mark.parametrize("count", [1, 4])
def test_landmarks(engine, name, count):
    graph = LANDMARKS[name]
    case = integer_case(graph, exact_count(count, graph), seed=count, batch_size=4)
    check_prediction(engine, case)
    check_step(engine, case)


@examples(0.5)
@given(case=exact_cases())
def test_steps_of_any_network(engine, case):
    check_step(engine, case)


@examples(0.3)
@given(case=exact_cases())
def test_predictions_of_any_network(engine, case):
    check_prediction(engine, case)


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
