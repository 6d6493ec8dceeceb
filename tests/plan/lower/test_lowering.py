"""What networks with joins and normalizations become: seen in the stages of their programs."""

from __future__ import annotations

from neocog.nn.blocks import Residual, Sequential
from neocog.nn.graph import Graph, trace
from neocog.nn.layer import Layer
from neocog.nn.layers import Add, BatchNorm2d, Conv2d, DropPath, Flatten, GlobalAvgPool2d, Linear, ReLU, SiLU
from neocog.nn.losses import CrossEntropy
from neocog.nn.optimizers import SGD
from neocog.nn.rewrite import fold_norms
from neocog.nn.symbol import Input
from neocog.plan.describe import describe
from neocog.plan.layout import Space
from neocog.plan.planner import plan_program
from neocog.plan.program import Program, Training
from neocog.target.named import NAMED

WIDE = NAMED["AVX-512"]
TRAINING = Training(CrossEntropy(), SGD())


def graph_of(*layers: Layer) -> Graph:
    return trace(Sequential(*layers), (16, 16, 3))


def planned(graph: Graph, batch: int = 32) -> Program:
    return plan_program(graph, batch, WIDE, TRAINING)


def chains(program: Program) -> list[list[str]]:
    """Return the names of the stages, those of a chain together."""
    return [[inner.name for inner in scheduled.stage.inner_stages()] for scheduled in program.stages]


NORMED = graph_of(
    *(Conv2d(16, 3, padding=1), BatchNorm2d(), ReLU(), Conv2d(16, 3, padding=1), BatchNorm2d(), ReLU()),
    *(GlobalAvgPool2d(), Linear(10)),
)


def test_a_chain_ends_with_the_moments_and_the_next_one_normalises() -> None:
    found = chains(planned(NORMED))
    assert ["load images", "0:Conv2d forward", "1:BatchNorm2d moments"] in found
    assert ["2:ReLU forward", "3:Conv2d forward", "4:BatchNorm2d moments"] in found
    assert found.index(["1:BatchNorm2d statistics"]) < found.index(["4:BatchNorm2d statistics"])


def test_a_normalised_image_is_computed_again_instead_of_stored_for_the_batch() -> None:
    program = planned(NORMED)
    assert (Space.SCRATCH, "2:ReLU") in program.allocations
    assert (Space.ARENA, "2:ReLU") not in program.allocations
    assert any("2:ReLU again" in names for names in chains(program))


def test_what_a_later_segment_reads_is_stored() -> None:
    body = Sequential(Conv2d(16, 3, padding=1), BatchNorm2d(), ReLU(), Conv2d(16, 3, padding=1), BatchNorm2d())
    program = planned(graph_of(Conv2d(16, 1), BatchNorm2d(), ReLU(), Residual(body), ReLU(), Flatten(), Linear(10)))
    assert (Space.ARENA, "2:ReLU") in program.allocations
    assert not any("2:ReLU again" in names for names in chains(program))


def test_parts_of_a_gradient_are_added_where_it_is_read() -> None:
    graph = graph_of(Conv2d(16, 3, padding=1), SiLU(), Residual(Conv2d(16, 3, padding=1)), Flatten(), Linear(10))
    text = describe(planned(graph))
    assert "gradient of 2.add:Add > Plus(gradient of 1:SiLU from 2.body:Conv2d) > SiLU gradient(0:Conv2d)" in text


def test_a_network_that_predicts_has_no_normalization_left() -> None:
    folded = fold_norms(NORMED).graph
    names = [stage.name for stage in plan_program(folded, 64, WIDE).every_stage()]
    assert names == [
        "load images",
        "0:Conv2d+ReLU forward",
        "3:Conv2d+ReLU forward",
        "6:GlobalAvgPool2d forward",
        "7:Linear forward",
    ]


def test_a_normalization_that_cannot_be_folded_becomes_a_scale_and_a_shift() -> None:
    x = Input((16, 16, 3))
    y = Conv2d(3, 3, padding=1)(x)
    graph = Graph(x, BatchNorm2d()(Add()(x, y)))
    folded = fold_norms(graph).graph
    assert [type(node.layer).__name__ for node in folded.nodes] == ["Conv2d", "Add", "ScaleShift"]
    assert "Affine" in describe(plan_program(folded, 8, WIDE))


def test_layers_on_small_maps_share_their_weights_out_over_the_whole_batch() -> None:
    graph = graph_of(
        Conv2d(16, 3, padding=1), ReLU(), Conv2d(32, 3, stride=8), ReLU(), Conv2d(32, 1), Flatten(), Linear(9)
    )
    found = chains(planned(graph))
    assert ["4:Conv2d forward"] in found  # of 2 x 2 pixels: 48 images fill its kernels
    assert ["load images", "0:Conv2d+ReLU forward"] in found


def test_memory_for_keys_is_asked_for_once_a_layer_that_drops() -> None:
    body = Sequential(Conv2d(3, 3, padding=1), DropPath(0.5))
    program = planned(graph_of(Residual(body), Residual(body), Flatten(), Linear(10)))
    assert program.dropouts == (1, 4)
