"""Which layers run as one: what a convolution or fully connected layer takes along, and what it must not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from neocog.nn import layers
from neocog.nn.graph import Graph, trace
from neocog.nn.layer import Layer
from neocog.nn.layers import (
    Activation,
    Add,
    AvgPool2d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    PReLU,
    ReLU,
    SiLU,
    Tanh,
)
from neocog.nn.rewrite import fold_norms
from neocog.nn.symbol import Input, Symbol
from neocog.nn.zoo import resnet20
from neocog.plan.ops.map import Map
from neocog.plan.passes.steps import steps_of
from neocog.plan.planner import plan_program
from neocog.target.processor import Target

TARGET = Target("x86_64-unknown-linux-gnu", "skylake-avx512", "", lanes=16, registers=32, fma=True)
ACTIVATIONS = [layer for layer in layers.LAYERS if issubclass(layer, Activation)]


def graph(build: Callable[[Symbol], Symbol]) -> Graph:
    x = Input((6, 6, 4))
    return Graph(x, build(x))


def titles(build: Callable[[Symbol], Symbol], *, training: bool = False) -> list[str]:
    """Return what runs as one, without the names of layers."""
    return [step.title.split(":")[1] for step in steps_of(graph(build), training=training).steps]


def convolution(x: Symbol) -> Symbol:
    return Conv2d(4, 3, padding=1)(x)


@pytest.mark.parametrize("layer", ACTIVATIONS)
def test_a_program_that_predicts_takes_any_activation_along(layer: type[Layer]) -> None:
    assert titles(lambda x: layer()(convolution(x))) == [f"Conv2d+{layer.__name__}"]
    assert titles(lambda x: layer()(Linear(3)(Flatten()(x)))) == ["Flatten", f"Linear+{layer.__name__}"]


@pytest.mark.parametrize("layer", ACTIVATIONS)
def test_training_takes_along_what_has_its_derivative_from_the_output(layer: type[Layer]) -> None:
    together, apart = [f"Conv2d+{layer.__name__}"], ["Conv2d", layer.__name__]
    found = titles(lambda x: layer()(convolution(x)), training=True)
    assert found == (together if layer.from_output else apart)  # type: ignore[attr-defined]


def test_a_parametric_activation_is_taken_along_in_prediction_alone() -> None:
    assert titles(lambda x: PReLU()(convolution(x))) == ["Conv2d+PReLU"]
    assert titles(lambda x: PReLU()(convolution(x)), training=True) == ["Conv2d", "PReLU"]


def test_a_second_relu_changes_nothing() -> None:
    for training in (False, True):
        assert titles(lambda x: ReLU()(ReLU()(convolution(x))), training=training) == ["Conv2d+ReLU"]


def test_training_takes_one_activation_along_and_prediction_several() -> None:
    assert titles(lambda x: Tanh()(ReLU()(convolution(x))), training=True) == ["Conv2d+ReLU", "Tanh"]
    assert titles(lambda x: SiLU()(Tanh()(convolution(x)))) == ["Conv2d+Tanh+SiLU"]


def test_an_addition_runs_in_the_summand_that_is_computed_last() -> None:
    steps = steps_of(graph(lambda x: ReLU()(Add()(convolution(x), convolution(x)))), training=False).steps
    assert [step.title for step in steps] == ["0:Conv2d", "1:Conv2d+Add+ReLU"]
    assert (steps[1].inputs, steps[1].added) == ((-1,), (0,))


def test_the_image_may_be_added() -> None:
    steps = steps_of(graph(lambda x: Add()(x, convolution(x))), training=False).steps
    assert [(step.title, step.added) for step in steps] == [("0:Conv2d+Add", (-1,))]


def test_one_addition_is_taken_along() -> None:
    assert titles(lambda x: Add()(Add()(x, convolution(x)), x)) == ["Conv2d+Add", "Add"]
    assert titles(lambda x: Add()(x, convolution(x), x)) == ["Conv2d", "Add"]


def test_an_addition_stays_apart_where_a_pooling_is_computed_last() -> None:
    assert titles(lambda x: Add()(convolution(x), AvgPool2d(3, 1, 1)(x))) == ["Conv2d", "AvgPool2d", "Add"]


def test_training_adds_apart() -> None:
    assert titles(lambda x: Add()(x, convolution(x)), training=True) == ["Conv2d", "Add"]


def twice_read(x: Symbol) -> Symbol:
    y = convolution(x)
    return Add()(y, ReLU()(y))


def summed_with_itself(x: Symbol) -> Symbol:
    y = convolution(x)
    return Add()(y, y)


def read_beside_a_dropout(x: Symbol) -> Symbol:
    y = convolution(x)
    return Add()(ReLU()(Dropout(0.5)(y)), y)


def read_behind_two_relus(x: Symbol) -> Symbol:
    y = ReLU()(ReLU()(convolution(x)))
    return Add()(Tanh()(y), y)


def added_to_a_second_relu(x: Symbol) -> Symbol:
    y = ReLU()(convolution(x))
    return Add()(ReLU()(y), y)


@pytest.mark.parametrize(
    ("build", "want"),
    [
        (added_to_a_second_relu, ["Conv2d+ReLU", "Add"]),
        (twice_read, ["Conv2d", "ReLU", "Add"]),
        (summed_with_itself, ["Conv2d", "Add"]),
        (read_beside_a_dropout, ["Conv2d", "ReLU", "Add"]),
        (read_behind_two_relus, ["Conv2d+ReLU", "Tanh", "Add"]),
    ],
)
def test_what_somebody_else_reads_is_stored(build: Callable[[Symbol], Symbol], want: list[str]) -> None:
    assert titles(build) == want


def test_a_convolution_whose_peaks_are_asked_for_takes_nothing_along() -> None:
    net = graph(lambda x: Add()(x, ReLU()(convolution(x))))
    assert [step.title for step in steps_of(net, training=False, wanted=[0, 2]).steps] == [
        "0:Conv2d",
        "1:ReLU",
        "2:Add",
    ]


def test_a_pooling_runs_behind_a_relu_or_nothing() -> None:
    def stages(*between: Layer) -> list[str]:
        def build(x: Symbol) -> Symbol:
            y = Conv2d(16, 3, padding=1)(x)
            for layer in between:
                y = layer(y)
            return MaxPool2d(2)(y)

        x = Input((32, 32, 16))
        program = plan_program(Graph(x, build(x)), 1, TARGET)
        return [type(stage).__name__ for stage in program.every_stage()]

    assert stages() == stages(ReLU()) == ["LoadImages", "Winograd"]
    assert stages(Tanh()) == ["LoadImages", "Winograd", "Pool"]


def test_a_residual_network_predicts_without_a_pass_of_its_own_for_additions() -> None:
    for batch in (1, 64):
        program = plan_program(fold_norms(trace(resnet20(), (32, 32, 3))).graph, batch, TARGET)
        assert not any(isinstance(stage, Map) for stage in program.every_stage())
