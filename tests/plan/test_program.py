"""A program's stages, memory and meeting points."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from neocog.errors import SettingError
from neocog.nn.blocks import Sequential
from neocog.nn.graph import Graph, trace
from neocog.nn.layers import AvgPool2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU
from neocog.nn.losses import CrossEntropy
from neocog.nn.optimizers import SGD, Adam
from neocog.nn.zoo import article, photo
from neocog.plan.describe import describe
from neocog.plan.layout import Name, Space
from neocog.plan.live_ranges import LiveRange
from neocog.plan.memory import Allocation, accesses
from neocog.plan.ops.chain import Chain
from neocog.plan.ops.contraction import Contraction
from neocog.plan.ops.pool import Pool
from neocog.plan.planner import plan_program
from neocog.plan.program import Program, Training
from neocog.plan.verify import PlanError, verify
from neocog.target.processor import Target

WIDE = Target("x86_64-unknown-linux-gnu", "skylake-avx512", "", 16, 32, True)
NARROW = Target("x86_64-unknown-linux-gnu", "x86-64", "", 4, 16, False)
TRAINING = Training(CrossEntropy(), SGD(0.1, momentum=0.9))
MIXED = Sequential(
    Dropout(0.2),
    Conv2d(5, (3, 2), stride=2, padding="same"),
    ReLU(),
    Dropout(0.1),
    AvgPool2d(3, 1, 1),
    Conv2d(20, 3, dilation=2),
    MaxPool2d(2),
    Flatten(),
    ReLU(),
    Linear(3),
)


def article_graph() -> Graph:
    return trace(article(), (28, 28, 1))


def names(program: Program) -> list[str]:
    return [stage.name for stage in program.every_stage()]


def test_a_relu_and_a_pooling_run_inside_the_layer_before_them() -> None:
    program = plan_program(article_graph(), 4, WIDE)
    assert names(program) == [
        "load images",
        "0:Conv2d+ReLU forward",  # and its pooling
        "3:Conv2d+ReLU forward",
        "5:MaxPool2d forward",
        "7:Linear+ReLU forward",
        "9:Linear forward",
    ]


def test_nothing_is_computed_for_the_gradient_of_the_images() -> None:
    program = plan_program(article_graph(), 4, WIDE, TRAINING)
    assert "0:Conv2d+ReLU weight gradient" in names(program)
    assert "0:Conv2d+ReLU input gradient" not in names(program)


def test_dropout_is_no_part_of_prediction() -> None:
    graph = trace(MIXED, (17, 14, 3))
    predicts, trains = plan_program(graph, 2, NARROW), plan_program(graph, 2, NARROW, TRAINING)
    assert (predicts.dropouts, trains.dropouts) == ((), (0, 3))
    assert "Drop" not in describe(predicts)
    assert describe(trains).count("> Drop") == 3  # two forward, and one gradient: the image has none


def test_peaks_are_found_behind_each_convolution_and_nothing_is_computed_behind_the_last() -> None:
    program = plan_program(article_graph(), 64, WIDE, outputs=("peaks",))
    assert names(program) == [
        "load images",
        "0:Conv2d+ReLU forward",  # and its pooling
        "0:Conv2d+ReLU peaks",
        "3:Conv2d+ReLU forward",
        "3:Conv2d+ReLU peaks",
    ]
    assert {layer: peak.channels for layer, peak in program.peaks.items()} == {0: 32, 3: 64}
    assert program.outputs == {}
    assert describe(program).startswith("peaks, batch 64")
    # the maps themselves never exist for the whole batch
    assert program.size(Space.ARENA) < 64 * 4 * 11 * 11 * 64


def test_a_pooling_that_leaves_something_out_hides_no_peak() -> None:
    graph = trace(Sequential(Conv2d(16, 3), ReLU(), MaxPool2d(2), Conv2d(16, 3), Flatten(), Linear(2)), (21, 20, 1))
    assert "2:MaxPool2d forward" not in names(plan_program(graph, 64, WIDE))
    program = plan_program(graph, 64, WIDE, outputs=("peaks",))
    pool = next(stage for stage in program.every_stage() if isinstance(stage, Pool) and "0:" in stage.name)
    assert (pool.x.height, pool.x.width) == (19, 18)
    assert "2:MaxPool2d forward" in names(program)


def test_a_relu_behind_a_dropout_belongs_to_the_layer_before_it_but_not_to_its_peak() -> None:
    graph = trace(Sequential(Conv2d(4, 3), Dropout(0.5), ReLU(), Conv2d(4, 3), Flatten()), (9, 9, 1))
    assert "0:Conv2d+ReLU forward" in names(plan_program(graph, 4, WIDE))
    assert "0:Conv2d forward" in names(plan_program(graph, 4, WIDE, outputs=("peaks",)))


@pytest.mark.parametrize("target", [WIDE, NARROW])
def test_parameters_lie_alike_in_every_program_of_a_network(target: Target) -> None:
    graph = trace(MIXED, (17, 14, 3))
    layouts = [plan_program(graph, batch, target, use).parameters for batch in (1, 7, 64) for use in (None, TRAINING)]
    layouts.append(plan_program(graph, 64, target, outputs=("peaks",)).parameters)
    assert all(layout.places == layouts[0].places for layout in layouts)


@pytest.mark.parametrize("graph", [article_graph(), trace(MIXED, (17, 14, 3)), trace(photo(), (48, 64, 3))])
def test_threads_meet_between_a_write_and_what_touches_it(graph: Graph) -> None:
    program = plan_program(graph, 6, WIDE, TRAINING)
    stages, allocations = program.stages, program.allocations

    def meet(some: set[Name], others: set[Name]) -> bool:
        """Whether two sets of names share bytes that do not belong to a single thread."""
        return any(
            a[0] is b[0] and a[0] is not Space.SCRATCH and allocations[a].overlaps(allocations[b])
            for a in some
            for b in others
        )

    for later in range(len(stages)):
        for earlier in range(later):
            met = any(s.barrier for s in stages[earlier + 1 : later + 1])
            reads, writes = accesses(stages[later].stage)
            before_reads, before_writes = accesses(stages[earlier].stage)
            depends = meet(reads | writes, before_writes) or meet(writes, before_reads)
            assert met or not depends, f"{stages[later].stage.name} may overtake {stages[earlier].stage.name}"


def test_a_description_names_every_stage_and_every_piece_of_memory() -> None:
    program = plan_program(article_graph(), 64, WIDE, TRAINING, "direct")
    text = describe(program)
    assert all(name in text for name in names(program))
    assert all(s.stage.name in text for s in program.stages)
    assert all(name in text for _, name in program.allocations)
    # two images at a time, 10 × 10 pixels, 3 × 3 × 32 inputs, 64 filters
    assert "chain: 32 blocks of 2 images" in text
    assert "3,686,400 multiply-adds" in text


def test_a_description_says_which_algorithm_runs() -> None:
    assert "Winograd F(5 x 5, 3 x 3): 32 tiles" in describe(plan_program(article_graph(), 64, WIDE, TRAINING))


def _verify(program: Program, **changes: object) -> None:
    stages = [s.stage for s in program.stages]
    index = next(i for i, stage in enumerate(stages) if isinstance(stage, Contraction))
    stages[index] = replace(stages[index], **changes)  # type: ignore[arg-type]
    verify(stages, program.allocations, program.target.lanes)


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("target", [WIDE, NARROW])
def test_verification_passes_what_is_planned_and_catches_a_shifted_operand(batch: int, target: Target) -> None:
    program = plan_program(trace(MIXED, (17, 14, 3)), batch, target, Training(CrossEntropy(), Adam()))
    _verify(program)
    first = next(s.stage for s in program.stages if isinstance(s.stage, Contraction))
    for field in ("a", "b", "out", "bias"):
        operand = getattr(first, field)
        size = program.allocations[operand.space, operand.name].size // 4
        with pytest.raises(PlanError, match="reaches elements"):
            _verify(program, **{field: replace(operand, start=size - size % target.lanes)})
        with pytest.raises(PlanError, match="reaches elements"):
            _verify(program, **{field: replace(operand, start=-target.lanes * size)})


def test_verification_catches_a_vector_off_its_alignment() -> None:
    program = plan_program(article_graph(), 2, WIDE)
    first = next(s.stage for s in program.stages if isinstance(s.stage, Contraction))
    with pytest.raises(PlanError, match="not at a whole vector"):
        _verify(program, out=replace(first.out, start=1))
    with pytest.raises(PlanError, match="no whole number of vectors"):
        _verify(program, panel_steps=replace(first.panel_steps, b=7))


def test_verification_catches_memory_that_overlaps() -> None:
    program = plan_program(article_graph(), 2, WIDE)
    allocations = dict(program.allocations)
    allocations[Space.ARENA, "intruder"] = Allocation(64, 64, LiveRange((0, 0), (9, 0)))
    with pytest.raises(PlanError, match="overlaps"):
        verify([], allocations, 16)


def test_verification_looks_into_chains_up_to_their_last_block() -> None:
    program = plan_program(article_graph(), 64, WIDE, TRAINING)
    chain = next(s.stage for s in program.stages if isinstance(s.stage, Chain) and "backward" in s.stage.name)
    verify([chain], program.allocations, WIDE.lanes)
    with pytest.raises(PlanError, match="reaches elements"):
        verify([replace(chain, blocks=chain.blocks + 1)], program.allocations, WIDE.lanes)
    with pytest.raises(PlanError, match="reaches elements"):
        verify([replace(chain, slices=chain.slices + 1)], program.allocations, WIDE.lanes)


@pytest.mark.parametrize("graph", [article_graph(), trace(MIXED, (17, 14, 3)), trace(photo(), (48, 64, 3))])
@pytest.mark.parametrize("training", [None, TRAINING])
def test_memory_is_shared_only_between_live_ranges_that_do_not_overlap(graph: Graph, training: Training | None) -> None:
    program = plan_program(graph, 32, WIDE, training)
    used: dict[Name, list[tuple[int, int]]] = {}
    for index, scheduled in enumerate(program.stages):
        inner_stages = scheduled.stage.inner_stages()
        for number, inner in enumerate(inner_stages):
            for name in set.union(*accesses(inner)):
                alone = name[0] is Space.SCRATCH  # of one thread; others are at any stage of a chain
                used.setdefault(name, []).extend(
                    [(index, number)] if alone else [(index, 0), (index, len(inner_stages) - 1)]
                )
    for name, other in itertools.combinations(program.allocations, 2):
        if name[0] is other[0] and program.allocations[name].overlaps(program.allocations[other]):
            assert max(used[name]) < min(used[other]) or max(used[other]) < min(used[name]), (name, other)


def test_what_a_caller_reads_shares_its_memory_with_nothing() -> None:
    program = plan_program(article_graph(), 64, WIDE, TRAINING)
    read = (program.input, *program.outputs.values(), program.losses)
    kept = [(t.space, t.name) for t in read if t is not None]
    assert len(kept) == 4
    _check_alone(program, [*kept, (Space.ARENA, "gradients")])
    peaks = plan_program(article_graph(), 64, WIDE, outputs=("peaks",))
    _check_alone(peaks, [(peak.space, peak.name) for peak in peaks.peaks.values()])


def _check_alone(program: Program, kept: list[Name]) -> None:
    for name in kept:
        allocation = program.allocations[name]
        sharing = [n for n, p in program.allocations.items() if n[0] is name[0] and p.overlaps(allocation)]
        assert sharing == [name]


def test_sharing_makes_training_need_a_fraction_of_its_activations() -> None:
    graph = trace(photo(), (96, 96, 3))
    program = plan_program(graph, 32, WIDE, TRAINING)
    first = 4 * 32 * 96 * 96 * 32  # bytes of what the first convolution gives, and as many for its gradient
    assert program.size(Space.ARENA) < 2 * first


def test_few_tiles_do_not_fetch_filters_that_are_larger_transformed() -> None:
    def kinds(channels: int, batch: int) -> list[str]:
        net = Sequential(Conv2d(channels, 3, padding=1), Conv2d(channels, 3, padding=1), Flatten(), Linear(2))
        program = plan_program(trace(net, (8, 8, 16)), batch, WIDE)
        return [type(stage).__name__ for stage in program.every_stage() if "1:" in stage.name]

    assert [kinds(256, batch) for batch in (1, 8)] == [["Contraction"], ["Winograd"]]
    assert [kinds(128, batch) for batch in (1, 8)] == [["Contraction"], ["Winograd"]]


def _sums(program: Program) -> dict[str, object]:
    """How each layer's sums are cut, which decides how they are rounded."""
    found: dict[str, object] = {}
    for stage in program.every_stage():
        if isinstance(stage, Contraction):
            found[stage.name] = (
                stage.reduction.total,
                stage.reduction.sizes(),
                [axis.extent for axis in stage.reduction.axes],
            )
        elif hasattr(stage, "tiling"):
            found[stage.name] = (type(stage).__name__, stage.tiling.tile)
    return found


@pytest.mark.parametrize("target", [WIDE, replace(WIDE, lanes=8, registers=16), NARROW], ids=["wide", "avx2", "narrow"])
@pytest.mark.parametrize(
    ("net", "shape"),
    [(article(), (28, 28, 1)), (photo(10), (96, 96, 3)), (MIXED, (15, 18, 3))],
    ids=["article", "photo", "mixed"],
)
def test_how_an_image_is_rounded_does_not_hang_on_how_many_others_are_asked_about(
    target: Target, net: Sequential, shape: tuple[int, int, int]
) -> None:
    graph = trace(net, shape)
    alone, few, many = (_sums(plan_program(graph, batch, target)) for batch in (1, 8, 64))
    assert alone
    assert alone == few == many


def test_no_gradient_is_computed_for_what_is_frozen() -> None:
    graph = trace(Sequential(Conv2d(20, 3), ReLU(), Conv2d(20, 3), ReLU(), Flatten(), Linear(3)), (17, 14, 3))
    frozen = plan_program(graph, 16, WIDE, replace(TRAINING, frozen=("0", "2")))
    assert not [
        name for name in names(frozen) if "2:Conv2d" in name and "forward" not in name and "transform" not in name
    ]
    last = plan_program(graph, 16, WIDE, replace(TRAINING, frozen=("5",)))
    assert "5:Linear weight gradient" not in names(last)
    assert "5:Linear input gradient" in names(last)
    assert any(name.startswith("0:Conv2d+ReLU weight gradient") for name in names(last))


def test_a_program_gives_the_output_of_any_layer_and_peaks_beside_the_logits() -> None:
    graph = article_graph()
    program = plan_program(graph, 64, WIDE, outputs=("logits", "0", "3", "peaks"))
    shapes = {name: (t.height, t.width, t.channels) for name, t in program.outputs.items()}
    assert shapes == {"logits": (1, 1, 10), "0": (26, 26, 32), "3": (11, 11, 64)}  # whole, though poolings drop a row
    assert sorted(program.peaks) == [0, 3]
    assert "0:Conv2d forward" in names(program)  # without its ReLU, which is another layer
    assert "9:Linear forward" not in names(plan_program(graph, 64, WIDE, outputs=("7",)))


def test_a_program_gives_what_a_layer_that_is_left_out_would_give() -> None:
    """Be it the image: all of it, in memory that lasts."""
    body = (Dropout(0.5), Conv2d(16, 2), Dropout(0.5), ReLU(), MaxPool2d(2), Flatten(), Linear(3))
    program = plan_program(trace(Sequential(*body), (8, 8, 16)), 64, WIDE, outputs=("logits", "0", "2"))
    assert names(program)[:3] == ["load images", "1:Conv2d forward", "3:ReLU forward"]
    for name, side in (("0", 8), ("2", 7)):
        output = program.outputs[name]
        assert (output.height, output.width, output.channels) == (side, side, 16)
        assert program.allocations[output.memory].live.contains((len(program.stages), 0))


def test_an_output_of_no_layer_is_refused() -> None:
    with pytest.raises(SettingError, match="there is no layer 'conv1'"):
        plan_program(article_graph(), 4, WIDE, outputs=("conv1",))
