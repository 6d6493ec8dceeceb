"""How many images a chain takes at a time."""

from __future__ import annotations

from dataclasses import replace

from neocog.nn.graph import Graph, trace
from neocog.nn.rewrite import fold_norms
from neocog.nn.zoo import resnet20, vgg
from neocog.plan.ops.chain import Chain
from neocog.plan.planner import plan_program
from neocog.target.processor import Target

TARGET = Target("x86_64-unknown-linux-gnu", "skylake-avx512", "", lanes=16, registers=32, fma=True, level2=1 << 20)
BOUNDLESS = replace(TARGET, level2=1 << 40)


def block(graph: Graph, target: Target) -> int:
    """Return the images that a program's only chain takes at a time."""
    program = plan_program(graph, 64, target)
    (chain,) = (stage.stage for stage in program.stages if isinstance(stage.stage, Chain))
    return chain.block


def test_few_images_run_together_where_more_of_them_would_leave_the_cache() -> None:
    graph = fold_norms(trace(resnet20(), (32, 32, 3))).graph
    assert block(graph, TARGET) < block(graph, BOUNDLESS) == 8


def test_images_share_weights_that_are_larger_than_themselves() -> None:
    graph = trace(vgg(), (32, 32, 3))
    assert block(graph, TARGET) == block(graph, BOUNDLESS) == 8
