"""Every engine against the reference on ordinary numbers: within a derived bound, and as accurate as it should be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance_bounds import U, error_bound, gates_are_clear, rms, single_precision_error, within
from conformance_cases import LANDMARKS, examples, real_case, real_cases
from neocog.engines.base import StepSettings
from neocog.nn.losses import CrossEntropy, MeanSquaredError
from neocog.nn.optimizers import SGD
from neocog.reference import loss, network

LOSSES = (CrossEntropy(), CrossEntropy(0.1), MeanSquaredError())

# An engine's root mean square error may be this many times that of NumPy's float32. Orders of summation differ, and
# with them errors, by some factors; a running sum over a large batch, or a careless exponential, shows.
WORSE = 8


def check_prediction(engine, case):
    bounds = error_bound(case, training=False)
    predictor = engine.predictor(case.graph, case.parameters)
    feature = case.graph.feature_node
    assert within(predictor.logits(case.images), bounds.run.logits, bounds.of_logits)
    assert within(predictor.features(case.images), bounds.run.outputs[feature], bounds.of_outputs[feature])


def check_step(engine, case):
    bounds = error_bound(case, training=True)
    settings = StepSettings(case.loss, SGD(), case.batch_size, case.seed)
    stepper = engine.stepper(case.graph, case.parameters, settings)
    result = stepper.step(case.images, case.targets, 0.125)
    assert within(result.logits, bounds.run.logits, bounds.of_logits)
    assert abs(result.loss - bounds.loss) <= bounds.of_loss + U * abs(bounds.loss)
    gradients, parameters = stepper.gradients(), stepper.parameters()
    for name, exact in bounds.gradients.items():
        limit = bounds.of_gradients[name]
        assert within(gradients[name], exact, limit), name
        weight = case.parameters[name].astype(np.float64)
        size = np.abs(weight) + 0.125 * (np.abs(exact) + limit)
        assert within(parameters[name], weight - 0.125 * exact, 0.125 * limit + 3 * U * size), name
    if gates_are_clear(case, bounds.run):
        usual = single_precision_error(case)
        computed, exact = gradients | {"logits": result.logits}, bounds.gradients | {"logits": bounds.run.logits}
        for name, expected in usual.items():
            assert rms(computed[name] - exact[name]) <= WORSE * expected + 2 * U * rms(exact[name]), name


@pytest.mark.parametrize("name", LANDMARKS)
@pytest.mark.parametrize(
    ("seed", "which"),
    [(0, CrossEntropy(0.1)), (1, MeanSquaredError())],
    ids=["uint8, cross entropy", "float32, squared error"],
)
def test_landmarks(engine, name, seed, which):
    case = real_case(LANDMARKS[name], 3, seed, which, batch_size=4)
    check_step(engine, case)
    check_prediction(engine, case)


@examples(0.35)
@given(case=real_cases(st.sampled_from(LOSSES)))
def test_steps_of_any_network(engine, case):
    check_step(engine, case)


@examples(0.2)
@given(case=real_cases(st.just(CrossEntropy())))
def test_predictions_of_any_network(engine, case):
    check_prediction(engine, case)


class Float32Reference:
    """The reference run in float32: an engine that needs no compiler, to try the bound itself on."""

    def __init__(self, graph, parameters, settings=None):
        self.graph, self.values, self.settings = graph, dict(parameters), settings

    @classmethod
    def predictor(cls, graph, parameters):
        return cls(graph, parameters)

    stepper = classmethod(lambda cls, *arguments: cls(*arguments))

    def logits(self, images):
        return network.forward(self.graph, self.values, images).logits

    def features(self, images):
        return network.forward(self.graph, self.values, images).outputs[self.graph.feature_node]

    def step(self, images, targets, rate):
        run = network.forward(self.graph, self.values, images, network.Draw(self.settings.seed, 1))
        d_logits = loss.backward(self.settings.loss, run.logits, targets)
        self.found = network.backward(self.graph, self.values, run, d_logits).parameters
        self.values = {name: value - np.float32(rate) * self.found[name] for name, value in self.values.items()}
        self.loss = loss.forward(self.settings.loss, run.logits, targets)
        self.logits = run.logits
        return self

    def gradients(self):
        return self.found

    def parameters(self):
        return self.values


@given(case=real_cases(st.sampled_from(LOSSES)))
def test_the_bound_holds_for_the_reference_in_float32(case):
    check_step(Float32Reference, case)
    check_prediction(Float32Reference, case)


@pytest.mark.parametrize("name", ["article", "nothing but linear", "kernel as large as the image", "mean pools"])
def test_the_bound_is_within_a_factor_1000_of_usual_errors(name):
    case = real_case(LANDMARKS[name], 3, 1, MeanSquaredError())
    bounds = error_bound(case, training=True)
    usual = single_precision_error(case)
    limits = bounds.of_gradients | {"logits": bounds.of_logits}
    assert all(rms(limit) <= 1000 * usual[name] for name, limit in limits.items())
