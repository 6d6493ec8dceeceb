"""What an epilogue touches is proved, and what it cannot do is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from neocog.nn.graph import Graph
from neocog.nn.layers import Add, Conv2d, ReLU, Tanh
from neocog.nn.symbol import Input
from neocog.plan.algorithm import Algorithm
from neocog.plan.describe import describe
from neocog.plan.layout import Halo
from neocog.plan.ops.contraction import Contraction
from neocog.plan.ops.pointwise import Activate, Counted, Expression, Plus, Times, tensors_of
from neocog.plan.ops.winograd import Winograd
from neocog.plan.planner import plan_program
from neocog.plan.program import Program
from neocog.plan.verify import PlanError, verify
from neocog.target.processor import Target

TARGET = Target("x86_64-unknown-linux-gnu", "skylake-avx512", "", lanes=16, registers=32, fma=True)
ALGORITHMS = ("direct", "winograd")


def residual(algorithm: Algorithm) -> tuple[Program, Contraction | Winograd]:
    """Return a program, and its stage that ends in an addition."""
    x = Input((8, 8, 16))
    net = Graph(x, ReLU()(Add()(x, Conv2d(16, 3, padding=1)(x))))
    program = plan_program(net, 2, TARGET, algorithm=algorithm)
    (stage,) = (stage for stage in program.every_stage() if isinstance(stage, Contraction | Winograd))
    return program, stage


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_plan_says_what_an_epilogue_does(algorithm: Algorithm) -> None:
    assert "fused: bias, Plus(images), ReLU" in describe(residual(algorithm)[0])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_an_epilogue_reads_is_among_what_its_op_reads(algorithm: Algorithm) -> None:
    _, stage = residual(algorithm)
    (other,) = tensors_of(stage.epilogue)
    assert other.name == "images"
    assert any(part.memory == other.memory and part is other for part in stage.reads())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_epilogue_that_reads_further_than_its_memory_is_refused(algorithm: Algorithm) -> None:
    program, stage = residual(algorithm)
    (other,) = tensors_of(stage.epilogue)
    verify([stage], program.allocations, TARGET.lanes)
    wider = replace(other, halo=Halo(9, 9, 9, 9))
    with pytest.raises(PlanError, match="epilogue reaches elements"):
        verify([replace(stage, epilogue=(Plus(Expression(wider)),))], program.allocations, TARGET.lanes)


def test_where_a_tile_is_stored_no_pixel_is_known() -> None:
    _, stage = residual("direct")
    assert list(stage.faults(TARGET.lanes)) == []
    (fault,) = replace(stage, epilogue=(Counted(),)).faults(TARGET.lanes)
    assert "needs to know the pixel" in fault
    (other,) = tensors_of(stage.epilogue)
    (fault,) = replace(stage, epilogue=(Times(Expression(other, (Counted(),))),)).faults(TARGET.lanes)
    assert "needs to know the pixel" in fault


def test_tensors_of_one_epilogue_are_laid_out_alike() -> None:
    _, stage = residual("direct")
    (other,) = tensors_of(stage.epilogue)
    framed = replace(other, halo=Halo(3, 3, 3, 3))
    (fault,) = replace(stage, epilogue=(Plus(Expression(other)), Plus(Expression(framed)))).faults(TARGET.lanes)
    assert "laid out in several ways" in fault


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_largest_of_a_window_is_found_before_a_relu_and_nothing_else(algorithm: Algorithm) -> None:
    _, stage = residual(algorithm)
    relu, tanh = (Activate(ReLU()),), (Activate(Tanh()),)
    if isinstance(stage, Contraction):
        pooled: Contraction | Winograd = replace(stage, cells=2, epilogue=())
    else:
        window = Conv2d(1, 2).window_over(stage.tiling.x)  # type: ignore[arg-type]
        pooled = replace(stage, pooling=window, epilogue=())
    fine = list(pooled.faults(TARGET.lanes))
    assert list(replace(pooled, epilogue=relu).faults(TARGET.lanes)) == fine
    assert any("before the epilogue" in fault for fault in replace(pooled, epilogue=tanh).faults(TARGET.lanes))
