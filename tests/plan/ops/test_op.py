"""Every kind of work says of itself what memory, proofs and descriptions need to know."""

from __future__ import annotations

from dataclasses import replace

import pytest

from neocog.emit.emitters import EMITTERS
from neocog.nn.blocks import Concat, Sequential, SqueezeExcite
from neocog.nn.followers import EMA
from neocog.nn.graph import trace
from neocog.nn.groups import GradientClip
from neocog.nn.layers import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Flatten,
    GroupNorm,
    LayerNorm2d,
    Linear,
    LocalResponseNorm,
    Maxout,
    MaxPool2d,
    ReLU,
    Softmax,
    Upsample,
)
from neocog.nn.losses import CrossEntropy
from neocog.nn.optimizers import Muon
from neocog.nn.slicing import Slicing
from neocog.plan.layout import Tensor
from neocog.plan.ops.exchange import EXCHANGES
from neocog.plan.ops.op import Op
from neocog.plan.ops.pool import Pool
from neocog.plan.ops.product import TileProduct
from neocog.plan.ops.rolling import Rolling
from neocog.plan.ops.winograd import Winograd, WinogradBackward, WinogradReducePartials
from neocog.plan.planner import plan_program
from neocog.plan.program import Program, Training
from neocog.plan.verify import PlanError, verify
from neocog.target.processor import Target

TARGET = Target("x86_64-unknown-linux-gnu", "skylake-avx512", "", 16, 32, True)
NET = Sequential(
    *(Conv2d(20, 3, padding=1), ReLU(), Conv2d(32, 3, padding=1), ReLU(), MaxPool2d(2), Conv2d(20, 3, padding=1)),
    *(Conv2d(20, 3, padding=1, groups=20), ReLU(), Conv2d(20, 3, padding=1, groups=5)),
    *(
        MaxPool2d(3, 2),
        AvgPool2d(2, 1),
        ReLU(),
        Concat(Conv2d(12, 1), Maxout(2)),
        BatchNorm2d(),
        BatchNorm2d(frozen=True),
        GroupNorm(2),
        LayerNorm2d(),
        LocalResponseNorm(5),
        Conv2d(8, 1),
        SqueezeExcite(2),
        Upsample(2, "bilinear"),
        Softmax(),
        Flatten(),
        Linear(10),
    ),
)


TRAINING = Training(CrossEntropy(), Muon(), followers=(EMA(0.9),), clip=GradientClip(norm=1.0))


@pytest.fixture(scope="module")
def program() -> Program:
    return plan_program(trace(NET, (23, 22, 3)), 16, TARGET, TRAINING)


INVERTED = Sequential(Conv2d(96, 1), ReLU(), Conv2d(96, 3, padding=1, groups=96), ReLU(), Conv2d(8, 1))
IN_BANDS = plan_program(trace(INVERTED, (64, 64, 8)), 1, TARGET)  # an image that the second-level cache does not hold
POOLED = Sequential(
    *(part for filters in (20, 32) for part in (Conv2d(filters, 3, padding=1), ReLU(), MaxPool2d(2))),
    *(Flatten(), Linear(10)),
)
PAST_POOLINGS = plan_program(trace(POOLED, (24, 24, 3)), 16, TARGET, TRAINING)  # gradients are not scattered
IN_SLICES = plan_program(
    trace(Sequential(Conv2d(4, 3), BatchNorm2d(), ReLU(), Flatten(), Linear(3)), (8, 8, 3)),
    8,
    TARGET,
    Training(CrossEntropy(), Muon(), slicing=Slicing(2, sync_norms=True)),
)
IN_TILES = plan_program(trace(POOLED, (24, 24, 3)), 16, TARGET, precision="bfloat16")
JOINED = Sequential(
    *(Conv2d(20, 1), Concat(Conv2d(12, 3, padding=1), Sequential()), GroupNorm(4), Conv2d(40, 1), LayerNorm2d()),
    *(MaxPool2d(3, 2, 1), Conv2d(8, 1), Flatten(), Linear(10)),
)
JOINED_IN_TILES = plan_program(trace(JOINED, (12, 12, 3)), 16, TARGET, TRAINING, precision="bfloat16")
IN_INT8 = plan_program(trace(POOLED, (24, 24, 3)), 16, TARGET, precision="int8")
LEARNING_IN_TILES = plan_program(trace(POOLED, (24, 24, 3)), 16, TARGET, TRAINING, precision="bfloat16")
GROUPED = trace(Sequential(Conv2d(20, 1), Conv2d(40, 3, groups=5), Flatten(), Linear(3)), (8, 8, 3))
GROUPS_IN_TILES = plan_program(GROUPED, 16, TARGET, TRAINING, precision="bfloat16")


def ops(program: Program) -> list[Op]:
    return [*program.every_stage(), *program.preparation]


IN_BFLOAT16 = (IN_TILES, JOINED_IN_TILES, LEARNING_IN_TILES, GROUPS_IN_TILES)
OTHERS = [op for other in (IN_BANDS, PAST_POOLINGS, IN_SLICES, *IN_BFLOAT16, IN_INT8) for op in ops(other)]


def test_these_tests_see_every_op(program: Program) -> None:
    assert {type(op) for op in (*ops(program), *OTHERS)} == {*EMITTERS, *EXCHANGES}


def test_an_op_touches_what_it_says_that_it_reads_or_writes_and_nothing_else(program: Program) -> None:
    for op in (*ops(program), *OTHERS):
        said = {part.memory for part in (*op.reads(), *op.writes())}
        touched = {reach.operand.memory for reach in op.reaches(TARGET.lanes)}
        assert touched == said, op.name


def test_a_chain_reads_and_writes_what_its_stages_do(program: Program) -> None:
    chain = next(scheduled.stage for scheduled in program.stages if scheduled.stage.times > 1)
    assert len(chain.inner_stages()) > 1
    for side in ("reads", "writes"):
        whole = {part.memory for part in getattr(chain, side)()}
        assert whole == {part.memory for inner in chain.inner_stages() for part in getattr(inner, side)()}
    assert chain.multiply_adds == chain.times * sum(inner.multiply_adds for inner in chain.inner_stages())


def test_what_an_op_fills_or_spares_is_among_what_it_writes(program: Program) -> None:
    for op in (*ops(program), *OTHERS):
        written = {part.memory for part in op.writes()}
        assert {tensor.memory for tensor in (*op.fills(), *op.spares())} <= written


@pytest.mark.parametrize("kind", [Pool, Rolling, TileProduct, Winograd, WinogradBackward, WinogradReducePartials])
def test_an_op_that_reaches_further_than_its_memory_is_refused(program: Program, kind: type[Op]) -> None:
    program = IN_BANDS if kind is Rolling else LEARNING_IN_TILES if kind is TileProduct else program
    op = next(op for op in program.every_stage() if isinstance(op, kind))
    verify([op], program.allocations, TARGET.lanes)
    for reach in op.reaches(TARGET.lanes):
        allocation = program.allocations[reach.operand.memory]
        short = {
            reach.operand.memory: replace(
                allocation, size=(reach.operand.start + reach.high) * reach.operand.bytes_each
            )
        }
        with pytest.raises(PlanError, match=r"reaches elements|not at a whole vector"):
            verify([op], program.allocations | short, TARGET.lanes)


def test_a_walk_over_images_of_another_size_is_refused(program: Program) -> None:
    pool = next(op for op in program.every_stage() if isinstance(op, Pool))
    for changed in (replace(pool.x, height=pool.x.height - 1), replace(pool.x, width=pool.x.width - 1)):
        with pytest.raises(PlanError, match="are walked"):
            verify([replace(pool, x=changed)], program.allocations, TARGET.lanes)
    off = replace(pool.x, pitch=pool.x.pitch - 1)
    with pytest.raises(PlanError, match="not in vectors"):
        verify([replace(pool, x=off)], program.allocations, TARGET.lanes)


def test_a_window_that_cannot_roll_is_refused() -> None:
    rolling = next(op for op in IN_BANDS.every_stage() if isinstance(op, Rolling))
    with pytest.raises(PlanError, match="does not roll"):
        verify([replace(rolling, step=rolling.y.height + 1)], IN_BANDS.allocations, TARGET.lanes)
    by_panel = replace(rolling.contraction, panels_first=True)
    with pytest.raises(PlanError, match="one by one"):
        verify([replace(rolling, contraction=by_panel)], IN_BANDS.allocations, TARGET.lanes)


def test_patches_may_not_reach_past_a_halo(program: Program) -> None:
    op = next(op for op in program.every_stage() if isinstance(op, WinogradBackward) and op.dx is not None)
    assert isinstance(op.dx, Tensor)
    halo = replace(op.dx.halo, right=op.dx.halo.right - 1)
    with pytest.raises(PlanError, match="past the halo"):
        verify([replace(op, dx=replace(op.dx, halo=halo))], program.allocations, TARGET.lanes)
