"""A plan is described in full, and as docs/architecture.md shows it."""

from __future__ import annotations

import re
from pathlib import Path

from neocog.nn.blocks import Residual, Sequential
from neocog.nn.graph import trace
from neocog.nn.layers import BatchNorm2d, Conv2d, GlobalAvgPool2d, Linear, ReLU
from neocog.nn.losses import CrossEntropy
from neocog.nn.optimizers import SGD
from neocog.plan.describe import describe
from neocog.plan.planner import plan_program
from neocog.plan.program import Program, Training
from neocog.target.named import NAMED

PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"
NUMBERED = re.compile(r"^[|\s]*\.?\d+  (.*?)(?:  \(\d+ items\))?$")


def residual_program() -> Program:
    """Plan the network of the page."""
    convolution = Conv2d(16, 3, padding=1, bias=False)
    body = Sequential(convolution, BatchNorm2d(), ReLU(), convolution, BatchNorm2d())
    net = Sequential(Conv2d(16, 3, padding=1), Residual(body), ReLU(), GlobalAvgPool2d(), Linear(10))
    return plan_program(trace(net, (32, 32, 3)), 128, NAMED["AVX-512"], Training(CrossEntropy(), SGD(0.1)))


def test_the_plan_on_the_page_is_what_is_planned() -> None:
    """Its lines stand in the plan in this order, among others that the page leaves out."""
    wanted = PAGE.read_text().split("```plan\n")[1].split("```")[0].splitlines()
    assert len(wanted) > 10
    said = iter([NUMBERED.sub(r"\1", line).strip() for line in describe(residual_program()).splitlines()])
    for line in wanted:
        assert line.strip() in said, f"the plan does not say {line.strip()!r} there"


def test_every_stage_and_every_piece_of_memory_is_named() -> None:
    program = residual_program()
    text = describe(program)
    stages = [stage.name for stage in program.every_stage()]
    assert len(stages) > 30
    for name in (*stages, *(name for _, name in program.allocations)):
        assert name in text
