"""Optimizers, schedules, clipping and penalties through `fit`: the same bits on any threads, and after a kill."""

import numpy as np
import pytest

import neocog as nc
from neocog.train.fit import fit
from neocog.train.runfolder import RunFolder
from neocog.train.source import ArraySource

SETTINGS = {
    "lookahead of muon": {
        "optimizer": nc.Lookahead(nc.Muon(), every=3),
        "schedule": nc.Plateau(drop=0.5, patience=0, threshold=0.5),
        "clip_norm": 0.5,
    },
    "lamb": {"optimizer": nc.LAMB(), "schedule": nc.Warmup(nc.PolynomialDecay(), 0.25), "l1": 0.001, "l2": 0.01},
    "nadam": {"optimizer": nc.NAdam(), "schedule": nc.OneCycle(), "clip_value": 0.01},
    "a falling share, a group that ends": {
        "optimizer": nc.Lookahead(nc.SGD(0.1, momentum=0.85, nesterov=True), every=2, share=0.25, over=12),
        "schedule": nc.Warmup(nc.LinearDecay(final=0.07), 0.23, 0.2),
        "groups": (nc.Group("0.bias", steps=8), nc.Group("1.bias", 64.0)),
    },
    "adadelta": {"optimizer": nc.Adadelta(), "schedule": nc.LinearDecay(), "ema": 0.9},
}


def network():
    layers = (nc.Conv2d(12, 3), nc.BatchNorm2d(), nc.ReLU(), nc.MaxPool2d(2), nc.Flatten(), nc.Linear(3))
    return nc.Model(nc.Sequential(*layers), (8, 8, 2), ["a", "b", "c"], seed=1)


def data(seed=0):
    stream = np.random.default_rng(seed)
    return stream.integers(0, 256, (40, 8, 8, 2), np.uint8), stream.integers(0, 3, 40)


def trained(model, epochs, *, threads=1, engine="native", folder=None, resume=None, **settings):
    x, y = data()
    source = ArraySource(x, y, batch_size=16, seed=3)
    history = fit(
        model, source, epochs=epochs, batch_size=16, threads=threads, engine=engine, folder=folder, resume=resume,
        verbose=0, **settings,
    )  # fmt: skip
    return history, {name: value.tobytes() for name, value in model.parameters.items()}


@pytest.mark.parametrize("name", SETTINGS)
def test_any_number_of_threads_gives_the_same_bits(name, monkeypatch):
    monkeypatch.setenv("NEOCOG_THREADS", "8")
    _, one = trained(network(), 3, threads=1, **SETTINGS[name])
    for threads in (2, 3, 5):
        assert trained(network(), 3, threads=threads, **SETTINGS[name])[1] == one, threads


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("engine", ["native", "reference", "torch"])
def test_a_resumed_training_ends_on_the_same_bits(name, engine, tmp_path):
    if engine == "torch":
        pytest.importorskip("torch")
    history, whole = trained(network(), 4, engine=engine, folder=RunFolder(tmp_path / "whole"), **SETTINGS[name])
    folder = RunFolder(tmp_path / "halves")

    class Killed(nc.Callback):
        def on_epoch_end(self, run, epoch):
            if epoch.epoch == 2:
                raise KeyboardInterrupt

    x, y = data()
    with pytest.raises(KeyboardInterrupt):
        fit(
            network(), ArraySource(x, y, batch_size=16, seed=3), epochs=4, batch_size=16, threads=1, engine=engine,
            folder=folder, callbacks=[Killed()], verbose=0, **SETTINGS[name],
        )  # fmt: skip
    model = network()
    again, halves = trained(model, None, engine=engine, folder=folder, resume=folder.load_last())
    assert halves == whole
    rates = [epoch.learning_rate for epoch in history]
    assert [epoch.learning_rate for epoch in again] == rates
    assert len(set(rates)) > 1


def test_l1_makes_weights_smaller():
    x, y = data()
    sizes = []
    for l1 in (0.0, 0.2):
        model = network()
        model.fit(x, y, epochs=10, optimizer=nc.SGD(0.1), l1=l1, verbose=0)
        sizes.append(float(np.abs(model.parameters["0.weight"]).mean()))
    assert sizes[1] < 0.8 * sizes[0]
