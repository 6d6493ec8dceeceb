"""What every engine promises besides its numbers: copies, resuming, small batches, and readable refusals."""

import numpy as np
import pytest

from conformance_cases import real_case
from neocog.engines.base import StepSettings
from neocog.errors import NeocogError
from neocog.nn.blocks import Sequential
from neocog.nn.graph import trace
from neocog.nn.layers import Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU
from neocog.nn.losses import CrossEntropy
from neocog.nn.optimizers import SGD, Adam

NET = Sequential(Conv2d(5, 2), ReLU(), MaxPool2d(2), Flatten(), Dropout(0.5), Linear(4))
CASE = real_case(trace(NET, (5, 5, 2)), 3, 1, CrossEntropy(0.1), batch_size=4)
SETTINGS = StepSettings(CASE.loss, SGD(momentum=0.9), 4, seed=11)


def train_program(engine, settings=SETTINGS):
    return engine.train_program(CASE.graph, CASE.parameters, settings)


def predictor(engine):
    return engine.predictor(CASE.graph, CASE.parameters)


def same(one, other):
    return set(one) == set(other) and all(np.array_equal(one[name], other[name]) for name in one)


def test_no_images_give_no_answers(engine):
    made = predictor(engine)
    assert made.logits(CASE.images[:0]).shape == (0, CASE.graph.classes)
    assert made.features(CASE.images[:0]).shape == (0, CASE.graph.nodes[CASE.graph.feature_node].output.size)


def test_an_answer_does_not_depend_on_the_other_images(engine):
    made = predictor(engine)
    images = np.random.default_rng(0).random((9, *CASE.images.shape[1:]), np.float32)
    together = made.logits(images)
    for i, image in enumerate(images):
        np.testing.assert_allclose(made.logits(image[None])[0], together[i], rtol=1e-5, atol=1e-6)


def test_answers_are_float32_and_the_callers_own(engine):
    made = predictor(engine)
    first = made.logits(CASE.images)
    kept = first.copy()
    made.logits(1 - CASE.images)
    assert first.dtype == np.float32
    assert np.array_equal(first, kept)


def test_parameters_are_copied_in_and_out(engine):
    given = {name: value.copy() for name, value in CASE.parameters.items()}
    made = engine.train_program(CASE.graph, given, SETTINGS)
    for value in given.values():
        value[...] = 0
    assert same(made.parameters(), CASE.parameters)
    made.parameters()["5.bias"][...] = 9
    assert same(made.parameters(), CASE.parameters)
    before = made.parameters()
    made.step(CASE.images, CASE.targets, 0.1)
    assert same(before, CASE.parameters)
    assert not same(made.parameters(), CASE.parameters)


def test_a_predictor_takes_new_parameters(engine):
    made = predictor(engine)
    zeros = {name: np.zeros_like(value) for name, value in CASE.parameters.items()}
    made.load(zeros)
    assert not made.logits(CASE.images).any()
    made.load(CASE.parameters)
    assert np.array_equal(made.logits(CASE.images), predictor(engine).logits(CASE.images))


def test_a_rate_of_zero_moves_nothing(engine):
    made = train_program(engine)
    made.step(CASE.images, CASE.targets, 0.0)
    assert same(made.parameters(), CASE.parameters)


def test_images_beyond_the_batch_leave_no_trace(engine):
    full = np.random.default_rng(1).random((4, *CASE.images.shape[1:]), np.float32)
    used, fresh = (train_program(engine, StepSettings(CASE.loss, SGD(), 4, seed=11)) for _ in range(2))
    used.step(full, np.zeros(4, np.int32), 0.0)
    fresh.step(CASE.images[:1], CASE.targets[:1], 0.0)
    for made in (used, fresh):
        made.load(CASE.parameters)
    one = used.step(CASE.images[:2], CASE.targets[:2], 0.1)
    other = fresh.step(CASE.images[:2], CASE.targets[:2], 0.1)
    assert one.logits.shape == (2, 4)
    assert np.array_equal(one.logits, other.logits)
    assert one.loss == other.loss
    assert same(used.gradients(), fresh.gradients())


def test_the_same_seed_gives_the_same_bits(engine):
    one, other = train_program(engine), train_program(engine)
    for _ in range(3):
        assert one.step(CASE.images, CASE.targets, 0.1).loss == other.step(CASE.images, CASE.targets, 0.1).loss
    assert same(one.parameters(), other.parameters())


@pytest.mark.parametrize("optimizer", [SGD(), SGD(momentum=0.9), Adam()], ids=["descent", "momentum", "adam"])
def test_a_resumed_training_goes_on_bit_by_bit(engine, optimizer):
    settings = StepSettings(CASE.loss, optimizer, 4, seed=11)
    whole, first = train_program(engine, settings), train_program(engine, settings)
    for _ in range(5):
        whole.step(CASE.images, CASE.targets, 0.05)
    for _ in range(2):
        first.step(CASE.images, CASE.targets, 0.05)
    resumed = engine.train_program(CASE.graph, first.parameters(), settings)
    resumed.load_optimizer_state(first.optimizer_state(), 2)
    assert same(resumed.optimizer_state(), first.optimizer_state())
    for _ in range(3):
        resumed.step(CASE.images, CASE.targets, 0.05)
    assert same(resumed.parameters(), whole.parameters())
    assert same(resumed.optimizer_state(), whole.optimizer_state())


def test_the_memory_starts_at_zero(engine):
    state = train_program(engine).optimizer_state()
    assert set(state) == {f"{name}/momentum" for name in CASE.parameters}
    assert all(state[f"{name}/momentum"].shape == value.shape for name, value in CASE.parameters.items())
    assert not any(value.any() for value in state.values())


@pytest.mark.usefixtures("shared")
def test_threads_do_not_change_the_native_engines_bits(engine):
    if engine.name != "native":
        pytest.skip("only the native engine promises this")
    trained = []
    for threads in (1, 2, 3):
        made = engine.train_program(CASE.graph, CASE.parameters, SETTINGS, threads=threads)
        for _ in range(3):
            made.step(CASE.images, CASE.targets, 0.1)
        trained.append(made.parameters())
    assert same(trained[0], trained[1])
    assert same(trained[0], trained[2])


def test_what_does_not_fit_is_refused(engine):
    made = train_program(engine)
    with pytest.raises(NeocogError):
        made.step(np.zeros((5, *CASE.images.shape[1:]), np.float32), np.zeros(5, np.int32), 0.1)
    with pytest.raises(NeocogError):
        made.step(CASE.images[:0], CASE.targets[:0], 0.1)
    with pytest.raises(NeocogError):
        made.load({})
    with pytest.raises(NeocogError):
        predictor(engine).logits(CASE.images[:, :-1])
    with pytest.raises(NeocogError):
        made.load_optimizer_state({}, 0)
