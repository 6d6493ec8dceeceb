"""Every engine against the reference on ordinary numbers: within a derived bound, and as accurate as it should be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance_bounds import error_bound, rms, single_precision_error
from conformance_cases import examples, real_case, real_cases
from conformance_checks import check_close_prediction, check_close_step
from conformance_networks import LANDMARKS
from neocog.nn.losses import BinaryCrossEntropy, CrossEntropy, MeanSquaredError
from neocog.reference import loss, network

LOSSES = (CrossEntropy(), CrossEntropy(0.1), MeanSquaredError())
EVERY_LOSS = (*LOSSES, BinaryCrossEntropy(), BinaryCrossEntropy(2.5))


@pytest.mark.parametrize("name", LANDMARKS)
@pytest.mark.parametrize(
    ("seed", "which"),
    [(0, CrossEntropy(0.1)), (1, MeanSquaredError())],
    ids=["uint8, cross entropy", "float32, squared error"],
)
def test_landmarks(engine, name, seed, which):
    case = real_case(LANDMARKS[name], 3, seed, which, batch_size=4)
    check_close_step(engine, case)
    check_close_prediction(engine, case)


@examples(0.35)
@given(case=real_cases(st.sampled_from(EVERY_LOSS)))
def test_steps_of_any_network(engine, case):
    check_close_step(engine, case)


@examples(0.2)
@given(case=real_cases(st.just(CrossEntropy())))
def test_predictions_of_any_network(engine, case):
    check_close_prediction(engine, case)


class Float32Reference:
    """The reference run in float32: an engine that needs no compiler, to try the bound itself on."""

    name = "reference in float32"

    def __init__(self, graph, parameters, settings=None):
        self.graph, self.values, self.settings, self.steps = graph, dict(parameters), settings, 0

    @classmethod
    def predictor(cls, graph, parameters):
        return cls(graph, parameters)

    train_program = classmethod(lambda cls, *arguments: cls(*arguments))

    def logits(self, images, batch_size=None):
        return network.forward(self.graph, self.values, images).logits

    def features(self, images):
        return (
            network.forward(self.graph, self.values, images).outputs[self.graph.feature_node].reshape(len(images), -1)
        )

    def step(self, images, targets, rate):
        self.steps += 1
        run = network.forward(self.graph, self.values, images, network.Draw(self.settings.seed, self.steps))
        d_logits = loss.backward(self.settings.loss, run.logits, targets)
        self.found = network.backward(self.graph, self.values, run, d_logits).parameters
        learnt = {name: self.values[name] - np.float32(rate) * gradient for name, gradient in self.found.items()}
        self.values |= learnt | run.buffers
        self.loss = loss.forward(self.settings.loss, run.logits, targets)
        self.logits = run.logits
        return self

    def gradients(self):
        return self.found

    def parameters(self):
        return dict(self.values)


@given(case=real_cases(st.sampled_from(EVERY_LOSS)))
def test_the_bound_holds_for_the_reference_in_float32(case):
    check_close_step(Float32Reference, case)
    check_close_prediction(Float32Reference, case)


@pytest.mark.parametrize("name", ["article", "nothing but linear", "kernel as large as the image", "mean pools"])
def test_the_bound_is_within_a_factor_1000_of_usual_errors(name):
    case = real_case(LANDMARKS[name], 3, 1, MeanSquaredError())
    bounds = error_bound(case, training=True)
    usual = single_precision_error(case)
    limits = bounds.of_gradients | {"logits": bounds.of_logits}
    assert all(rms(limit) <= 1000 * usual[name] for name, limit in limits.items())
