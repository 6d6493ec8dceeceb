"""The native engine: repeatable to the bit, honest about short batches, on every instruction set of this machine."""

from __future__ import annotations

import time

import llvmlite.binding as llvm
import numpy as np
import pytest

from engines.native_network import GRAPH, batch
from neocog.emit.program import emit_program
from neocog.engines.base import State, StepSettings, followed_values
from neocog.engines.native import NativeEngine
from neocog.engines.reference import ReferenceEngine
from neocog.errors import SettingError
from neocog.jit import executable
from neocog.jit.host import NARROWED, host_target, initialise_llvm, make_target
from neocog.nn.blocks import Sequential
from neocog.nn.followers import EMA
from neocog.nn.graph import trace
from neocog.nn.groups import GradientClip, Group
from neocog.nn.layers import Conv2d, Flatten, Linear, ReLU
from neocog.nn.losses import CrossEntropy, MeanSquaredError
from neocog.nn.optimizers import LAMB, SGD, Adadelta, Adam, AdamW, Lookahead, Muon, NAdam, Optimizer, RMSprop
from neocog.nn.parameters import initial_parameters, parameters_of
from neocog.plan.planner import plan_program
from neocog.plan.program import Training
from neocog.target.processor import Target


def narrow(name: str) -> Target:
    """Describe a narrower processor, or skip where this machine cannot run its code."""
    cpu, features = NARROWED[name]
    missing = [feature for feature in features if not llvm.get_host_cpu_features().get(feature)]
    if missing:
        pytest.skip(f"this machine has no {', '.join(missing)}")
    return make_target(cpu, features, llvm.get_process_triple())


def trained(threads: int, steps: int = 4, optimizer: Optimizer | None = None, count: int = 13) -> State:
    """Train a little and give everything that training changes."""
    settings = StepSettings(CrossEntropy(), optimizer or SGD(0.05, momentum=0.9), 16, seed=3)
    train_program = NativeEngine().train_program(GRAPH, initial_parameters(GRAPH, 1), settings, threads)
    assert train_program.threads == threads
    for step in range(steps):
        train_program.step(*batch(GRAPH, count, step), 0.05)
    return {
        **train_program.parameters(),
        **train_program.optimizer_state(),
        **{f"d {k}": v for k, v in train_program.gradients().items()},
    }


def assert_same_bits(one: State, other: State) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert value.tobytes() == other[name].tobytes(), name


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize("threads", [1, 2, 3, 4, 7])
def test_the_same_seed_gives_the_same_bits_on_any_number_of_threads(threads: int) -> None:
    assert_same_bits(trained(threads), trained(1))


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize("threads", [2, 3, 5])
def test_groups_and_an_average_are_the_same_bits_on_any_number_of_threads_and_after_a_resume(threads: int) -> None:
    groups, frozen = (Group("0", 0.5), Group("*.bias", weight_decay=0.25)), (parameters_of(GRAPH)[-2].name,)
    settings = StepSettings(CrossEntropy(), AdamW(), 8, 5, groups, frozen, (EMA(0.9),))
    engine = NativeEngine()
    whole = engine.train_program(GRAPH, initial_parameters(GRAPH), settings, 1)
    other = engine.train_program(GRAPH, initial_parameters(GRAPH), settings, threads)
    for step in range(4):
        whole.step(*batch(GRAPH, 8, step), 0.01)
        other.step(*batch(GRAPH, 8, step), 0.01)
        if step == 1:
            killed, other = other, engine.train_program(GRAPH, other.parameters(), settings, threads)
            other.load_optimizer_state(killed.optimizer_state(), 2)
    assert_same_bits(other.parameters(), whole.parameters())
    assert_same_bits(other.optimizer_state(), whole.optimizer_state())
    average = followed_values(whole, EMA(0.9))
    assert set(average) == set(whole.parameters())
    assert_same_bits({frozen[0]: average[frozen[0]]}, {frozen[0]: initial_parameters(GRAPH)[frozen[0]]})


@pytest.mark.parametrize("threads", [2, 4])
def test_short_programs_are_the_same_bits_whoever_is_awake_to_share_them(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executable, "WORTH_MEETING", 0)
    monkeypatch.setattr("neocog.jit.team.LEAST_PAUSE", 0)
    monkeypatch.setattr("neocog.jit.team.MOST_PAUSE", 0)
    monkeypatch.setenv("NEOCOG_THREADS", "8")
    assert_same_bits(trained(threads), trained(1))
    parameters, (images, _) = initial_parameters(GRAPH, 2), batch(GRAPH, 3)
    want = NativeEngine().predictor(GRAPH, parameters, 1).logits(images).tobytes()
    predictor = NativeEngine().predictor(GRAPH, parameters, threads)
    for pause in (0, 0, 0, 1e-4, 1e-3) * 40:
        assert predictor.logits(images).tobytes() == want
        time.sleep(pause)


@pytest.mark.usefixtures("shared")
def test_predictions_are_the_same_bits_on_any_number_of_threads_and_in_any_company() -> None:
    parameters = initial_parameters(GRAPH, 2)
    images, _ = batch(GRAPH, 70)
    predictor = NativeEngine().predictor(GRAPH, parameters, 1)
    together = predictor.logits(images)
    assert NativeEngine().predictor(GRAPH, parameters, 3).threads == 3
    assert NativeEngine().predictor(GRAPH, parameters, 3).logits(images).tobytes() == together.tobytes()
    alone = np.concatenate([predictor.logits(images[n : n + 1]) for n in range(5)])
    assert alone.tobytes() == together[:5].tobytes()


@pytest.mark.parametrize("name", ["avx512", "avx2", "sse2"])
def test_a_long_sum_is_the_same_bits_in_any_company(name: str) -> None:
    graph = trace(Sequential(Conv2d(40, 3), ReLU(), Flatten(), Linear(70), ReLU(), Linear(10)), (9, 9, 3))
    images, _ = batch(graph, 64)
    predictor = NativeEngine(narrow(name)).predictor(graph, initial_parameters(graph, 2), 1)
    together = predictor.logits(images)
    for count in (1, 5, 8):
        assert predictor.logits(images[:count]).tobytes() == together[:count].tobytes()


def test_a_short_batch_counts_its_own_images_only() -> None:
    """Images left over from a longer batch before must leave no trace."""
    settings = StepSettings(CrossEntropy(), SGD(0.1), 16)
    engine = NativeEngine()
    fresh = engine.train_program(GRAPH, initial_parameters(GRAPH), settings, 1)
    used = engine.train_program(GRAPH, initial_parameters(GRAPH), settings, 1)
    used.step(*batch(GRAPH, 16, seed=9), 0.0)
    images, labels = batch(GRAPH, 5)
    for train_program in (fresh, used):
        train_program.load_optimizer_state({}, 0)
        train_program.step(images, labels, 0.0)
    assert_same_bits(fresh.gradients(), used.gradients())
    reference = ReferenceEngine().train_program(GRAPH, initial_parameters(GRAPH), settings)
    reference.step(images, labels, 0.0)
    for name, value in reference.gradients().items():
        assert np.allclose(used.gradients()[name], value, rtol=1e-4, atol=1e-6), name


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize(
    "optimizer",
    [
        SGD(),
        SGD(momentum=0.9, nesterov=True, weight_decay=0.01),
        Adam(),
        AdamW(),
        RMSprop(momentum=0.9),
        NAdam(),
        Adadelta(),
        Lookahead(LAMB(), every=4),
        Lookahead(Muon(), every=4),
    ],
)
def test_stopping_and_resuming_changes_no_bit(optimizer: Optimizer) -> None:
    settings = StepSettings(CrossEntropy(), optimizer, 8, seed=5, clip=GradientClip(norm=1.0))
    engine = NativeEngine()
    whole = engine.train_program(GRAPH, initial_parameters(GRAPH), settings, 2)
    first = engine.train_program(GRAPH, initial_parameters(GRAPH), settings, 1)
    for step in range(6):
        whole.step(*batch(GRAPH, 8, step), 0.01)
        if step < 3:
            first.step(*batch(GRAPH, 8, step), 0.01)
    second = engine.train_program(GRAPH, first.parameters(), settings, 1)
    second.load_optimizer_state(first.optimizer_state(), 3)
    for step in range(3, 6):
        second.step(*batch(GRAPH, 8, step), 0.01)
    assert_same_bits(second.parameters(), whole.parameters())
    assert_same_bits(second.optimizer_state(), whole.optimizer_state())


@pytest.mark.parametrize("loss", [CrossEntropy(), CrossEntropy(0.1), MeanSquaredError()])
@pytest.mark.parametrize("name", sorted(NARROWED))
def test_every_instruction_set_trains_like_the_reference(name: str, loss: CrossEntropy | MeanSquaredError) -> None:
    settings = StepSettings(loss, SGD(momentum=0.9), 8, seed=1)
    parameters = initial_parameters(GRAPH, 4)
    engines = (NativeEngine(narrow(name)), ReferenceEngine())
    native, reference = (engine.train_program(GRAPH, parameters, settings) for engine in engines)
    images, labels = batch(GRAPH, 7)
    targets = labels if isinstance(loss, CrossEntropy) else np.eye(4, dtype=np.float32)[labels]
    for _ in range(3):
        got, want = (train_program.step(images, targets, 0.01) for train_program in (native, reference))
        assert np.allclose(got.logits, want.logits, rtol=1e-4, atol=1e-5)
        assert got.loss == pytest.approx(want.loss, rel=1e-5)
    for key, value in reference.parameters().items():
        assert np.allclose(native.parameters()[key], value, rtol=1e-4, atol=1e-5), key


@pytest.mark.parametrize(("name", "forbidden"), [("avx2", ("zmm",)), ("sse2", ("zmm", "ymm", "vfmadd", "vmulps"))])
def test_code_for_a_narrow_processor_holds_no_wider_instruction(name: str, forbidden: tuple[str, ...]) -> None:
    text = _assembly(narrow(name))
    assert "mulps" in text or "vfmadd" in text
    assert not [word for word in forbidden if word in text]


def test_code_for_arm_multiplies_and_adds_whole_vectors() -> None:
    text = _assembly(make_target("generic", {"neon": True}, "aarch64-unknown-linux-gnu"))
    assert "fmla\tv" in text
    assert ".4s" in text


def _assembly(target: Target) -> str:
    initialise_llvm()
    module = llvm.parse_assembly(
        str(emit_program(plan_program(GRAPH, 2, target, Training(CrossEntropy(), SGD(momentum=0.9)))))
    )
    machine = llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=2
    )
    return machine.emit_assembly(module)


def test_a_nan_in_the_weights_reaches_the_answer() -> None:
    parameters = {name: value.copy() for name, value in initial_parameters(GRAPH).items()}
    parameters["0.weight"][0, 0, 0, 0] = np.nan
    logits = NativeEngine().predictor(GRAPH, parameters, 1).logits(batch(GRAPH, 2)[0])
    assert np.isnan(logits).all()


def test_no_images_give_no_answers() -> None:
    predictor = NativeEngine().predictor(GRAPH, initial_parameters(GRAPH), 1)
    assert predictor.logits(np.zeros((0, 15, 18, 3), np.uint8)).shape == (0, 4)
    assert predictor.features(np.zeros((0, 15, 18, 3), np.uint8)).shape == (0, 2 * 2 * 24)


def test_a_step_refuses_more_images_than_it_was_made_for() -> None:
    train_program = NativeEngine().train_program(
        GRAPH, initial_parameters(GRAPH), StepSettings(CrossEntropy(), SGD(), 4), 1
    )
    with pytest.raises(SettingError, match="1 to 4 images, got 5"):
        train_program.step(*batch(GRAPH, 5), 0.1)
    with pytest.raises(SettingError, match="threads must be at least 1"):
        NativeEngine().predictor(GRAPH, initial_parameters(GRAPH), 0)


def test_a_model_made_on_one_processor_answers_on_another() -> None:
    """Parameters travel in memory layout, whatever panels a processor likes."""
    parameters = initial_parameters(GRAPH, 8)
    settings = StepSettings(CrossEntropy(), SGD(), 4)
    train_program = NativeEngine(narrow("sse2")).train_program(GRAPH, parameters, settings, 1)
    assert_same_bits(train_program.parameters(), dict(parameters))
    wide = NativeEngine(host_target()).train_program(GRAPH, train_program.parameters(), settings, 1)
    assert_same_bits(wide.parameters(), dict(parameters))


def test_the_exact_worked_example_of_the_article() -> None:
    image = np.array(
        [
            [1, 0, 0, 0, 0, 1],
            [0, 1, 0, 0, 1, 0],
            [0, 0, 1, 1, 0, 0],
            [1, 0, 0, 0, 1, 0],
            [0, 1, 0, 0, 1, 0],
            [0, 0, 1, 0, 1, 0],
        ],
        np.float32,
    )
    filters = np.array([[[1, -1, -1], [-1, 1, -1], [-1, -1, 1]], [[-1, 1, -1], [-1, 1, -1], [-1, 1, -1]]], np.float32)
    graph = trace(Sequential(Conv2d(2, 3, bias=False), Flatten()), (6, 6, 1))
    weights = {"0.weight": np.ascontiguousarray(filters.transpose(1, 2, 0)[:, :, None])}
    maps = NativeEngine().predictor(graph, weights).logits(image[None, :, :, None]).reshape(4, 4, 2)
    assert maps[..., 0].tolist() == [[3, -1, -3, -1], [-3, 1, 0, -3], [-3, -3, 0, 1], [3, -2, -2, -1]]
    assert maps[..., 1].tolist() == [[-1, -1, -1, -1], [-1, -1, -2, 1], [-1, -1, -2, 1], [-1, 0, -4, 3]]


def test_a_nan_in_an_earlier_batch_leaves_no_trace_in_a_shorter_one() -> None:
    settings = StepSettings(CrossEntropy(), SGD(0.1), 8)
    parameters = initial_parameters(GRAPH)
    train_program = NativeEngine().train_program(GRAPH, parameters, settings, 1)
    bad = np.full((8, 15, 18, 3), np.nan, np.float32)
    train_program.step(bad, np.zeros(8, np.int32), 0.1)
    train_program.load(parameters)
    images, labels = batch(GRAPH, 3)
    train_program.step(images, labels, 0.0)
    assert all(np.isfinite(value).all() for value in train_program.gradients().values())


def test_an_answer_is_not_touched_by_the_next() -> None:
    predictor = NativeEngine().predictor(GRAPH, initial_parameters(GRAPH), 1)
    first = predictor.logits(batch(GRAPH, 1, seed=1)[0])
    kept = first.copy()
    predictor.logits(batch(GRAPH, 1, seed=2)[0])
    assert first.tobytes() == kept.tobytes()
