"""Programs in 8-bit integers, as they are planned."""

from __future__ import annotations

import pytest

from neocog.nn.blocks import Sequential
from neocog.nn.graph import trace
from neocog.nn.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU
from neocog.nn.summary import multiply_adds
from neocog.plan.planner import plan_program
from neocog.target.named import NAMED

# Words of these channels are not full: 3 of an image, side by side along a row; 5 and 6 of what layers give.
NARROW = Sequential(
    *(Conv2d(5, 3, padding=1), ReLU(), Conv2d(6, (3, 2)), ReLU(), MaxPool2d(2), Conv2d(2, 1), Flatten(), Linear(3))
)


@pytest.mark.parametrize("target", NAMED)
@pytest.mark.parametrize("batch", [1, 3])
def test_what_fills_words_up_is_no_work(target: str, batch: int) -> None:
    graph = trace(NARROW, (10, 9, 3))
    program = plan_program(graph, batch, NAMED[target], precision="int8")
    done = sum(scheduled.stage.multiply_adds for scheduled in program.stages)
    assert done == batch * sum(map(multiply_adds, graph.nodes))
