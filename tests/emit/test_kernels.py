"""Stages that compute the same share a function; each still works on memory of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neocog.emit import program as emitted
from neocog.emit.kernels import Address, function_titles, kernel_of
from neocog.emit.program import emit_program
from neocog.engines.base import StepSettings
from neocog.engines.native import NativeEngine
from neocog.jit.cache import ObjectCache
from neocog.nn.blocks import Sequential
from neocog.nn.graph import trace
from neocog.nn.layers import Conv2d, Flatten, Linear, ReLU
from neocog.nn.losses import CrossEntropy
from neocog.nn.optimizers import SGD
from neocog.nn.parameters import initial_parameters
from neocog.plan.algorithm import Algorithm
from neocog.plan.layout import Operand, Space, Tensor
from neocog.plan.ops.map import Map
from neocog.plan.ops.pointwise import Activate, ActivationGradient, Expression
from neocog.plan.ops.update import ReducePartials, side_by_side
from neocog.plan.planner import plan_program
from neocog.plan.program import Program, Training
from neocog.target.named import NAMED
from neocog.target.processor import Target

TARGET = Target("x86_64-unknown-linux-gnu", "haswell", "", lanes=8, registers=16, fma=True)
TRAINING = Training(CrossEntropy(), SGD(momentum=0.9))
RELU = Activate(ReLU())
LAYERS = 5
GRAPH = trace(
    Sequential(*(layer for _ in range(LAYERS) for layer in (Conv2d(16, 3, padding=1), ReLU())), Flatten(), Linear(4)),
    (12, 12, 16),
)


def functions(program: Program) -> list[str]:
    return [function.name for function in emit_program(program).functions if function.blocks]


def tensor(name: str, **changes: int) -> Tensor:
    return replace(Tensor(name, images=2, height=3, width=4, channels=8, pitch=8), **changes)


@pytest.mark.parametrize("algorithm", ["direct", "winograd"])
@pytest.mark.parametrize("batch", [1, 64])  # without and with chains
@pytest.mark.parametrize("training", [TRAINING, None])
def test_layers_of_one_shape_share_their_kernels(training: Training | None, batch: int, algorithm: Algorithm) -> None:
    program = plan_program(GRAPH, batch, TARGET, training, algorithm)
    forward = [stage for stage in program.every_stage() if stage.name.endswith("Conv2d+ReLU forward")]
    titles = function_titles(program)
    kernels = [name for name in titles if titles[name].endswith("Conv2d+ReLU forward") and "chain" not in name]
    assert len(forward) == LAYERS
    assert len(kernels) <= 2  # the last layer's output needs no halo
    assert set(kernels) <= set(functions(program))


@pytest.mark.parametrize("name", ["AVX2", "NEON"])
def test_blocks_of_groups_share_their_kernels_with_what_lies_beside_them(name: str) -> None:
    # 16 groups of 4 channels; the gradient of the ReLU before the second layer lies beside its input gradient.
    grouped = Conv2d(64, 3, padding=1, groups=16)
    graph = trace(Sequential(Conv2d(64, 1), ReLU(), grouped, ReLU(), Flatten(), Linear(3)), (6, 6, 3))
    program = plan_program(graph, 2, NAMED[name], TRAINING)
    for part in ("2:Conv2d+ReLU forward", "2:Conv2d+ReLU input gradient"):
        stages = [stage for stage in program.every_stage() if stage.name == part]
        assert len(stages) == 16 * 4 // NAMED[name].lanes
        assert len({kernel_of(stage, chained=False)[0].name for stage in stages}) == 1


def test_a_kernel_is_its_stage_without_title_and_names() -> None:
    one = kernel_of(Map("one", Expression(tensor("a"), (RELU,)), tensor("b")), chained=False)
    other = kernel_of(Map("other", Expression(tensor("c"), (RELU,)), tensor("d", space=Space.SCRATCH)), chained=False)
    assert one[0] == other[0]
    assert [address.name for address in (*one[1], *other[1])] == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    "other",
    [
        Map("", Expression(tensor("a")), tensor("b")),
        Map("", Expression(tensor("a", width=5), (RELU,)), tensor("b", width=5)),
        Map("", Expression(tensor("a"), (RELU,)), tensor("a")),
        Map("", Expression(tensor("a"), (RELU, ActivationGradient(ReLU(), Expression(tensor("a"))))), tensor("b")),
    ],
    ids=["no ReLU", "wider", "in place", "gated"],
)
def test_stages_that_differ_have_kernels_of_their_own(other: Map) -> None:
    kernel, _ = kernel_of(Map("", Expression(tensor("a"), (RELU,)), tensor("b")), chained=False)
    found, _ = kernel_of(other, chained=False)
    assert found != kernel
    assert found.name != kernel.name


def test_a_stage_of_a_chain_has_another_kernel_than_one_outside() -> None:
    stage = Map("", Expression(tensor("a")), tensor("b"))
    assert kernel_of(stage, chained=True)[0].name != kernel_of(stage, chained=False)[0].name


def test_an_address_says_how_far_it_moves_with_images_and_slices_in_bytes() -> None:
    copies = Operand(Space.ARENA, "copies", 16, image=3, slice=40)
    out = Operand(Space.SCRATCH, "out", 8, image=3, slice=40, bytes_each=1)  # of one thread: it does not move
    kernel, addresses = kernel_of(ReducePartials("", copies, 2, side_by_side((out, 16))), chained=True)
    assert addresses == (Address(Space.ARENA, "copies", 64, 12, 160), Address(Space.SCRATCH, "out", 8))
    assert kernel.alone == (True, True)


def test_only_arguments_into_memory_of_their_own_are_told_to_be_apart() -> None:
    copies, out = Operand(Space.ARENA, "sums", 16), Operand(Space.ARENA, "sums", 0)
    assert kernel_of(ReducePartials("", copies, 2, side_by_side((out, 16))), chained=False)[0].alone == (False, False)
    assert kernel_of(ReducePartials("", out, 2, side_by_side((out, 16))), chained=False)[0].alone == (
        True,
    )  # one address, one argument


def test_titles_name_the_first_stage_that_a_kernel_is_for() -> None:
    program = plan_program(GRAPH, 4, TARGET, TRAINING, "direct")
    titles = function_titles(program)
    assert set(functions(program)) - set(titles) == {"run", "prepare", "meet", "bound", "transpose_square"}
    assert "0:Conv2d+ReLU forward" in titles.values()
    assert f"{2 * LAYERS - 4}:Conv2d+ReLU forward" not in titles.values()


def test_sharing_changes_no_bit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def trained(folder: Path) -> dict[str, bytes]:
        random = np.random.default_rng(1)
        images = random.standard_normal((4, 12, 12, 16)).astype(np.float32)
        settings = StepSettings(CrossEntropy(), SGD(momentum=0.9), 4)
        train_program = NativeEngine(cache=ObjectCache(folder)).train_program(
            GRAPH, initial_parameters(GRAPH, 3), settings
        )
        for _ in range(2):
            train_program.step(images, np.arange(4), 0.1)
        return {name: value.tobytes() for name, value in train_program.parameters().items()}

    shared = trained(tmp_path / "shared")

    def unshared(stage, *, chained):
        kernel, addresses = kernel_of(stage, chained=chained)
        return replace(kernel, stage=replace(kernel.stage, name=stage.name)), addresses

    monkeypatch.setattr(emitted, "kernel_of", unshared)
    assert trained(tmp_path / "unshared") == shared
