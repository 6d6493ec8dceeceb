"""The optimizers against steps worked out by hand."""

import math

import numpy as np
import pytest

from neocog.errors import SettingError
from neocog.nn.optimizers import SGD, Adam, AdamW, Optimizer, RMSprop
from neocog.reference.optimizer import initial_memory, update


def walk(optimizer, gradients, start=1.0, learning_rate=0.1):
    """Return the value of one parameter after each of the gradients."""
    weight = np.array([start])
    memory, path = initial_memory(optimizer, weight), []
    for step, gradient in enumerate(gradients, 1):
        weight, memory = update(optimizer, weight, np.array([gradient]), memory, learning_rate=learning_rate, step=step)
        path.append(weight.item())
    return path


def test_plain_descent():
    assert walk(SGD(), [2.0, -1.0]) == pytest.approx([0.8, 0.9])


def test_weight_decay_pulls_towards_zero():
    # 1 - 0.1·(2 + 0.5·1) = 0.75;  0.75 - 0.1·(0 + 0.5·0.75) = 0.7125
    assert walk(SGD(weight_decay=0.5), [2.0, 0.0]) == pytest.approx([0.75, 0.7125])


def test_momentum_starts_at_the_first_gradient():
    # v = 2, then 0.9·2 + 1 = 2.8, then 0.9·2.8 + 0 = 2.52
    assert walk(SGD(momentum=0.9), [2.0, 1.0, 0.0]) == pytest.approx([0.8, 0.52, 0.268])


def test_nesterov_looks_ahead():
    # directions: 2 + 0.9·2 = 3.8, then 1 + 0.9·2.8 = 3.52
    assert walk(SGD(momentum=0.9, nesterov=True), [2.0, 1.0]) == pytest.approx([0.62, 0.268])


def test_momentum_gathers_weight_decay_too():
    # g = 2 + 0.5·1 = 2.5, w = 0.75; g = 0.375, v = 0.9·2.5 + 0.375 = 2.625, w = 0.4875
    assert walk(SGD(momentum=0.9, weight_decay=0.5), [2.0, 0.0]) == pytest.approx([0.75, 0.4875])


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_adam_takes_a_first_step_of_the_learning_rate_whatever_the_gradient(scale):
    assert walk(Adam(epsilon=0.0), [2.0 * scale]) == pytest.approx([0.9])


def test_adam_by_hand():
    mean = square = 0.0
    weight, path = 1.0, []
    for step, gradient in enumerate([2.0, -1.0, 0.5], 1):
        g = gradient + 0.25 * weight
        mean = 0.8 * mean + 0.2 * g
        square = 0.9 * square + 0.1 * g * g
        weight -= 0.1 * (mean / (1 - 0.8**step)) / (math.sqrt(square / (1 - 0.9**step)) + 0.01)
        path.append(weight)
    assert walk(Adam(beta1=0.8, beta2=0.9, epsilon=0.01, weight_decay=0.25), [2.0, -1.0, 0.5]) == pytest.approx(path)


def test_adamw_decays_the_weight_itself():
    # A gradient of zero leaves only the decay: 1 - 0.1·0.5 = 0.95 of the weight each step.
    assert walk(AdamW(weight_decay=0.5), [0.0, 0.0]) == pytest.approx([0.95, 0.9025])
    # and the first step is 0.95 - 0.1
    assert walk(AdamW(weight_decay=0.5, epsilon=0.0), [2.0]) == pytest.approx([0.85])


def test_nothing_given_is_changed():
    weight, gradient = np.ones(3), np.ones(3)
    memory = initial_memory(Adam(), weight)
    update(Adam(), weight, gradient, memory, learning_rate=0.1, step=1)
    assert weight.tolist() == gradient.tolist() == [1, 1, 1]
    assert not memory["mean"].any()


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(SettingError, match="unknown optimizer"):
        update(Optimizer(), np.ones(1), np.ones(1), {}, learning_rate=0.1, step=1)


def test_rmsprop_by_hand():
    # s = 0.25 * 4 = 1, step 2 / 1; then s = 0.75 + 0.25 * 1 = 1, step 1 / 1.
    assert walk(RMSprop(smoothing=0.75, epsilon=0.0), [2.0, -1.0]) == pytest.approx([0.8, 0.9])
    assert walk(RMSprop(smoothing=0.75, epsilon=0.0, momentum=0.5), [2.0, -1.0]) == pytest.approx([0.8, 0.8])
    assert walk(RMSprop(smoothing=0.75, epsilon=1.0, weight_decay=2.0), [0.0]) == pytest.approx([0.9])
