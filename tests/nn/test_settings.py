"""Losses, optimizers and schedules: what they say and what they refuse."""

import math

import pytest

from neocog.errors import SettingError
from neocog.nn.losses import CrossEntropy
from neocog.nn.optimizers import SGD, Adam, AdamW, Optimizer, RMSprop
from neocog.nn.schedules import Constant, Cosine, Schedule, Step


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CrossEntropy(1.0), "CrossEntropy: label_smoothing must lie in [0, 1), got 1.0"),
        (lambda: CrossEntropy(-0.1), "CrossEntropy: label_smoothing must lie in [0, 1), got -0.1"),
        (lambda: SGD(learning_rate=-1.0), "SGD: learning_rate must be 0 or more, got -1.0"),
        (lambda: SGD(learning_rate=math.nan), "SGD: learning_rate must be 0 or more, got nan"),
        (lambda: Adam(learning_rate=math.inf), "Adam: learning_rate must be 0 or more, got inf"),
        (lambda: AdamW(weight_decay=-1.0), "AdamW: weight_decay must be 0 or more, got -1.0"),
        (lambda: SGD(momentum=1.0), "SGD: momentum must be in [0, 1), got 1.0"),
        (lambda: Adam(beta1=1.0), "Adam: beta1 must be in [0, 1), got 1.0"),
        (lambda: RMSprop(smoothing=1.0), "RMSprop: smoothing must be in [0, 1), got 1.0"),
        (lambda: AdamW(beta2=-0.5), "AdamW: beta2 must be in [0, 1), got -0.5"),
        (lambda: Adam(epsilon=-1e-9), "Adam: epsilon must be 0 or more, got -1e-09"),
        (lambda: SGD(nesterov=True), "SGD: nesterov needs a momentum above 0\n  hint: try momentum=0.9"),
        (lambda: Step(at=(0.5, 1.5)), "Step: positions must lie in [0, 1], got (0.5, 1.5)"),
        (lambda: Step(drop=0.0), "Step: drop must be above 0, got 0.0"),
        (lambda: Cosine(warmup=1.0), "Cosine: warmup must lie in [0, 1), got 1.0"),
        (lambda: Cosine(final=1.5), "Cosine: final must lie in [0, 1], got 1.5"),
    ],
)
def test_a_setting_out_of_its_range_is_refused(make, message):
    with pytest.raises(SettingError) as caught:
        make()
    assert str(caught.value) == message


def test_optimizers_name_what_they_remember():
    assert Optimizer().memory == SGD().memory == ()
    assert SGD(momentum=0.9).memory == ("momentum",)
    assert Adam().memory == AdamW().memory == ("mean", "square")
    assert RMSprop().memory == ("square",)
    assert RMSprop(momentum=0.9).memory == ("square", "momentum")
    assert AdamW().weight_decay == 0.01


def test_scalars_of_adam_undo_the_start_at_zero():
    for step in (1, 2, 1000):
        mean, root = Adam().scalars(step)
        # Running means of the constant 1, after so many steps.
        assert mean == pytest.approx(sum(0.1 * 0.9**k for k in range(step)))
        assert root**2 == pytest.approx(sum(0.001 * 0.999**k for k in range(step)))


def test_schedules():
    assert Schedule().factor(0.3) == Constant().factor(0.9) == 1.0
    assert [Step((0.5, 0.75), 0.5).factor(p) for p in (0.0, 0.49, 0.5, 0.75, 1.0)] == [1, 1, 0.5, 0.25, 0.25]
    cosine = Cosine(warmup=0.2, final=0.1)
    assert cosine.factor(0.0) == 0.0
    assert cosine.factor(0.1) == pytest.approx(0.5)
    assert cosine.factor(0.2) == 1.0
    assert cosine.factor(0.6) == pytest.approx(0.55)
    assert cosine.factor(1.0) == cosine.factor(1.1) == pytest.approx(0.1)
