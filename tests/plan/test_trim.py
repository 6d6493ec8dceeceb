"""Only what is read is computed, and all of what is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hypothesis import given
from hypothesis import strategies as st

from conformance_drawn import graphs
from neocog.nn.blocks import Sequential
from neocog.nn.graph import IMAGE, Graph, trace
from neocog.nn.layer import Layer
from neocog.nn.layers import AvgPool2d, BatchNorm2d, Conv2d, Flatten, Linear, MaxPool2d, ReLU, ReLU6
from neocog.nn.window import WindowAxis
from neocog.nn.zoo import article
from neocog.plan.passes.steps import steps_of
from neocog.plan.passes.trim import Extent, extents_of, taken_of, trim_axis


@dataclass(frozen=True, slots=True)
class WholeImage(Layer):
    whole_image: ClassVar[bool] = True


axes = st.builds(
    WindowAxis,
    input=st.integers(1, 14),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 5),
    dilation=st.integers(1, 4),
    before=st.integers(0, 5),
    after=st.integers(0, 5),
).filter(lambda axis: axis.output >= 1)


def pixels_read(axis: WindowAxis, outputs: int) -> set[int]:
    """List the pixels that the first window positions meet."""
    seen = {o * axis.stride - axis.before + tap * axis.dilation for o in range(outputs) for tap in range(axis.kernel)}
    return {pixel for pixel in seen if 0 <= pixel < axis.input}


@given(axes, st.data())
def test_a_trimmed_walk_meets_the_same_pixels_and_none_behind_them(axis: WindowAxis, data: st.DataObject) -> None:
    outputs = data.draw(st.integers(1, axis.output))
    trimmed = trim_axis(axis, outputs)
    assert trimmed.output == outputs
    assert pixels_read(trimmed, outputs) == pixels_read(axis, outputs)
    assert trimmed.input == max(pixels_read(axis, outputs), default=0) + 1


def extents(graph: Graph, *, training: bool) -> tuple[Extent, ...]:
    return extents_of(steps_of(graph, training=training), (), training=training)


def test_a_row_that_pooling_drops_is_not_computed() -> None:
    graph = trace(article(), (28, 28, 1))
    live = extents(graph, training=True)
    sizes = [(step.output.height, step.output.width) for step in live]
    # 5 x 5 pooled pixels read 10 x 10, which read 12 x 12, which read 24 x 24
    assert sizes == [(24, 24), (12, 12), (10, 10), (5, 5), (1, 1), (1, 1), (1, 1)]
    assert (live[0].input.height, live[0].input.width) == (26, 26)


def test_what_nobody_reads_is_dropped_through_several_layers() -> None:
    net = Sequential(Conv2d(2, 3), ReLU(), AvgPool2d(2), Conv2d(2, 1), MaxPool2d(4), Flatten(), Linear(2))
    live = extents(trace(net, (21, 23, 1)), training=False)
    # 21 x 23 -> convolution 19 x 21 -> pooling 9 x 10 -> pooling of 4: 2 x 2, which reads 8 x 8 of those
    assert (live[0].input.height, live[0].input.width) == (18, 18)
    assert (live[0].output.height, live[0].output.width) == (16, 16)
    assert (live[1].output.height, live[1].output.width) == (8, 8)


def test_what_is_taken_is_what_is_given() -> None:
    """A batch norm needs its whole input while training, and gives a whole output; who reads less takes it all."""
    net = Sequential(Conv2d(2, 3), BatchNorm2d(), ReLU(), ReLU6(), MaxPool2d(2), Flatten(), Linear(2))
    graph = trace(net, (9, 7, 1))
    rows = [(step.input.height, step.output.height) for step in extents(graph, training=True)]
    assert rows[:5] == [(9, 7), (7, 7), (7, 7), (7, 7), (7, 3)]
    rows = [(step.input.height, step.output.height) for step in extents(graph, training=False)]
    assert rows[:5] == [(8, 6), (6, 6), (6, 6), (6, 6), (6, 3)]


def test_a_layer_that_looks_at_the_whole_image_gets_all_of_it() -> None:
    net = Sequential(Conv2d(2, 3), WholeImage(), ReLU(), MaxPool2d(2), Flatten(), Linear(2))
    for training in (False, True):
        rows = [(step.input.height, step.output.height) for step in extents(trace(net, (7, 9, 1)), training=training)]
        assert rows[:4] == [(7, 5), (5, 5), (5, 5), (5, 2)]


@given(graphs(), st.booleans())
def test_every_step_of_any_graph_takes_what_the_one_before_it_gives(graph: Graph, training: bool) -> None:
    steps = steps_of(graph, training=training)
    live = extents_of(steps, (), training=training)
    for step in steps.steps:
        for place, value in enumerate(step.inputs):
            if value != IMAGE:
                given, taken = live[value].output, taken_of(step, place, live[step.index])
                assert (given.height, given.width) == (taken.height, taken.width), step.title
