"""The running average of the weights: what it is, where it shows, and that it goes on after a kill to the same bits."""

import numpy as np
import pytest

from neocog.errors import FormatError, SettingError
from neocog.nn.blocks import Residual, Sequential
from neocog.nn.layers import BatchNorm2d, Conv2d, DropPath, Flatten, Linear, ReLU
from neocog.nn.optimizers import SGD, Adam
from neocog.train.callbacks import Callback, EarlyStopping
from neocog.train.checkpoint import load_checkpoint
from neocog.train.fit import fit
from neocog.train.model import Model, load
from neocog.train.runfolder import RunFolder
from neocog.train.settings import TrainingSettings
from neocog.train.source import ArraySource
from neocog.train.trainer import Trainer

DECAY = 0.75
BLOCK = Sequential(Conv2d(3, 3, padding=1, bias=False), BatchNorm2d(), ReLU(), DropPath(0.3))
NET = Sequential(Conv2d(3, 3), Residual(BLOCK), Flatten(), Linear(2))


class Watch(Callback):
    """Note the weights after each step, and what is measured after each epoch; stop after `last` epochs."""

    def __init__(self, last: int = 99) -> None:
        self.last = last
        self.steps: list[dict[str, np.ndarray]] = []
        self.measured: list[dict[str, np.ndarray]] = []

    def on_batch_end(self, run, batch):
        self.steps.append(dict(run.model.parameters))

    def on_epoch_end(self, run, epoch):
        self.measured.append(dict(run.trainer.measured().parameters))
        if epoch.epoch == self.last:
            run.stop("enough")


def averages(start, steps, decay=DECAY):
    """Average by the definition, in float64."""
    average = {name: value.astype(np.float64) for name, value in start.items()}
    for step in steps:
        average = {name: decay * average[name] + (1 - decay) * value for name, value in step.items()}
    return average


def same(one, other):
    return one.keys() == other.keys() and all((one[name] == other[name]).all() for name in one)


@pytest.mark.parametrize("engine", ["reference", "native"])
def test_after_each_epoch_the_average_of_all_steps_is_measured(make_model, toy, engine):
    model, watch = make_model(engine=engine), Watch()
    start = dict(model.parameters)
    fit(model, ArraySource(*toy, batch_size=16), epochs=3, ema=DECAY, optimizer=SGD(0.1), callbacks=[watch], verbose=0)
    for epoch, measured in enumerate(watch.measured, 1):
        count = 4 * epoch
        for name, want in averages(start, watch.steps[:count]).items():
            # each step rounds a product or two and a sum of values no larger than the largest so far
            largest = max(np.abs(step[name]).max() for step in (start, *watch.steps[:count]))
            np.testing.assert_allclose(measured[name], want, atol=4 * count * np.finfo(np.float32).eps * largest)
    assert same(dict(model.parameters), watch.measured[-1])
    assert not same(watch.measured[-1], watch.steps[-1])


def test_training_takes_the_same_steps_with_and_without(make_model, toy):
    found = []
    for ema in (None, DECAY):
        watch = Watch()
        fit(make_model(), ArraySource(*toy, batch_size=16), epochs=2, ema=ema, callbacks=[watch], verbose=0)
        found.append(watch.steps)
    assert all(same(one, other) for one, other in zip(*found, strict=True))


def test_what_is_measured_and_kept_is_the_average_and_what_goes_on_is_not(make_model, toy, tmp_path):
    model, watch, folder = make_model(), Watch(), RunFolder(tmp_path)
    train = ArraySource(*toy, batch_size=16)
    history = fit(
        model,
        train,
        epochs=3,
        ema=DECAY,
        validation=train,
        callbacks=[watch],
        folder=folder,
        optimizer=Adam(0.01),
        verbose=0,
    )
    assert same(dict(load(folder.best).parameters), watch.measured[history.best.epoch - 1])
    assert model.evaluate(*toy).loss == pytest.approx(history.epochs[-1].val_loss, rel=1e-12)
    checkpoint = folder.load_last(engine="reference")
    assert same(dict(checkpoint.model.parameters), watch.steps[-1])
    assert same(dict(checkpoint.measured()), watch.measured[-1])
    assert same(dict(checkpoint.best_parameters), watch.measured[history.best.epoch - 1])


@pytest.mark.parametrize(("engine", "threads"), [("reference", 1), ("native", 2), ("native", 3)])
def test_a_training_with_an_average_goes_on_to_the_same_bits(toy, tmp_path, monkeypatch, engine, threads):
    """With batch statistics and stochastic depth, and on another number of threads."""
    monkeypatch.setenv("NEOCOG_THREADS", "3")
    train, folder = ArraySource(*toy, batch_size=16, seed=1), RunFolder(tmp_path)
    given = {"epochs": 4, "ema": DECAY, "optimizer": Adam(0.01), "validation": train, "verbose": 0}
    whole, begun = (Model(NET, (6, 6, 1), engine=engine, threads=number) for number in (1, threads))
    history = fit(whole, train, **given)
    fit(begun, train, callbacks=[Watch(last=2)], folder=folder, **given)
    checkpoint = folder.load_last(engine=engine, threads=threads)
    assert {name for name in checkpoint.memory if name.endswith("/ema")} == {f"{name}/ema" for name in whole.parameters}
    again = fit(checkpoint.model, train, resume=checkpoint, validation=train, verbose=0)
    assert same(dict(checkpoint.model.parameters), dict(whole.parameters))
    assert [epoch.val_loss for epoch in again] == [epoch.val_loss for epoch in history]


def test_a_finished_training_that_is_resumed_ends_with_the_average(make_model, toy, tmp_path):
    model, folder = make_model(), RunFolder(tmp_path)
    fit(model, ArraySource(*toy), epochs=2, ema=DECAY, folder=folder, verbose=0)
    checkpoint = folder.load_last(engine="reference")
    fit(checkpoint.model, ArraySource(*toy), resume=checkpoint, verbose=0)
    assert same(dict(checkpoint.model.parameters), dict(model.parameters))


def test_weights_loaded_in_between_are_trained_from(make_model, toy):
    class Load(Callback):
        def on_epoch_end(self, run, epoch):
            if epoch.epoch == 1:
                run.model.load_parameters({name: value * 0 for name, value in run.model.parameters.items()})

    model, watch = make_model(), Watch()
    fit(model, ArraySource(*toy), epochs=2, ema=DECAY, optimizer=SGD(1e-6), callbacks=[Load(), watch], verbose=0)
    assert np.abs(watch.steps[-1]["0.weight"]).max() < 1e-3
    assert np.abs(model.parameters["0.weight"]).max() > 1e-2  # the average remembers


def test_frozen_weights_have_no_average_and_are_measured_as_they_are(make_model, toy):
    model = make_model()
    before = dict(model.parameters)
    trainer = Trainer(model, settings=TrainingSettings(ema=0.5, freeze="0"))
    trainer.step(*toy)
    assert "0.weight/ema" not in trainer.optimizer_state()
    measured = trainer.measured().parameters
    assert (measured["0.weight"] == before["0.weight"]).all()
    assert (measured["5.weight"] != before["5.weight"]).any()
    assert (measured["5.weight"] != model.parameters["5.weight"]).any()


def test_looking_at_the_average_changes_no_step(make_model, toy):
    models = [make_model() for _ in range(2)]
    for looks, model in enumerate(models):
        trainer = Trainer(model, settings=TrainingSettings(ema=0.5))
        for _ in range(3):
            trainer.step(*toy)
            if looks:
                trainer.measured()(toy[0])
    assert same(dict(models[0].parameters), dict(models[1].parameters))


@pytest.mark.parametrize("resumed", [False, True])
def test_stopping_early_gives_back_the_best_average(make_model, toy, tmp_path, resumed):
    """The labels of the validation images are the wrong ones, so that the first epoch is the best."""
    train, wrong = ArraySource(*toy, batch_size=16), ArraySource(toy[0], 1 - toy[1])
    model, watch, folder = make_model(), Watch(), RunFolder(tmp_path)
    stopping = EarlyStopping("val_loss", patience=2, restore_best_weights=True)
    given = {"ema": DECAY, "optimizer": Adam(0.02), "validation": wrong, "verbose": 0}
    if resumed:  # after the best epoch, which is then the last one
        fit(model, train, epochs=1, folder=folder, callbacks=[watch], **given)
        checkpoint = folder.load_last(engine="reference")
        model = checkpoint.model
        history = fit(model, train, epochs=9, resume=checkpoint, validation=wrong, patience=2, verbose=0)
    else:
        history = fit(model, train, epochs=9, callbacks=[watch, stopping], **given)
    assert (history.best.epoch, history.stopped) == (1, "patience")
    assert same(dict(model.parameters), watch.measured[0])


@pytest.mark.parametrize("decay", [1.0, -0.1, float("nan"), "0.5", True])
def test_a_decay_out_of_range_is_refused(make_model, toy, decay):
    with pytest.raises(SettingError, match="ema must be 0 or more and below 1, got"):
        make_model().fit(*toy, ema=decay, verbose=0)


def test_an_average_cannot_begin_or_end_in_the_middle(make_model, toy, tmp_path):
    folder = RunFolder(tmp_path)
    fit(make_model(), ArraySource(*toy), epochs=1, ema=DECAY, folder=folder, verbose=0)
    checkpoint = load_checkpoint(folder.last, engine="reference")
    with pytest.raises(SettingError, match=r"began with ema=0\.75 cannot continue with 0\.5"):
        fit(checkpoint.model, ArraySource(*toy), resume=checkpoint, epochs=2, ema=0.5, verbose=0)


def test_a_checkpoint_without_its_averages_is_refused(make_model, toy, tmp_path):
    folder = RunFolder(tmp_path)
    fit(make_model(), ArraySource(*toy), epochs=1, folder=folder, verbose=0)
    content = folder.last.read_bytes()
    header = int.from_bytes(content[:8], "little")
    text = content[8 : 8 + header].replace(b'\\"patience\\":null', b'\\"ema\\":0.5,\\"patience\\":null')
    folder.last.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + header :])
    with pytest.raises(FormatError, match="the optimizer's tensors are not those") as caught:
        load_checkpoint(folder.last)
    assert any("0.weight/ema" in line for line in caught.value.details)
