"""Large weights are updated as soon as their gradient is known; all else at the end of the step."""

from __future__ import annotations

from dataclasses import replace

import pytest

from neocog.nn.blocks import Sequential
from neocog.nn.followers import EMA
from neocog.nn.graph import trace
from neocog.nn.groups import GradientClip, Group
from neocog.nn.layers import BatchNorm2d, Conv2d, ConvTranspose2d, Flatten, Linear, ReLU
from neocog.nn.losses import CrossEntropy
from neocog.nn.optimizers import SGD, Muon
from neocog.plan.layout import Space
from neocog.plan.ops.update import Update
from neocog.plan.planner import plan_program
from neocog.plan.program import Program, Training
from neocog.target.processor import Target

AVX2 = Target("x86_64-unknown-linux-gnu", "haswell", "", 8, 16, True)
GRAPH = trace(
    Sequential(
        *(Conv2d(64, 3, padding=1), BatchNorm2d(), ReLU()),
        *(Conv2d(64, 3, padding=1, groups=64), Conv2d(64, 3, padding=1), ReLU()),
        *(Conv2d(96, 3, padding=1), ConvTranspose2d(64, 3), Flatten(), Linear(10)),
    ),
    (8, 8, 3),
)
LARGE_ONES = {"4.weight": 64 * 9 * 64, "6.weight": 64 * 9 * 96, "9.weight": 10 * 10 * 64 * 10}
TRAINING = Training(CrossEntropy(), SGD(momentum=0.9), keeps_gradients=False)


def updates(program: Program) -> list[Update]:
    return [stage for stage in program.every_stage() if isinstance(stage, Update)]


def test_each_trained_parameter_is_updated_once() -> None:
    program = plan_program(GRAPH, 4, AVX2, replace(TRAINING, followers=(EMA(0.9),)))
    seen = [
        (update.parameters.start + range_.first, update.parameters.start + range_.end)
        for update in updates(program)
        for range_ in update.ranges
    ]
    ends = [0, *(end for _, end in sorted(seen))]
    assert [first for first, _ in sorted(seen)] == ends[:-1]
    assert ends[-1] == program.parameters.trained == program.parameters.size
    assert len(seen) == len(LARGE_ONES) + 1


def test_large_weights_are_updated_behind_their_gradients() -> None:
    """A transposed convolution's weights are large, too, but their gradients have rules of their own."""
    program = plan_program(GRAPH, 4, AVX2, TRAINING)
    assert set(program.parameters.early) == set(LARGE_ONES)
    names = [stage.name for stage in program.every_stage()]
    for name in LARGE_ONES:
        (update,) = [stage for stage in updates(program) if stage.gradients.name == f"gradient of {name}"]
        of_layer = [other for other in names if other.startswith(update.name.removesuffix("update"))]
        assert len(of_layer) > 3
        assert of_layer[-1] == update.name
    assert names[-1] == "update"


@pytest.mark.parametrize(
    "training",
    [replace(TRAINING, clip=GradientClip(norm=1.0)), replace(TRAINING, optimizer=Muon())],
    ids=["clipped by the norm of all", "directions of whole matrices"],
)
def test_what_hangs_on_all_gradients_is_updated_at_the_end(training: Training) -> None:
    assert not plan_program(GRAPH, 4, AVX2, training).parameters.early


def test_frozen_weights_are_not_updated_and_those_of_a_group_by_its_rule() -> None:
    training = replace(TRAINING, frozen=("4",), groups=(Group("6", learning_rate=0.5),))
    program = plan_program(GRAPH, 4, AVX2, training)
    assert set(program.parameters.early) == {"6.weight", "9.weight"}
    rates = {update.gradients.name: update.ranges[0].rule.learning_rate for update in updates(program)}
    assert rates["gradient of 6.weight"] == 0.5
    assert rates["gradient of 9.weight"] == 1.0


def test_gradients_that_nobody_asks_for_give_their_memory_up() -> None:
    lean, kept = (plan_program(GRAPH, 4, AVX2, replace(TRAINING, keeps_gradients=kept)) for kept in (False, True))
    last = {name: kept.allocations[Space.ARENA, f"gradient of {name}"].live.last for name in LARGE_ONES}
    assert set(last.values()) == {(len(kept.stages), 0)}
    ended = [lean.allocations[Space.ARENA, f"gradient of {name}"].live for name in LARGE_ONES]
    assert not any(one.overlaps(other) for one in ended for other in ended if one is not other)
    assert lean.size(Space.ARENA) < kept.size(Space.ARENA) - 4 * min(LARGE_ONES.values())
