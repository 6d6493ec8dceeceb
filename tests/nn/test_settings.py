"""Losses, optimizers and schedules: what they say and what they refuse."""

import math

import numpy as np
import pytest

from neocog.errors import SettingError
from neocog.nn.followers import EMA
from neocog.nn.groups import Group
from neocog.nn.layers import (
    ELU,
    AvgPool2d,
    BatchNorm2d,
    ChannelShuffle,
    Conv2d,
    Dropout,
    Dropout2d,
    DropPath,
    GroupNorm,
    LeakyReLU,
    Linear,
    Maxout,
    MaxPool2d,
    PixelShuffle,
    Slice,
)
from neocog.nn.losses import BinaryCrossEntropy, CrossEntropy
from neocog.nn.optimizers import SGD, Adam, AdamW, Optimizer, RMSprop
from neocog.nn.schedules import Constant, Cosine, Schedule, Step


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CrossEntropy(1.0), "CrossEntropy: label_smoothing must lie in [0, 1), got 1.0"),
        (lambda: CrossEntropy(-0.1), "CrossEntropy: label_smoothing must lie in [0, 1), got -0.1"),
        (
            lambda: CrossEntropy(weights=(1, -2)),
            "CrossEntropy: weights must be finite numbers of 0 or more, got (1, -2)",
        ),
        (
            lambda: CrossEntropy(weights="balanced"),
            "CrossEntropy: weights must be finite numbers of 0 or more, got 'balanced'",
        ),
        (lambda: CrossEntropy(weights=(0, 0)), "CrossEntropy: weights must not all be 0: nothing would be learnt"),
        (lambda: BinaryCrossEntropy(()), "BinaryCrossEntropy: pos_weight must be finite numbers of 0 or more, got ()"),
        (
            lambda: BinaryCrossEntropy(float("nan")),
            "BinaryCrossEntropy: pos_weight must be finite numbers of 0 or more, got nan",
        ),
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
        (lambda: Step(drop=0.0), "Step: drop must be above 0 and finite, got 0.0"),
        (lambda: Cosine(warmup=1.0), "Cosine: warmup must lie in [0, 1), got 1.0"),
        (lambda: Cosine(final=1.5), "Cosine: final must lie in [0, 1], got 1.5"),
    ],
)
def test_a_setting_out_of_its_range_is_refused(make, message):
    with pytest.raises(SettingError) as caught:
        make()
    assert str(caught.value) == message


# Each number and each flag of what a network and its training are declared with.
NUMBERS = {
    "rate": (Dropout, Dropout2d, DropPath),
    "slope": (LeakyReLU,),
    "alpha": (ELU,),
    "momentum": (BatchNorm2d, SGD, RMSprop),
    "epsilon": (BatchNorm2d, lambda **given: GroupNorm(2, **given), Adam, AdamW, RMSprop),
    "label_smoothing": (CrossEntropy,),
    "learning_rate": (SGD, Adam, AdamW, RMSprop, lambda **given: Group("0", **given)),
    "weight_decay": (SGD, Adam, AdamW, RMSprop),
    "beta1": (Adam, AdamW),
    "beta2": (Adam, AdamW),
    "smoothing": (RMSprop,),
    "decay": (EMA,),
    "warmup": (Cosine,),
    "final": (Cosine,),
    "drop": (Step,),
}
FLAGS = {
    "bias": (lambda **given: Conv2d(2, 3, **given), lambda **given: Linear(2, **given)),
    "affine": (BatchNorm2d, lambda **given: GroupNorm(2, **given)),
    "nesterov": (lambda **given: SGD(momentum=0.5, **given),),
}


@pytest.mark.parametrize(
    "value", [None, "0.5", b"x", True, math.nan, math.inf, 10**400, 1j, [0.5], np.array([0.5, 0.5])]
)
@pytest.mark.parametrize(("name", "make"), [(name, make) for name, kinds in NUMBERS.items() for make in kinds])
def test_a_number_that_is_none_is_refused_by_name(name, make, value):
    with pytest.raises(SettingError, match=f"{name} must .*, got "):
        make(**{name: value})


@pytest.mark.parametrize(("name", "make"), [(name, make) for name, kinds in NUMBERS.items() for make in kinds])
def test_numbers_of_numpy_are_numbers(name, make):
    made = make(**{name: np.float32(0.5)})
    assert getattr(made, name) == 0.5


@pytest.mark.parametrize("kind", [np.int64, np.uint8])
def test_integers_of_numpy_become_pythons_in_every_layer(kind):
    two = kind(2)
    made = [
        Linear(two),
        Conv2d(two, (two, 3), stride=two, padding=(two, two), dilation=two),
        MaxPool2d(two, two, kind(1)),
        AvgPool2d((two, two)),
        GroupNorm(two),
        Maxout(two),
        ChannelShuffle(two),
        PixelShuffle(two),
        Slice(two),
    ]
    plain = [
        Linear(2),
        Conv2d(2, (2, 3), stride=2, padding=(2, 2), dilation=2),
        MaxPool2d(2, 2, 1),
        AvgPool2d((2, 2)),
        GroupNorm(2),
        Maxout(2),
        ChannelShuffle(2),
        PixelShuffle(2),
        Slice(2),
    ]
    assert list(map(repr, made)) == list(map(repr, plain))
    with pytest.raises(SettingError, match="Linear: features must be an integer of at least 1, got 0"):
        Linear(kind(0))
    for value in (True, np.True_, np.float64(2)):
        with pytest.raises(SettingError, match="features must be an integer"):
            Linear(value)


@pytest.mark.parametrize("value", [None, "no", 0, 1.0, []])
@pytest.mark.parametrize(("name", "make"), [(name, make) for name, kinds in FLAGS.items() for make in kinds])
def test_a_flag_is_true_or_false(name, make, value):
    with pytest.raises(SettingError, match=f"{name} must be True or False, got "):
        make(**{name: value})
    assert getattr(make(**{name: True}), name) is True


@pytest.mark.parametrize("value", [None, 0.5, "0.5", {0.5}])
def test_positions_of_drops_are_a_tuple(value):
    with pytest.raises(SettingError, match="Step: at must be a tuple of positions, got "):
        Step(at=value)


@pytest.mark.parametrize("value", [None, 3, ["0"]])
def test_a_group_needs_a_pattern(value):
    with pytest.raises(SettingError, match="Group: pattern must be a text, got "):
        Group(value)


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
