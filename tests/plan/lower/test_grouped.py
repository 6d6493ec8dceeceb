"""Convolutions of groups as tasks: depthwise ones stay in the chain of their block, others are products of blocks."""

from __future__ import annotations

import pytest

from neocog.nn.blocks import Residual, Sequential
from neocog.nn.graph import trace
from neocog.nn.layers import BatchNorm2d, Conv2d, ReLU, ReLU6
from neocog.nn.losses import CrossEntropy
from neocog.nn.optimizers import SGD
from neocog.nn.rewrite import fold_norms
from neocog.plan.ops.chain import Chain
from neocog.plan.ops.contraction import Contraction
from neocog.plan.ops.depthwise import Depthwise, DepthwiseGradient
from neocog.plan.ops.grouped import Gather, Spread
from neocog.plan.ops.images import LoadImages
from neocog.plan.ops.op import Op
from neocog.plan.ops.pointwise import Activate, Plus
from neocog.plan.planner import plan_program
from neocog.plan.program import Program, Training
from neocog.target.processor import Target

TARGET = Target("x86_64-unknown-linux-gnu", "skylake-avx512", "", 16, 32, True)


def inner(program: Program) -> list[Op]:
    return [op for scheduled in program.stages for op in scheduled.stage.inner_stages()]


def test_an_inverted_residual_block_predicts_in_one_chain_without_a_pass_of_its_own_for_anything() -> None:
    block = Sequential(
        *(Conv2d(96, 1, bias=False), BatchNorm2d(), ReLU6()),
        *(Conv2d(96, 3, padding=1, bias=False, groups=96), BatchNorm2d(), ReLU6()),
        *(Conv2d(16, 1, bias=False), BatchNorm2d()),
    )
    net = fold_norms(trace(Sequential(Conv2d(16, 3, padding=1), Residual(block)), (16, 16, 3))).graph
    (scheduled,) = plan_program(net, 16, TARGET).stages
    assert isinstance(scheduled.stage, Chain)
    kinds = [type(op) for op in scheduled.stage.inner_stages()]
    assert kinds == [LoadImages, Contraction, Contraction, Depthwise, Contraction]
    *_, expanded, depthwise, projected = scheduled.stage.inner_stages()
    assert isinstance(expanded, Contraction)
    assert isinstance(depthwise, Depthwise)
    assert isinstance(projected, Contraction)
    assert expanded.epilogue == depthwise.epilogue == (Activate(ReLU6()),)
    assert [type(step) for step in projected.epilogue] == [Plus]


def test_what_is_frozen_has_no_gradient() -> None:
    net = trace(Sequential(Conv2d(8, 1), Conv2d(8, 3, groups=8), ReLU(), Conv2d(8, 3, groups=2)), (8, 8, 3))
    frozen = Training(CrossEntropy(), SGD(), frozen=("0", "1"))
    kinds = {type(op) for op in inner(plan_program(net, 4, TARGET, frozen))}
    assert DepthwiseGradient not in kinds
    assert Gather in kinds
    assert sum(isinstance(op, Depthwise) for op in inner(plan_program(net, 4, TARGET, frozen))) == 1  # forward alone
    kinds = {type(op) for op in inner(plan_program(net, 4, TARGET, Training(CrossEntropy(), SGD(), frozen=("0", "3"))))}
    assert DepthwiseGradient in kinds
    assert Gather not in kinds


@pytest.mark.parametrize(
    ("channels", "filters", "groups", "blocks"),
    [(64, 64, 2, 2), (64, 64, 16, 4), (32, 64, 4, 2), (12, 12, 3, 1), (40, 80, 10, 3), (16, 32, 16, 1)],
)
def test_blocks_begin_and_end_at_whole_vectors(channels: int, filters: int, groups: int, blocks: int) -> None:
    net = trace(Sequential(Conv2d(channels, 1), Conv2d(filters, 3, groups=groups)), (8, 8, 3))
    program = plan_program(net, 8, TARGET)
    spread = [op for op in program.preparation if isinstance(op, Spread)]
    assert len(spread) == blocks
    assert sum(op.block.columns for op in spread) == filters
    assert sum(op.block.rows for op in spread) == 9 * channels
    assert all(op.filters.offset % TARGET.lanes == 0 for op in spread)
