"""What is compared between an engine and the reference: a prediction and a training step, exactly or within bounds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from conformance_bounds import Bounds, error_bound, gates_are_clear, rms, single_precision_error, within
from conformance_cases import Case
from neocog.engines.base import State, StepResult, StepSettings
from neocog.engines.reference import ReferenceEngine
from neocog.nn.layers import (
    AvgPool2d,
    Concatenate,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    Linear,
    Maxout,
    MaxPool2d,
    ReLU,
)
from neocog.nn.optimizers import SGD
from rounding.rule import U

RATE = 0.125  # a power of two, so that an update rounds once, in every engine alike

# An engine's root mean square error may be this many times that of NumPy's float32. Orders of summation differ, and
# with them errors, by some factors; a running sum over a large batch, or a careless exponential, shows.
WORSE = 8

# What rounds sums, or nothing at all. Every other layer rounds each value by itself, where NumPy may be lucky.
SUMS_AND_CHOICES = (Conv2d, ConvTranspose2d, Linear, AvgPool2d, Flatten, ReLU, MaxPool2d, Maxout, Concatenate)


# Exactly --------------------------------------------------------------------------------------------------------------


def check_exact_prediction(engine, case: Case) -> None:
    """Compare logits and features, where nothing rounds."""
    mine = engine.predictor(case.graph, case.parameters)
    reference = ReferenceEngine().predictor(case.graph, case.parameters)
    features, exact_features = mine.features(case.images), reference.exact_features(case.images)
    logits, exact = mine.logits(case.images), reference.exact_logits(case.images)
    # Without a draw, sums may need more bits than in the step that was made exact: allow one rounding of each.
    if any(node.layer.training_only and node.layer.rate for node in case.graph.nodes):
        largest = max(np.abs(exact).max(initial=1.0), np.abs(exact_features).max(initial=1.0))
        close = {"rtol": 1e-5, "atol": 1e-5 * largest}
        np.testing.assert_allclose(features, exact_features, **close)
        np.testing.assert_allclose(logits, exact, **close)
    else:
        assert_same(features, exact_features, "features")
        assert_same(logits, exact, "logits")


def check_exact_step(engine, case: Case) -> None:
    """Compare one step of descent, where nothing rounds but the update."""
    settings = StepSettings(case.loss, SGD(), case.batch_size, case.seed)
    mine = engine.train_program(case.graph, case.parameters, settings)
    reference = ReferenceEngine().train_program(case.graph, case.parameters, settings)
    result = mine.step(case.images, case.targets, RATE)
    wanted = reference.step(case.images, case.targets, RATE)
    assert_same(result.logits, reference.exact_logits, "logits")
    # Squares may need more than 24 bits: a rounding for each of them, and one for each addition.
    assert result.loss == pytest.approx(wanted.loss, rel=(reference.exact_logits.size + 4) * 2.0**-24)
    gradients, parameters = mine.gradients(), mine.parameters()
    assert set(gradients) == set(reference.exact_gradients)
    assert set(parameters) == set(reference.exact_parameters)
    for name, gradient in reference.exact_gradients.items():
        assert_same(gradients[name], gradient, f"gradient of {name}")
        assert_same(parameters[name], reference.exact_parameters[name].astype(np.float32), f"new {name}")


def assert_same(computed: np.ndarray, exact: np.ndarray, what: str) -> None:
    """Fail unless two arrays hold the same numbers, and say where they do not."""
    assert computed.dtype == np.float32
    assert computed.shape == exact.shape, what
    differ = np.argwhere(computed != exact)
    assert len(differ) == 0, (
        f"{what}: {len(differ)} of {exact.size} differ, first at {tuple(differ[0])}: "
        f"{computed[tuple(differ[0])]} for {exact[tuple(differ[0])]}"
    )


# Within bounds --------------------------------------------------------------------------------------------------------


def check_close_prediction(engine, case: Case) -> None:
    """Hold logits and features against their bounds."""
    bounds = error_bound(case, training=False)
    predictor = engine.predictor(case.graph, case.parameters)
    feature = case.graph.feature_node
    assert within(predictor.logits(case.images), bounds.run.logits, bounds.of_logits)
    both = bounds.run.outputs[feature], bounds.of_outputs[feature]
    exact, limit = (values.reshape(len(values), -1) for values in both)
    assert within(predictor.features(case.images), exact, limit)


def check_close_step(engine, case: Case) -> None:
    """Hold the logits, loss, gradients, new parameters and new buffers of two steps against their bounds, and the usual
    error of the first against NumPy's. The second finds in memory what the first left there.
    """
    settings = StepSettings(case.loss, SGD(), case.batch_size, case.seed)
    program = engine.train_program(case.graph, case.parameters, settings)
    bounds, result, gradients = _check_close_step(program, case, 1)
    # A network without parameters is computed in double by NumPy, whatever it is asked for.
    if case.parameters and gates_are_clear(case, bounds.run):
        usual = single_precision_error(case)
        computed, exact = gradients | {"logits": result.logits}, bounds.gradients | {"logits": bounds.run.logits}
        least = 2 * U * (1 + sum(not isinstance(node.layer, SUMS_AND_CHOICES) for node in case.graph.nodes))
        for name, expected in usual.items():
            assert rms(computed[name] - exact[name]) <= WORSE * expected + least * rms(exact[name]), name
    _check_close_step(program, replace(case, parameters=program.parameters()), 2)


def _check_close_step(program, case: Case, step: int) -> tuple[Bounds, StepResult, State]:
    """Take a step from the parameters of a case, and hold what comes of it against its bounds."""
    bounds = error_bound(case, training=True, step=step)
    result = program.step(case.images, case.targets, RATE)
    assert within(result.logits, bounds.run.logits, bounds.of_logits)
    assert abs(result.loss - bounds.loss) <= bounds.of_loss + U * abs(bounds.loss)
    gradients, parameters = program.gradients(), program.parameters()
    assert set(gradients) == set(bounds.gradients)
    assert set(parameters) == {*bounds.gradients, *bounds.run.buffers}
    for name, exact in bounds.gradients.items():
        limit = bounds.of_gradients[name]
        assert within(gradients[name], exact, limit), name
        weight = case.parameters[name].astype(np.float64)
        size = np.abs(weight) + RATE * (np.abs(exact) + limit)
        assert within(parameters[name], weight - RATE * exact, RATE * limit + 3 * U * size), name
    for name, exact in bounds.run.buffers.items():
        assert within(parameters[name], exact, bounds.of_buffers[name]), name
    return bounds, result, gradients
