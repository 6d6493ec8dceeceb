import pytest

from neocog.errors import SettingError
from neocog.nn.optimizers import SGD
from neocog.train.callbacks import Callback, EarlyStopping
from neocog.train.events import Run
from neocog.train.history import EpochResult, History


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
