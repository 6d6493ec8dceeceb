"""A training that processes share ends with the bits that one gets alone, whatever their number."""

import numpy as np
import pytest

import neocog as nc
from neocog.data.arrays import ArrayDataset
from neocog.data.augment.flip import RandomFlip
from neocog.data.augment.pipeline import Pipeline
from neocog.data.batches import Batches
from neocog.errors import DataError, NeocogError, SettingError
from neocog.nn.share import Share
from neocog.nn.slicing import Slicing
from neocog.ranks.world import Alone, LostProcessError
from neocog.train.callbacks import Callback
from neocog.train.fit import fit
from neocog.train.runfolder import RunFolder
from neocog.train.source import ArraySource, DataSource
from thread_world import GatheringThreadWorld, ThreadWorld, in_threads

COUNT, CLASSES = 50, 3


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    return rng.integers(0, 256, (COUNT, 8, 8, 3), dtype=np.uint8), np.arange(COUNT) % CLASSES


def model() -> nc.Model:
    net = nc.Sequential(
        *(nc.Conv2d(6, 3, padding=1, bias=False), nc.BatchNorm2d(), nc.ReLU(), nc.Dropout(0.2)),
        *(nc.GlobalAvgPool2d(), nc.Linear(CLASSES)),
    )
    return nc.Model(net, (8, 8, 3), threads=1)


def trained(world, **given):
    """Train; return the model and what its history says but for times."""
    made, (x, y) = model(), data()
    given = {"epochs": 3, "batch_size": 16, "slices": 4, "validation_split": 0.2, **given}
    history = made.fit(x, y, world=world, verbose=0, **given)
    return made, told(history)


def told(history) -> list[tuple]:
    return [(epoch.loss, epoch.accuracy, epoch.val_loss, epoch.val_accuracy) for epoch in history.epochs]


def same(one, other) -> bool:
    (model_, history), (other_model, other_history) = one, other
    parameters = other_model.parameters
    return history == other_history and all(
        value.tobytes() == parameters[name].tobytes() for name, value in model_.parameters.items()
    )


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"sync_bn": True, "augment": "flip,crop=1,mixup=0.4", "ema": 0.9},
        {"loss": nc.CrossEntropy(weights=(1.0, 2.0, 3.0)), "sampling": "balanced", "batch_size": 32, "patience": 2},
    ],
    ids=["plain", "augmented", "weighted"],
)
def test_any_number_of_processes_trains_the_same_model(given):
    alone = trained(Alone(), **given)
    assert same(alone, trained(None, **given))  # which slices alone ask for
    for size, kind in ((2, ThreadWorld), (3, GatheringThreadWorld)):
        for found in in_threads(size, lambda world: trained(world, **given), kind):
            assert same(alone, found), size


def test_without_a_number_of_slices_few_processes_agree():
    alone, *_ = in_threads(1, lambda world: trained(world, slices=None))
    for found in in_threads(2, lambda world: trained(world, slices=None)):
        assert same(alone, found)


def test_a_training_goes_on_with_another_number_of_processes(tmp_path):
    def begun(world):
        made, (x, y) = model(), data()
        source = ArraySource(x, y, batch_size=16)
        fit(
            made,
            source,
            epochs=3,
            batch_size=16,
            slices=4,
            sync_bn=True,
            world=world,
            verbose=0,
            folder=RunFolder(tmp_path / "run"),
            callbacks=[StopAfter(1)],
        )

    def resumed(world):
        checkpoint = RunFolder(tmp_path / "run").load_last(kind=nc.Model)
        x, y = data()
        fit(checkpoint.model, ArraySource(x, y, batch_size=16), resume=checkpoint, world=world, verbose=0)
        return checkpoint.model

    in_threads(2, begun)
    found = in_threads(3, resumed)
    made, (x, y) = model(), data()
    fit(made, ArraySource(x, y, batch_size=16), epochs=3, batch_size=16, slices=4, sync_bn=True, verbose=0)
    for one in (*found, resumed(None)):
        assert all(value.tobytes() == one.parameters[name].tobytes() for name, value in made.parameters.items())


class StopAfter(Callback):
    """Stop a training after some epochs; only the first process hears it."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_epoch_end(self, run, epoch):
        if epoch.epoch == self.epochs:
            run.stop("enough")


def test_what_a_callback_of_the_first_process_stops_ends_for_all():
    def work(world):
        made, (x, y) = model(), data()
        callbacks = [StopAfter(2)] if world.rank == 0 else []
        return made.fit(x, y, epochs=5, batch_size=16, world=world, callbacks=callbacks, verbose=0)

    assert [(len(history), history.stopped) for history in in_threads(2, work)] == [(2, "enough")] * 2


def test_the_clock_of_the_first_process_ends_the_training_of_all():
    def work(world):
        made, (x, y) = model(), data()
        return made.fit(x, y, epochs=10**6, time_limit=0.2, batch_size=16, world=world, verbose=0)

    one, other = in_threads(2, work)
    assert (one.stopped, told(one)) == (other.stopped, told(other)) == ("time limit", told(one))


def test_processes_that_begin_differently_are_told_in_what():
    def rated(world):
        made, (x, y) = model(), data()
        made.fit(x, y, batch_size=16, optimizer=nc.SGD(0.1 + world.rank), world=world, verbose=0)

    with pytest.raises(NeocogError, match="must begin alike, but have different settings"):
        in_threads(2, rated)

    def seeded(world):
        made, (x, y) = model(), data()
        made.load_parameters({name: value + world.rank for name, value in made.parameters.items()})
        made.fit(x, y, batch_size=16, world=world, verbose=0)

    with pytest.raises(NeocogError, match="must begin alike, but have different weights"):
        in_threads(2, seeded)


class Dying(GatheringThreadWorld):
    """Process 1 is gone after some exchanges."""

    left = 60

    def _everyone(self, values):
        self.left -= 1
        if self.rank == 1 and self.left < 0:
            self._meeting.abort()
            raise SystemExit
        try:
            return super()._everyone(values)
        except Exception:
            raise LostProcessError(f"process {self.rank} no longer hears from the others") from None


def test_when_a_process_is_lost_the_others_say_what_is_kept(tmp_path):
    errors = []

    def work(world):
        made, (x, y) = model(), data()
        try:
            fit(
                made,
                ArraySource(x, y, batch_size=16),
                epochs=50,
                batch_size=16,
                world=world,
                verbose=0,
                folder=RunFolder(tmp_path / "run"),
            )
        except LostProcessError as error:
            errors.append(error)

    with pytest.raises(SystemExit):
        in_threads(2, work, Dying)
    (error,) = errors
    kept = RunFolder(tmp_path / "run").load_last()
    assert f"kept: epoch {len(kept.history)}, in {tmp_path}/run/last.safetensors" in error.details
    assert "--resume" in error.hint


def test_numbers_that_are_not_finite_are_found_together():
    def work(world):
        made, (x, y) = model(), data()
        made.fit(x, y, batch_size=16, optimizer=nc.SGD(1e30), world=world, verbose=0)

    with pytest.raises(NeocogError, match="must be finite"):
        in_threads(2, work)


class Plain:
    """A source that knows nothing of processes."""

    images = COUNT

    def batches(self, epoch):
        x, y = data()
        for start in range(0, COUNT, 16):
            yield x[start : start + 16], y[start : start + 16]


def test_batches_of_any_source_are_cut():
    def work(world):
        made = model()
        fit(made, Plain(), epochs=2, batch_size=16, slices=4, validation=Plain(), world=world, verbose=0)
        return made

    alone, *_ = in_threads(1, work)
    for found in in_threads(3, work):
        assert all(value.tobytes() == found.parameters[name].tobytes() for name, value in alone.parameters.items())


def test_batches_of_another_size_are_refused():
    x, y = data()
    with pytest.raises(SettingError, match="batches of 8 images cannot be shared as steps of 16"):
        fit(model(), ArraySource(x, y, batch_size=8), batch_size=16, slices=4, verbose=0)


@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_parts_of_batches_make_the_batches(size, resident, monkeypatch):
    """Images, augmented, mixed and not: those of all processes side by side are those of one that has all slices."""
    x, y = data()
    dataset = ArrayDataset(x, y)
    monkeypatch.setattr(ArrayDataset, "resident", lambda *_: resident)
    augment = Pipeline((RandomFlip(), *nc.TrainingSettings(augment="mixup=0.4").augment), 1)
    sources = {
        "arrays": ArraySource(x, y, batch_size=16, seed=2).augmented(augment, CLASSES),
        "data": DataSource(Batches(dataset, 16, shuffle=True, seed=2, workers=2)).augmented(augment, CLASSES),
    }
    for name, source in sources.items():
        parts = [list(source.shared(Share(Slicing(4), 16, rank, size)).batches(3)) for rank in range(size)]
        (whole,) = [list(source.shared(Share(Slicing(4), 16, 0, 1)).batches(3))]
        for number, (images, labels) in enumerate(whole):
            here = [part[number] for part in parts if number < len(part)]
            assert np.concatenate([one for one, _ in here]).tobytes() == images.tobytes(), name
            assert np.concatenate([one for _, one in here]).tobytes() == labels.tobytes(), name


def test_an_image_that_turns_out_unreadable_is_told_and_not_passed_over():
    class Short(ArraySource):
        def batches(self, epoch):
            for images, labels in super().batches(epoch):
                yield images[:-1], labels[:-1]

    x, y = data()
    with pytest.raises(DataError, match="process 0 expected 16 images of a batch, and could read 15"):
        fit(model(), Short(x, y, batch_size=16), batch_size=16, slices=4, verbose=0)
