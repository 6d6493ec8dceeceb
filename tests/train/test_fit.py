import math

import numpy as np
import pytest

from neocog.data.arrays import ArrayDataset
from neocog.data.batches import Batches
from neocog.errors import DataError, NeocogError, SettingError
from neocog.nn.losses import CrossEntropy, MeanSquaredError
from neocog.nn.optimizers import SGD, Adam
from neocog.nn.schedules import Constant, Cosine
from neocog.train.callbacks import Callback
from neocog.train.evaluation import evaluate
from neocog.train.fit import fit
from neocog.train.history import EpochResult, History
from neocog.train.model import load
from neocog.train.runfolder import RunFolder
from neocog.train.source import ArraySource, DataSource
from neocog.train.trainer import Trainer


class Rates(Callback):
    def __init__(self):
        self.rates, self.losses = [], []

    def on_batch_end(self, run, batch):
        self.rates.append(batch.learning_rate)
        self.losses.append(batch.batch_loss)


@pytest.fixture
def source(toy):
    return ArraySource(*toy, batch_size=16, seed=1)


def test_the_loop_is_nothing_but_steps(make_model, source):
    model, twin, rates = make_model(), make_model(), Rates()
    fit(model, source, epochs=2, optimizer=SGD(0.1), schedule=Constant(), callbacks=[rates], verbose=0)
    trainer = Trainer(twin, SGD(0.1))
    losses = []
    for epoch in range(2):
        losses += [trainer.step(x, y) for x, y in source.batches(epoch)]
        trainer.settle()
    assert rates.losses == losses
    assert all((model.parameters[name] == value).all() for name, value in twin.parameters.items())


def test_the_schedule_covers_the_whole_training_and_wastes_no_step(make_model, source):
    rates = Rates()
    fit(make_model(), source, epochs=3, optimizer=SGD(0.5), schedule=Cosine(0.25), callbacks=[rates], verbose=0)
    peak = rates.rates.index(max(rates.rates))
    assert rates.rates == sorted(rates.rates[: peak + 1]) + sorted(rates.rates[peak + 1 :], reverse=True)
    assert min(rates.rates) > 0
    assert 0.49 < max(rates.rates) <= 0.5
    first = (8 / 60) / 3  # the middle of the first of 3 epochs' steps, 16 of 60 images
    assert rates.rates[0] == pytest.approx(0.5 * first / 0.25)


def test_epoch_figures_are_means_over_images(make_model, source):
    rates = Rates()
    history = fit(make_model(), source, epochs=1, callbacks=[rates], verbose=0)
    assert history.epochs[0].loss == pytest.approx(np.average(rates.losses, weights=[16, 16, 16, 12]))
    assert 0 <= history.epochs[0].accuracy <= 1
    assert history.epochs[0].images_per_second > 0


def test_datasets_are_trained_on(make_model, toy):
    data = ArrayDataset(*toy, ["dark", "bright"])
    part = DataSource(Batches(data, 8, shuffle=True, workers=2))
    history = fit(make_model(), part, validation=part, epochs=2, verbose=0)
    assert len(history.history["val_loss"]) == 2


def test_patience_stops_and_goes_back_to_the_best_epoch(make_model, toy, source):
    backwards = ArraySource(toy[0], 1 - toy[1], shuffle=False)
    model = make_model()
    history = fit(
        model, source, validation=backwards, epochs=50, optimizer=Adam(0.01), patience=3, batch_size=64, verbose=0
    )
    assert history.stopped == "patience"
    assert len(history) == history.best.epoch + 3
    assert model.metrics == history.best.metrics()
    assert model.evaluate(toy[0], 1 - toy[1]).loss == history.best.val_loss


def test_the_last_weights_stay_unless_the_best_are_asked_for(make_model, toy, source):
    backwards = ArraySource(toy[0], 1 - toy[1], shuffle=False)
    for restore in (False, True):
        model = make_model()
        history = fit(model, source, validation=backwards, epochs=6, restore_best=restore, verbose=0)
        wanted = history.best if restore else history.epochs[-1]
        assert model.evaluate(toy[0], 1 - toy[1]).loss == wanted.val_loss


def test_the_last_weights_are_kept_where_they_are_asked_for(make_model, toy, source, tmp_path):
    backwards = ArraySource(toy[0], 1 - toy[1], shuffle=False)
    model, folder = make_model(), RunFolder(tmp_path)
    settings = {"epochs": 6, "keep": "last", "folder": folder, "restore_best": True, "verbose": 0}
    history = fit(model, source, validation=backwards, **settings)
    assert history.best is not history.epochs[-1]  # or this shows nothing
    assert model.evaluate(toy[0], 1 - toy[1]).loss == history.epochs[-1].val_loss
    assert load(folder.best).metrics["epoch"] == 6


def test_one_lucky_epoch_does_not_make_patience_longer():
    def waiting(*accuracies):
        epochs = [EpochResult(n, 0.5, 0.5, 0.5, a, 0.1, 1.0, 1.0) for n, a in enumerate(accuracies, 1)]
        return History(epochs).waiting

    assert waiting() == waiting(0.5) == 0
    assert waiting(0.5, 0.6, 0.7) == 0
    assert waiting(0.7, 0.7, 0.7, 0.7) == 3  # no better than the first
    assert waiting(0.7, 0.7, 0.6, 0.72, 0.6, 0.6) == 5  # 0.72 is the best epoch, but its neighbours are worse
    assert waiting(0.7, 0.7, 0.7, 0.72, 0.72, 0.6) == 1


def test_a_time_limit_leaves_time_for_the_last_measurement(make_model, toy, source, monkeypatch):
    import neocog.train.fit

    now = [0.0]
    monkeypatch.setattr(neocog.train.fit.time, "perf_counter", lambda: now[0])

    class Slow(ArraySource):
        def batches(self, epoch):
            now[0] += 10.0  # seconds
            yield from super().batches(epoch)

    class Tick(Callback):
        def on_batch_end(self, run, batch):
            now[0] += 1.0

    settings = {"time_limit": 47.5, "callbacks": [Tick()], "verbose": 0}
    history = fit(make_model(), source, validation=Slow(*toy), **settings)
    assert history.stopped == "time limit"
    assert 37.5 < now[0] <= 47.5


def test_a_time_limit_ends_training_within_an_epoch(make_model, source, monkeypatch):
    import neocog.train.fit

    now = [0.0]

    def tick():
        now[0] += 1.0
        return now[0]

    monkeypatch.setattr(neocog.train.fit.time, "perf_counter", tick)
    rates = Rates()
    history = fit(make_model(), source, epochs=100, time_limit=25.0, callbacks=[rates], verbose=0)
    assert history.stopped == "time limit"
    assert len(history) < 10
    assert rates.rates[-1] < 0.2 * max(rates.rates)  # the schedule followed the clock to its end


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_training_and_keeps_the_files(
    make_model, source, faulty_engine, tmp_path, value
):
    folder = RunFolder(tmp_path)
    engine = faulty_engine(at=6, loss=value)
    with pytest.raises(NeocogError, match="epoch 2, step 6: the loss must be finite") as caught:
        fit(make_model(), source, epochs=3, optimizer=SGD(0.5), engine=engine, folder=folder, verbose=0)
    assert "hint: lower the learning rate, such as 0.05" in str(caught.value)
    assert len(folder.load_last(engine="reference").history) == 1


def test_images_that_are_not_finite_are_blamed_themselves(make_model, toy):
    images = toy[0].astype(np.float32) / 255
    images[7, 0, 0, 0] = np.nan
    with pytest.raises(DataError, match="images hold NaN"):
        make_model().fit(images, toy[1], verbose=0)


def test_an_interrupt_ends_cleanly_and_is_passed_on(make_model, source, tmp_path):
    class Interrupt(Callback):
        ended = ""

        def on_batch_end(self, run, batch):
            if batch.step == 6:
                raise KeyboardInterrupt

        def on_train_end(self, run):
            self.ended = run.history.stopped

    folder, callback = RunFolder(tmp_path), Interrupt()
    with pytest.raises(KeyboardInterrupt):
        fit(make_model(), source, epochs=3, folder=folder, callbacks=[callback], verbose=0)
    assert callback.ended == "interrupted"
    assert len(folder.load_last(engine="reference").history) == 1


def test_the_average_of_the_weights_is_measured_kept_and_given_back(make_model, toy, tmp_path):
    train, folder = ArraySource(*toy, batch_size=10, seed=1), RunFolder(tmp_path)
    settings = {"validation": ArraySource(*toy), "epochs": 3, "optimizer": SGD(0.05), "verbose": 0}
    plain, model, decay = make_model(), make_model(), 0.9
    average = {name: value.astype(np.float64) for name, value in plain.parameters.items()}

    class Averaging(Callback):
        def on_batch_end(self, run, batch):
            for name, value in run.model.parameters.items():
                average[name] += (1 - decay) * (value - average[name])

    fit(plain, train, callbacks=[Averaging()], **settings)
    history = fit(model, train, folder=folder, ema=decay, **settings)
    for name, value in average.items():
        np.testing.assert_allclose(model.parameters[name], value, rtol=1e-5, atol=1e-7)
    assert history.best is history.epochs[-1]
    assert all((load(folder.best).parameters[name] == value).all() for name, value in model.parameters.items())
    assert history.epochs[-1].val_loss == evaluate(model, ArraySource(*toy).batches(0), CrossEntropy()).loss
    last = folder.load_last(engine="reference").model.parameters
    assert all((last[name] == value).all() for name, value in plain.parameters.items())
    assert any((last[name] != value).any() for name, value in model.parameters.items())


def test_batches_are_closed_when_training_ends_early(make_model, toy):
    closed = []

    class Watched:
        images = 60

        def batches(self, epoch):
            try:
                yield from ArraySource(*toy, batch_size=10).batches(epoch)
            finally:
                closed.append(epoch)

    class Stop(Callback):
        def on_batch_end(self, run, batch):
            run.stop("enough")

    fit(make_model(), Watched(), callbacks=[Stop()], verbose=0)
    assert closed == [0]


def test_vectors_can_be_trained_on(make_model, toy):
    targets = np.eye(2, dtype=np.float32)[toy[1]]
    history = make_model().fit(
        toy[0], targets, epochs=40, loss=MeanSquaredError(), optimizer=Adam(0.01), validation_split=0.2, verbose=0
    )
    assert history.epochs[-1].loss < history.epochs[0].loss
    assert history.epochs[-1].accuracy > 0.7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epochs": 0}, "epochs must be"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"patience": 0}, "patience must be"),
        ({"seed": -1}, "seed must be"),
        ({"threads": 0}, "threads must be"),
        ({"time_limit": 0.0}, "time_limit must be above 0"),
        ({"time_limit": math.nan}, "time_limit must be above 0"),
        ({"verbose": 7}, "verbose must be"),
    ],
)
def test_wrong_arguments_are_named(make_model, source, arguments, message):
    with pytest.raises(SettingError, match=message):
        fit(make_model(), source, **{"verbose": 0, **arguments})


def test_empty_sources_are_refused(make_model, toy, source):
    empty = ArraySource(toy[0][:0], toy[1][:0])
    with pytest.raises(DataError, match="training needs at least one image"):
        fit(make_model(), empty, verbose=0)
    with pytest.raises(DataError, match="validation needs at least one image"):
        fit(make_model(), source, validation=empty, verbose=0)


def test_what_was_fitted_to_weights_goes_with_them(make_model, toy):
    model = make_model()
    trainer = Trainer(model, SGD(0.1), batch_size=16)
    for _ in range(2):  # between steps too
        model.calibrate(*toy, reject="coverage=0.9")
        assert model.reject_below is not None
        trainer.step(toy[0][:16], toy[1][:16])
        assert (model.calibration, model.reject_below) == (None, None)
    kept = model.calibrate(*toy)
    with pytest.raises(SettingError):
        model.fit(*toy, epochs=1, augment="crop=1000", verbose=0)
    assert model.calibration == kept  # no step was taken
