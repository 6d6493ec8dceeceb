"""Steps in slices: the steps of the engine, and the same bits on any number of processes."""

import threading

import numpy as np
import pytest

from neocog.engines.base import StepSettings
from neocog.engines.native import NativeEngine
from neocog.engines.sharing import program_for
from neocog.errors import DataError, SettingError
from neocog.nn.blocks import Residual, Sequential
from neocog.nn.followers import EMA
from neocog.nn.graph import trace
from neocog.nn.groups import GradientClip
from neocog.nn.layers import BatchNorm2d, Conv2d, Dropout, Flatten, GlobalAvgPool2d, Linear, MaxPool2d, ReLU
from neocog.nn.losses import BinaryCrossEntropy, CrossEntropy, MeanSquaredError
from neocog.nn.optimizers import SGD, Adam
from neocog.nn.parameters import initial_parameters
from neocog.nn.slicing import Slicing
from neocog.plan.ops.exchange import ForEachSlice
from neocog.plan.planner import plan_program
from neocog.plan.program import Training
from neocog.ranks.world import Alone
from thread_world import GatheringThreadWorld, SharingThreadWorld, in_threads

BATCH = 12
PLAIN = trace(Sequential(Conv2d(5, 3, 1, 1), ReLU(), MaxPool2d(2), Flatten(), Linear(3)), (6, 6, 2))
NORMED = trace(
    Sequential(
        *(Conv2d(6, 3, 1, 1, bias=False), BatchNorm2d(), ReLU()),
        Residual(Sequential(Conv2d(6, 3, 1, 1, bias=False), BatchNorm2d())),
        *(ReLU(), Dropout(0.3), GlobalAvgPool2d(), Linear(3)),
    ),
    (6, 6, 2),
)
WITHOUT_DROPOUT = trace(
    Sequential(*(Conv2d(6, 3, 1, 1, bias=False), BatchNorm2d(), ReLU()), GlobalAvgPool2d(), Linear(3)), (6, 6, 2)
)
OFF_MEAN = 30.0  # so that a variance computed from Σ x² alone would be wrong


def data(count: int = BATCH) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return rng.random((count, 6, 6, 2), np.float32), rng.integers(0, 3, count)


def settings(slicing: Slicing | None, **more) -> StepSettings:
    given = {"loss": CrossEntropy(0.1), "optimizer": SGD(0.1, momentum=0.9, weight_decay=0.01), **more}
    return StepSettings(batch_size=BATCH, slicing=slicing, **given)


def trained(graph, wanted: StepSettings, world=None, sizes=(12, 12, 7, 1), offset=0.0, fast=False):
    """Take steps on batches of these sizes; return the losses, and all that the network keeps."""
    program = program_for(NativeEngine(), graph, initial_parameters(graph, 1), wanted, 1, world, fast=fast)
    x, y = data()
    x = x + np.float32(offset)
    losses = []
    for whole in sizes:
        if world is None:
            losses.append(program.step(x[:whole], y[:whole], 0.1).loss)
        else:
            places = wanted.slicing.images(wanted.slicing.slices(world.rank, world.size), BATCH, whole)
            here = slice(places.start, places.stop)
            result = program.step(x[:whole][here], y[:whole][here], 0.1, whole)
            assert len(result.logits) == len(places)
            losses.append(result.loss)
    return losses, {**program.parameters(), **program.optimizer_state(), **program.gradients()}


def same(one: tuple, other: tuple) -> bool:
    return one[0] == other[0] and all(value.tobytes() == other[1][name].tobytes() for name, value in one[1].items())


@pytest.mark.parametrize("sync_norms", [False, True])
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"optimizer": Adam(), "clip": GradientClip(0.5), "followers": (EMA(0.9),)},
        {"loss": CrossEntropy(weights=(1.0, 2.0, 4.0))},
        {"loss": BinaryCrossEntropy(2.0)},
        {"frozen": ("0",)},
    ],
    ids=["sgd", "adam", "weights", "labels", "frozen"],
)
def test_any_number_of_processes_gets_the_bits_of_one(sync_norms, more):
    wanted = settings(Slicing(5, sync_norms), **more)
    alone = trained(NORMED, wanted, Alone())
    for size, kind in ((2, GatheringThreadWorld), (3, GatheringThreadWorld), (3, SharingThreadWorld)):
        for found in in_threads(size, lambda world: trained(NORMED, wanted, world), kind):
            assert same(alone, found), (size, kind)


@pytest.mark.parametrize("graph", [PLAIN, NORMED], ids=["plain", "norms"])
@pytest.mark.parametrize("sync_norms", [False, True])
def test_one_slice_is_the_whole_batch_to_the_last_bit_of_its_weights(graph, sync_norms):
    """The loss is a float32 sum among gradients; all else is what a step that is not cut computes."""
    (whole, kept), (sliced, found) = (trained(graph, settings(one)) for one in (None, Slicing(1, sync_norms)))
    assert sliced == pytest.approx(whole, rel=1e-6)
    if sync_norms and graph is NORMED:  # statistics are rounded once more on their way
        assert all(np.allclose(value, found[name], rtol=1e-4, atol=1e-5) for name, value in kept.items())
    else:
        assert all(value.tobytes() == found[name].tobytes() for name, value in kept.items())


def in_float64(graph, wanted: StepSettings, sizes, offset) -> tuple:
    """Take the same steps with the reference engine, whose batch is not cut."""
    from neocog.engines.reference import ReferenceEngine

    program = ReferenceEngine().train_program(graph, initial_parameters(graph, 1), wanted)
    x, y = data()
    x = x + np.float32(offset)
    return [program.step(x[:whole], y[:whole], 0.1).loss for whole in sizes], program.parameters()


@pytest.mark.parametrize("loss", [CrossEntropy(), CrossEntropy(weights=(1.0, 2.0, 4.0)), MeanSquaredError()])
@pytest.mark.parametrize("offset", [0.0, OFF_MEAN])
def test_synchronised_statistics_are_those_of_the_batch(loss, offset):
    """Three steps in slices move the weights as those in float64 do of the whole batch: the difference is rounding."""
    sizes = (12, 7, 12)
    losses, kept = in_float64(WITHOUT_DROPOUT, settings(None, loss=loss), sizes, offset)
    found = trained(WITHOUT_DROPOUT, settings(Slicing(4, sync_norms=True), loss=loss), sizes=sizes, offset=offset)
    uncut = trained(WITHOUT_DROPOUT, settings(None, loss=loss), sizes=sizes, offset=offset)
    assert found[0] == pytest.approx(losses, rel=1e-4)
    for name, value in kept.items():
        error, usual = (np.abs(one[1][name] - value).max() for one in (found, uncut))
        # not farther from float64 than the engine is without slices, but for some more roundings of float32
        assert error <= 4 * usual + 64 * np.finfo(np.float32).eps * max(1.0, np.abs(value).max()), name


def test_statistics_of_slices_are_those_of_each_slice():
    """One step: what moved the running averages is the mean over slices of what each has."""
    x, _ = data()
    graph = trace(Sequential(BatchNorm2d(affine=False), Flatten(), Linear(3)), (6, 6, 2))
    _, kept = trained(graph, settings(Slicing(3)), sizes=(12,))
    means = np.stack([part.mean(axis=(0, 1, 2)) for part in np.split(x, 3)])
    variances = np.stack([part.reshape(-1, 2).var(axis=0, ddof=1) for part in np.split(x, 3)])
    assert kept["0.running_mean"] == pytest.approx(0.1 * means.mean(axis=0), rel=1e-5)
    assert kept["0.running_var"] == pytest.approx(0.9 + 0.1 * variances.mean(axis=0), rel=1e-5)


def test_slices_drop_different_values():
    """With the same image in every slice, only what is dropped tells them apart."""
    graph = trace(Sequential(Flatten(), Dropout(0.5), Linear(3)), (6, 6, 2))
    program = program_for(NativeEngine(), graph, initial_parameters(graph, 1), settings(Slicing(4)), 1, None)
    x, y = data(1)
    logits = program.step(np.repeat(x, BATCH, axis=0), np.repeat(y, BATCH), 0.1).logits
    assert len({row.tobytes() for row in logits[:: BATCH // 4]}) == 4


def test_a_process_with_other_images_than_its_own_is_refused():
    program = program_for(NativeEngine(), PLAIN, initial_parameters(PLAIN, 1), settings(Slicing(4)), 1, None)
    x, y = data()
    with pytest.raises(DataError, match="process 0 needs 12 of the 12 images of a step, got 5"):
        program.step(x[:5], y[:5], 0.1, 12)


def test_engines_without_slices_and_steps_without_them_are_refused():
    from neocog.engines.reference import ReferenceEngine

    start = initial_parameters(PLAIN, 1)
    with pytest.raises(SettingError, match="the reference engine takes no steps in slices"):
        program_for(ReferenceEngine(), PLAIN, start, settings(Slicing(2)), 1, None)
    with pytest.raises(SettingError, match="must be cut into slices"):
        program_for(NativeEngine(), PLAIN, start, settings(None), 1, Alone())
    with pytest.raises(SettingError, match="2 slices cannot be shared by 3 processes"):
        in_threads(3, lambda world: program_for(NativeEngine(), PLAIN, start, settings(Slicing(2)), 1, world))


def test_a_program_of_slices_waits_where_statistics_and_gradients_are_exchanged():
    target = NativeEngine().target
    for sync_norms, waits in ((False, 1), (True, 2 * 2 + 1)):
        training = Training(CrossEntropy(), SGD(0.1), slicing=Slicing(4, sync_norms))
        phases = plan_program(NORMED, 3, target, training).phases()
        begin, *others = (phase.exchange for phase in phases)
        assert isinstance(begin, ForEachSlice)
        assert sum(exchange is not None for exchange in others) == waits
        assert len(others) == waits + 1
    (only,) = plan_program(NORMED, 3, target, Training(CrossEntropy(), SGD(0.1))).phases()
    assert (only.function, only.exchange) == ("run", None)


def test_processes_of_one_machine_compile_a_program_once(monkeypatch):
    """The first compiles; the others wait, and then find what it made."""
    from neocog.engines.native import training

    order: list[tuple[str, str]] = []

    def make(cache, *rest):
        rank = threading.current_thread().name
        order.append(("begins", rank))
        made = original(cache, *rest)
        order.append(("ends", rank))
        return made

    original = training.make
    monkeypatch.setattr(training, "make", make)

    def work(world):
        threading.current_thread().name = str(world.rank)
        program_for(NativeEngine(), PLAIN, initial_parameters(PLAIN, 1), settings(Slicing(4)), 1, world)

    in_threads(3, work, SharingThreadWorld)
    assert order[:2] == [("begins", "0"), ("ends", "0")]
    assert sorted(order[2:]) == [(what, rank) for what in ("begins", "ends") for rank in "12"]
