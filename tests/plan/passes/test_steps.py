"""Which layers run together, and what is left out."""

from __future__ import annotations

from neocog.nn.answer import peak_sources
from neocog.nn.blocks import Residual, Sequential
from neocog.nn.graph import Graph, trace
from neocog.nn.layer import Layer
from neocog.nn.layers import Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU
from neocog.plan.passes.steps import PlanSteps, steps_of


def graph_of(*layers: Layer) -> Graph:
    return trace(Sequential(*layers), (8, 8, 3))


def titles(steps: PlanSteps) -> list[str]:
    return [step.title for step in steps.steps]


def test_a_convolution_takes_the_relu_behind_it_along() -> None:
    steps = steps_of(graph_of(Conv2d(4), ReLU(), MaxPool2d(2), ReLU()), training=True)
    assert titles(steps) == ["0:Conv2d+ReLU", "2:MaxPool2d", "3:ReLU"]
    assert steps.sources == {-1: -1, 0: 0, 1: 0, 2: 1, 3: 2}


def test_a_relu_is_a_step_of_its_own_where_somebody_else_reads_the_convolution() -> None:
    steps = steps_of(graph_of(Conv2d(3), Residual(ReLU())), training=True)
    assert titles(steps) == ["0:Conv2d", "1.body:ReLU", "1.add:Add"]
    assert [step.inputs for step in steps.steps] == [(-1,), (0,), (1, 0)]
    assert [step.index for step in steps.users(0)] == [1, 2]


def test_what_drops_is_there_in_training_alone_and_then_only_if_it_drops() -> None:
    graph = graph_of(Conv2d(4), Dropout(0.5), ReLU(), Dropout(0.0), Flatten(), Linear(2))
    assert titles(steps_of(graph, training=False)) == ["0:Conv2d+ReLU", "4:Flatten", "5:Linear"]
    assert titles(steps_of(graph, training=True)) == ["0:Conv2d", "1:Dropout", "2:ReLU", "4:Flatten", "5:Linear"]


def test_a_second_relu_changes_nothing() -> None:
    assert titles(steps_of(graph_of(Conv2d(4), ReLU(), ReLU()), training=True)) == ["0:Conv2d+ReLU"]


def test_what_no_peak_depends_on_is_left_out() -> None:
    graph = graph_of(Conv2d(4), ReLU(), MaxPool2d(2), Conv2d(4), Dropout(0.5), ReLU(), Flatten(), Linear(2))
    steps = steps_of(graph, training=False, wanted=peak_sources(graph).values())
    assert titles(steps) == ["0:Conv2d+ReLU", "2:MaxPool2d", "3:Conv2d"]  # behind the Dropout, it is another map's ReLU
