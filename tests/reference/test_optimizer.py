"""The optimizers against steps worked out by hand."""

import math

import numpy as np
import pytest

from neocog.errors import SettingError
from neocog.nn.groups import GradientClip, Penalty
from neocog.nn.optimizers import (
    LAMB,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    Lookahead,
    Muon,
    NAdam,
    Optimizer,
    RMSprop,
)
from neocog.reference.optimizer import clipped, initial_memory, orthogonalised, penalised, update


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


def test_adagrad_by_hand():
    # s = 4, step 2 / 2; then s = 4 + 12 = 16, step √12 / 4.
    assert walk(Adagrad(epsilon=0.0), [2.0, math.sqrt(12.0)]) == pytest.approx([0.9, 0.9 - 0.1 * math.sqrt(12.0) / 4])


def test_adadelta_by_hand():
    # s = 0.5 · 4 = 2, u = √(1 / 3) · 2; d = 0.5 · u² = 2 / 3.  Then s = 1.5, u = √(5 / 3) / √2.5 · 1.
    first, second = 2 / math.sqrt(3), math.sqrt(5 / 3) / math.sqrt(2.5)
    path = walk(Adadelta(smoothing=0.5, epsilon=1.0), [2.0, 1.0], learning_rate=1.0)
    assert path == pytest.approx([1 - first, 1 - first - second])


def test_nadam_by_hand():
    optimizer = NAdam(beta1=0.8, beta2=0.9, epsilon=0.01, momentum_decay=0.5, weight_decay=0.25)
    mean = square = 0.0
    product, weight, path = 1.0, 1.0, []
    for step, gradient in enumerate([2.0, -1.0, 0.5], 1):
        own, after = (0.8 * (1 - 0.5 * 0.96 ** (0.5 * n)) for n in (step, step + 1))
        g = gradient + 0.25 * weight
        product *= own
        mean, square = 0.8 * mean + 0.2 * g, 0.9 * square + 0.1 * g * g
        root = math.sqrt(square / (1 - 0.9**step)) + 0.01
        weight -= 0.1 * ((1 - own) / (1 - product) * g + after / (1 - product * after) * mean) / root
        path.append(weight)
    assert walk(optimizer, [2.0, -1.0, 0.5]) == pytest.approx(path)


def test_the_product_of_nadams_shares_ends_in_0():
    assert NAdam().product(3) == pytest.approx(math.prod(NAdam()._share(step) for step in (1, 2, 3)))
    assert NAdam().product(10**9) == 0.0
    assert NAdam().scalars(10**9) == pytest.approx((0.1, 0.9, 1.0))


def test_lamb_steps_by_a_share_of_the_length_of_the_weights():
    # The first direction is the sign of the gradient, of length 2; with decay of 0.5 · w it is (1 + 1.5, -1 + 2).
    weight, gradient = np.array([3.0, 4.0, 0.0, 0.0]), np.array([5.0, -7.0, 1.0, 1.0])
    optimizer = LAMB(epsilon=0.0, weight_decay=0.0)
    memory = initial_memory(optimizer, weight)
    after, _ = update(optimizer, weight, gradient, memory, learning_rate=0.1, step=1)
    assert after == pytest.approx(weight - 0.1 * (5 / 2) * np.sign(gradient))
    optimizer = LAMB(epsilon=0.0, weight_decay=0.5)
    after, _ = update(optimizer, weight, gradient, memory, learning_rate=0.1, step=1)
    direction = np.sign(gradient) + 0.5 * weight
    assert after == pytest.approx(weight - 0.1 * 5 / np.linalg.norm(direction) * direction)


def test_lamb_step_by_step():
    stream = np.random.default_rng(2)
    optimizer = LAMB(beta1=0.8, beta2=0.9, epsilon=0.01, weight_decay=0.25)
    mean = square = np.zeros((3, 2))
    weight = mine = stream.normal(size=(3, 2))
    memory = initial_memory(optimizer, weight)
    for step in range(1, 6):
        gradient = stream.normal(size=(3, 2))
        mine, memory = update(optimizer, mine, gradient, memory, learning_rate=0.1, step=step)
        mean, square = 0.8 * mean + 0.2 * gradient, 0.9 * square + 0.1 * gradient**2
        u = mean / (1 - 0.8**step) / (np.sqrt(square / (1 - 0.9**step)) + 0.01) + 0.25 * weight
        weight = weight - 0.1 * math.sqrt((weight**2).sum() / (u**2).sum()) * u
        assert mine == pytest.approx(weight, rel=1e-12)


def test_lookahead_step_by_step():
    # Adam by itself goes through `fast`; every third step the weights are set to between it and the slow ones.
    stream, inner = np.random.default_rng(3), Adam(beta1=0.5)
    optimizer = Lookahead(inner, every=3, share=0.25)
    mine = fast = slow = stream.normal(size=4)
    memory, within = initial_memory(optimizer, mine), initial_memory(inner, mine)
    for step in range(1, 8):
        gradient = stream.normal(size=4)
        mine, memory = update(optimizer, mine, gradient, memory, learning_rate=0.1, step=step)
        fast, within = update(inner, fast, gradient, within, learning_rate=0.1, step=step)
        if step % 3 == 0:
            slow = fast = 0.75 * slow + 0.25 * fast
        assert mine == pytest.approx(fast, rel=1e-12)


def test_lamb_takes_a_direction_as_it_is_where_the_weights_are_0_or_no_layers():
    gradient = np.array([2.0, -1.0])
    for optimizer, weight in ((LAMB(epsilon=0.0), np.zeros(2)), (LAMB(epsilon=0.0).part(False)[0], np.full(2, 8.0))):
        optimizer = optimizer.with_decay(0.0)
        memory = initial_memory(optimizer, weight)
        after, _ = update(optimizer, weight, gradient, memory, learning_rate=0.1, step=1)
        assert after == pytest.approx(weight - 0.1 * np.sign(gradient))


def test_lookahead_goes_part_of_the_way_and_the_weights_go_on_from_there():
    # SGD alone: 0.8, 0.6 | from (1 + 0.6) / 2 = 0.8: 0.6, 0.4 | (0.8 + 0.4) / 2 = 0.6.
    assert walk(Lookahead(SGD(), every=2), [2.0, 2.0, 2.0, 2.0]) == pytest.approx([0.8, 0.8, 0.6, 0.6])


def test_lookahead_may_begin_with_the_whole_way_and_end_with_a_share():
    optimizer = Lookahead(SGD(), every=1, share=0.5, over=2, power=1.0)
    # share 0.75: 1 - 0.75 · 0.2 = 0.85 | 0.5: 0.85 - 0.5 · 0.2 = 0.75 | and so on
    assert walk(optimizer, [2.0, 2.0, 2.0]) == pytest.approx([0.85, 0.75, 0.65])
    assert [optimizer.share_at(step) for step in (1, 2, 3)] == [0.75, 0.5, 0.5]


@pytest.mark.parametrize("shape", [(9, 4), (4, 9), (5, 5), (1, 7), (7, 1)])
def test_muon_brings_singular_values_near_1(shape):
    matrix = np.random.default_rng(1).normal(size=shape)
    found = orthogonalised(Muon(), matrix)
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    x = values / np.linalg.norm(values)
    for _ in range(5):
        x = 3.4445 * x - 4.7750 * x**3 + 2.0315 * x**5
    assert (np.abs(x - 1) < 0.35).all()
    assert found == pytest.approx(left * x @ right, abs=1e-12)


def test_muon_by_hand():
    # One filter of two values: the matrix has one singular value, its norm, so that x = 1 before the iteration.
    weight, gradient = np.array([[1.0], [2.0]]), np.array([[3.0], [4.0]])
    optimizer = Muon(iterations=1, coefficients=(2.0, -1.5, 0.75), momentum=0.5, weight_decay=0.25)
    after, memory = update(optimizer, weight, gradient, initial_memory(optimizer, weight), learning_rate=0.1, step=1)
    assert after == pytest.approx(weight * 0.975 - 0.1 * 1.25 * gradient / 5)
    assert memory["momentum"] == pytest.approx(0.5 * gradient)


def test_clipping():
    gradients = {"a": np.array([3.0, 0.0]), "b": np.array([[4.0]])}
    same = clipped(GradientClip(norm=6.0), gradients)
    assert all((same[name] == gradients[name]).all() for name in gradients)
    shorter = clipped(GradientClip(norm=1.0), gradients)
    assert shorter["a"] == pytest.approx([3 / 5.000001, 0])
    assert shorter["b"] == pytest.approx(np.array([[4 / 5.000001]]))
    assert clipped(GradientClip(value=3.5), gradients)["b"] == 3.5
    assert clipped(GradientClip(), gradients) == gradients
    assert clipped(GradientClip(norm=5.0, value=4.0), gradients)["b"] == pytest.approx(np.array([[4.0]]))
    assert clipped(GradientClip(norm=0.5, value=0.5), gradients)["a"] == pytest.approx(
        [0.5 / math.sqrt(2), 0], rel=1e-5
    )


def test_penalties_pull_towards_0():
    weight = np.array([2.0, -4.0, 0.0])
    assert penalised(Penalty(l1=0.5, l2=0.25), weight, np.ones(3)) == pytest.approx([2.0, -0.5, 1.0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GradientClip(norm=0.0), "clip_norm must be above 0, got 0.0"),
        (lambda: GradientClip(value=math.nan), "clip_value must be above 0, got nan"),
        (lambda: Penalty(l1=-1.0), "l1 must be 0 or more, got -1.0"),
        (lambda: Lookahead(Lookahead()), "Lookahead: optimizer must be another optimizer"),
        (lambda: Lookahead(share=0.0), "Lookahead: share must be in"),
        (lambda: Lookahead(every=0), "Lookahead: every must be an integer of at least 1, got 0"),
        (lambda: Lookahead(over=-1), "Lookahead: over must be an integer of at least 1, got -1"),
        (lambda: Lookahead(power=-1.0), "Lookahead: power must be 0 or more"),
        (lambda: Muon(rest=LAMB()), "Muon: rest must be an optimizer that takes each value by itself"),
        (lambda: Muon(coefficients=(1.0, 2.0)), "Muon: coefficients must be three numbers"),
        (lambda: Muon(iterations=100), "Muon: iterations must be at most 99, got 100"),
        (lambda: NAdam(momentum_decay=-1.0), "NAdam: momentum_decay must be 0 or more, got -1.0"),
        (lambda: LAMB(layerwise=1), "LAMB: layerwise must be True or False, got 1"),
        (lambda: Adadelta(smoothing=1.0), "Adadelta: smoothing must be in"),
        (lambda: Adagrad(epsilon=-1.0), "Adagrad: epsilon must be 0 or more, got -1.0"),
    ],
)
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises(SettingError) as refused:
        make()
    assert message in str(refused.value)
