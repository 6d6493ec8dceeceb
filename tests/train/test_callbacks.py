import contextlib
import csv

import pytest

from neocog.errors import NeocogWarning, SettingError
from neocog.nn.optimizers import SGD
from neocog.train.callbacks import Callback, CSVLogger, EarlyStopping, LambdaCallback, ModelCheckpoint
from neocog.train.events import Run
from neocog.train.fit import fit
from neocog.train.history import EpochResult, History
from neocog.train.model import load
from neocog.train.runfolder import RunFolder
from neocog.train.source import ArraySource


class Recorder(Callback):
    def __init__(self, stop_at=None):
        self.calls, self.stop_at = [], stop_at

    def on_train_begin(self, run):
        self.calls.append("train begin")

    def on_train_end(self, run):
        self.calls.append(f"train end: {run.history.stopped}")

    def on_epoch_begin(self, run):
        self.calls.append(f"epoch {run.epoch} begin")

    def on_epoch_end(self, run, epoch):
        self.calls.append(f"epoch {epoch.epoch} end")

    def on_batch_begin(self, run):
        self.calls.append("batch begin")

    def on_batch_end(self, run, batch):
        self.calls.append(f"batch end: {batch.step} {batch.images}")
        if batch.step == self.stop_at:
            run.stop("enough")


def test_hooks_are_called_in_order(make_model, toy):
    recorder = Recorder()
    make_model().fit(*toy, epochs=2, batch_size=40, callbacks=[recorder], verbose=0)
    assert recorder.calls == [
        "train begin",
        "epoch 1 begin",
        "batch begin",
        "batch end: 1 40",
        "batch begin",
        "batch end: 2 60",
        "epoch 1 end",
        "epoch 2 begin",
        "batch begin",
        "batch end: 3 40",
        "batch begin",
        "batch end: 4 60",
        "epoch 2 end",
        "train end: finished",
    ]


def test_a_callback_can_stop_within_an_epoch(make_model, toy):
    recorder = Recorder(stop_at=2)
    history = make_model().fit(*toy, epochs=5, batch_size=10, callbacks=[recorder], verbose=0)
    assert history.stopped == "enough"
    assert recorder.calls[-3:] == ["batch end: 2 20", "epoch 1 end", "train end: enough"]


def test_a_failing_callback_ends_training_and_all_hear_of_it(make_model, toy):
    class Broken(Callback):
        def on_epoch_end(self, run, epoch):
            raise RuntimeError("broken")

    recorder = Recorder()
    with pytest.raises(RuntimeError, match="broken"):
        make_model().fit(*toy, callbacks=[recorder, Broken()], verbose=0)
    assert recorder.calls[-1] == "train end: failed"


def epochs_of(losses, **settings):
    """Return the epoch after which EarlyStopping stops, or None."""
    stopping = EarlyStopping(**settings)
    run = Run(None, None, History(), len(losses), 1)
    stopping.on_train_begin(run)
    for number, loss in enumerate(losses, 1):
        stopping.on_epoch_end(run, EpochResult(number, loss, 1 - loss, loss, 1 - loss, 0.1, 1.0, 1.0))
        if run.stop_reason:
            return number
    return None


@pytest.mark.parametrize("monitor", ["loss", "val_loss", "accuracy", "val_accuracy"])
def test_stopping_waits_for_patience_epochs_without_improvement(monitor):
    assert epochs_of([0.5, 0.4, 0.45, 0.4, 0.4, 0.3], monitor=monitor, patience=3) == 5
    assert epochs_of([0.5, 0.4, 0.45, 0.39, 0.4, 0.38], monitor=monitor, patience=3) is None


def test_small_changes_are_no_improvement():
    assert epochs_of([0.5, 0.49, 0.48, 0.47], patience=2, min_delta=0.015) is None
    assert epochs_of([0.5, 0.49, 0.48, 0.47], patience=2, min_delta=0.05) == 3


def test_the_best_weights_come_back(make_model, toy):
    class Weights(Callback):
        def __init__(self):
            self.seen = []

        def on_epoch_end(self, run, epoch):
            self.seen.append((epoch.val_loss, run.model.parameters))

    weights, model = Weights(), make_model()
    stopping = EarlyStopping(patience=2, restore_best_weights=True)
    history = model.fit(
        *toy,
        epochs=30,
        validation_data=(toy[0], 1 - toy[1]),  # the better it learns, the worse it is measured
        optimizer=SGD(0.05),
        callbacks=[weights, stopping],
        verbose=0,
    )
    assert history.stopped == "patience"
    best = min(weights.seen, key=lambda pair: pair[0])
    assert best is not weights.seen[-1]
    assert all((model.parameters[name] == value).all() for name, value in best[1].items())
    assert model.metrics["val_loss"] == best[0]


@pytest.mark.parametrize("kept", [True, False])
def test_stopping_remembers_the_best_epoch_across_a_resume(make_model, toy, tmp_path, kept):
    settings = {"optimizer": SGD(0.05), "validation": ArraySource(toy[0], 1 - toy[1]), "verbose": 0}
    stopping = EarlyStopping(patience=4, restore_best_weights=True)
    whole = make_model()
    fit(whole, ArraySource(*toy), epochs=30, callbacks=[stopping], **settings)
    folder = RunFolder(tmp_path)
    early = LambdaCallback(on_epoch_end=lambda run, epoch: run.stop("killed") if epoch.epoch == 2 else None)
    fit(make_model(), ArraySource(*toy), epochs=30, callbacks=[early], folder=folder, **settings)
    if not kept:
        folder.best.unlink()
    checkpoint = folder.load_last(engine="reference")
    with contextlib.nullcontext() if kept else pytest.warns(NeocogWarning, match="the weights of epoch 1, the best"):
        history = fit(
            checkpoint.model,
            ArraySource(*toy),
            resume=checkpoint,
            callbacks=[EarlyStopping(patience=4, restore_best_weights=True)],
            **settings,
        )
    assert history.stopped == "patience"
    same = all((whole.parameters[name] == value).all() for name, value in checkpoint.model.parameters.items())
    assert same == kept


def test_stopping_needs_what_it_watches(make_model, toy):
    with pytest.raises(SettingError, match="val_loss needs validation data"):
        make_model().fit(*toy, callbacks=[EarlyStopping()], verbose=0)
    for wrong in (
        {"monitor": "speed"},
        {"patience": 0},
        {"min_delta": -1.0},
        {"min_delta": "1"},
        {"restore_best_weights": None},
    ):
        with pytest.raises(SettingError, match=next(iter(wrong))):
            EarlyStopping(**wrong)


def test_a_checkpoint_is_the_best_model_so_far(make_model, toy, tmp_path):
    seen = {}

    class Weights(Callback):
        def on_epoch_end(self, run, epoch):
            seen[epoch.epoch] = (epoch.val_loss, run.model.parameters)

    worse = (toy[0], 1 - toy[1])  # the better it learns, the worse it is measured
    checkpoints = [
        ModelCheckpoint(tmp_path / "best.safetensors"),
        ModelCheckpoint(tmp_path / "{epoch:02d}-{val_loss:.3f}.safetensors", save_best_only=False),
    ]
    settings = {"epochs": 4, "validation_data": worse, "optimizer": SGD(0.05), "verbose": 0}
    make_model().fit(*toy, **settings, callbacks=[*checkpoints, Weights()])
    best = min(seen, key=lambda epoch: seen[epoch][0])
    assert best < 4
    names = {f"{epoch:02d}-{loss:.3f}.safetensors": weights for epoch, (loss, weights) in seen.items()}
    assert {path.name for path in tmp_path.iterdir()} == {"best.safetensors", *names}
    for name, weights in (*names.items(), ("best.safetensors", seen[best][1])):
        found = load(tmp_path / name, engine="reference").parameters
        assert all((found[key] == value).all() for key, value in weights.items())
    assert load(tmp_path / "best.safetensors").metrics["epoch"] == best


def test_a_checkpoint_knows_the_epochs_before_a_resume(make_model, toy, tmp_path):
    run = Run(None, None, History([EpochResult(1, 0.5, 0.5, 0.1, 0.9, 0.1, 1.0, 1.0)]), 2, 1)
    checkpoint = ModelCheckpoint(tmp_path / "best")
    checkpoint.on_train_begin(run)
    checkpoint.on_epoch_end(run, EpochResult(2, 0.4, 0.6, 0.2, 0.8, 0.1, 1.0, 1.0))  # no better: nothing is written
    assert not list(tmp_path.iterdir())


def test_a_csv_file_is_that_of_a_run_folder(make_model, toy, tmp_path):
    folder, logger = RunFolder(tmp_path / "run"), CSVLogger(tmp_path / "log.csv")
    source = ArraySource(*toy, batch_size=20)
    history = fit(make_model(), source, validation=source, folder=folder, epochs=3, callbacks=[logger], verbose=0)
    assert (tmp_path / "log.csv").read_bytes() == folder.history.read_bytes()
    with (tmp_path / "log.csv").open(newline="") as file:
        assert [float(row["val_loss"]) for row in csv.DictReader(file)] == history.history["val_loss"]


def test_functions_are_a_callback(make_model, toy):
    heard = []
    callback = LambdaCallback(
        on_epoch_end=lambda run, epoch: heard.append(epoch.epoch), on_train_end=lambda run: heard.append("end")
    )
    make_model().fit(*toy, epochs=2, callbacks=[callback], verbose=0)
    assert heard == [1, 2, "end"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: LambdaCallback(on_epoch=print), "there is no hook on_epoch"),
        (lambda: LambdaCallback(on_epoch_end=3), "on_epoch_end must be a function"),
        (lambda: ModelCheckpoint("a", "speed"), "ModelCheckpoint: monitor must be one of"),
        (lambda: ModelCheckpoint("a", save_best_only=1), "save_best_only"),
        (lambda: ModelCheckpoint("{eopch}.safetensors"), "cannot be filled in"),
    ],
)
def test_a_mistake_is_told_at_once(make, words):
    with pytest.raises(SettingError, match=words):
        make()


def test_a_checkpoint_needs_what_it_watches(make_model, toy, tmp_path):
    with pytest.raises(SettingError, match="ModelCheckpoint: val_loss needs validation data"):
        make_model().fit(*toy, callbacks=[ModelCheckpoint(tmp_path / "best")], verbose=0)
