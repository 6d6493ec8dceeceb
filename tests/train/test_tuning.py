"""Fine-tuning: a head on features, then all layers."""

import csv
from dataclasses import replace

import numpy as np
import pytest

import neocog as nc
from neocog.errors import FormatError, SettingError
from neocog.model.remade import for_classes, remade
from neocog.nn.graph import trace
from neocog.nn.parameters import parameters_of
from neocog.nn.transfer import with_norms
from neocog.nn.zoo import MODELS
from neocog.train import features as features_module
from neocog.train.features import features_of
from neocog.train.fine_tune import fine_tune
from neocog.train.fit import fit
from neocog.train.runfolder import RunFolder
from neocog.train.settings import TrainingSettings
from neocog.train.source import ArraySource
from neocog.train.tuning import HEAD, WHOLE, Tuning, head_settings, patterns_for, rates_by_depth

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, 60)
IMAGES = RNG.integers(0, 60, (60, 12, 12, 3)).astype(np.uint8)
IMAGES[np.arange(60), :, :, LABELS] += 120
TRAIN, HELD_OUT = (IMAGES[:45], LABELS[:45]), (IMAGES[45:], LABELS[45:])
NET = nc.Sequential(
    *(nc.Conv2d(8, 3, padding=1, bias=False), nc.BatchNorm2d(), nc.ReLU(), nc.MaxPool2d(2)),
    *(nc.Conv2d(16, 3, padding=1, bias=False), nc.BatchNorm2d(), nc.ReLU()),
    *(nc.GlobalAvgPool2d(), nc.Linear(10)),
)
HEAD_EPOCHS, EPOCHS = 4, 3


def backbone(engine="native"):
    model = nc.Model(NET, (12, 12, 3), mean=0.4, std=0.2, seed=1, engine=engine)
    stored = {name: value.copy() for name, value in model.parameters.items()}
    for name, value in stored.items():
        if "running" in name:
            stored[name] = value + np.random.default_rng(2).uniform(0.1, 0.5, value.shape).astype(np.float32)
    model.load_parameters(stored)
    return model


def begun(engine="native", frozen=True):
    made = for_classes(backbone(engine), ["red", "green", "blue"], seed=4)
    return remade(made, with_norms(made.graph, frozen=frozen), made.class_names)


def phases(model, *, head_only=False, keep="last", **whole):
    head = head_settings(model.loss, 0, 45, {"epochs": HEAD_EPOCHS, "keep": keep})
    settings = {"epochs": EPOCHS, "batch_size": 16, "optimizer": nc.AdamW(0.003), "keep": keep, **whole}
    return Tuning(head=head, whole=None if head_only else TrainingSettings(**settings), mirrored=True)


def tune(model, tuning, *, folder=None, resume=None, stop=None):
    """Fine-tune; a training that is stopped after an epoch gives None."""

    class Stop(nc.Callback):
        def on_epoch_end(self, run, epoch):
            if epoch.epoch == stop:
                raise KeyboardInterrupt

    try:
        return fine_tune(
            model,
            ArraySource(*TRAIN, batch_size=16),
            tuning,
            in_order=ArraySource(*TRAIN, batch_size=16, shuffle=False),
            validation=ArraySource(*HELD_OUT, batch_size=16, shuffle=False),
            folder=folder,
            resume=resume,
            callbacks=[Stop()],
            restore_best=True,
            verbose=0,
        )
    except KeyboardInterrupt:
        return None


def same(one, other):
    return all(value.tobytes() == other[name].tobytes() for name, value in one.items())


@pytest.mark.parametrize("keep", ["last", "best"])
@pytest.mark.parametrize("stop", range(1, HEAD_EPOCHS + EPOCHS))
def test_a_training_that_was_stopped_in_either_phase_ends_with_the_same_bits(tmp_path, stop, keep):
    whole = begun()
    history = tune(whole, phases(whole, keep=keep), folder=RunFolder(tmp_path / "whole"))
    stopped, folder = begun(), RunFolder(tmp_path / "stopped")
    assert tune(stopped, phases(stopped, keep=keep), folder=folder, stop=stop) is None
    checkpoint = folder.load_last(kind=nc.Model)
    assert len(checkpoint.history) == stop
    resumed = checkpoint.model
    after = tune(resumed, phases(resumed, keep=keep), folder=folder, resume=checkpoint)
    assert same(whole.parameters, resumed.parameters)
    numbers = [replace(epoch, seconds=0.0, images_per_second=0.0) for epoch in history]
    assert numbers == [replace(epoch, seconds=0.0, images_per_second=0.0) for epoch in after]
    assert (tmp_path / "whole/model.safetensors").read_bytes() == folder.best.read_bytes()


def test_history_says_the_phase_and_is_read_back(tmp_path):
    model, folder = begun(), RunFolder(tmp_path)
    history = tune(model, phases(model), folder=folder)
    with folder.history.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["phase"] for row in rows] == [HEAD] * HEAD_EPOCHS + [WHOLE] * EPOCHS
    assert [row["epoch"] for row in folder.read_history()] == list(range(1, len(rows) + 1))
    assert history.best in history.of_phase(WHOLE)
    assert [epoch.phase for epoch in folder.load_last().history] == [row["phase"] for row in rows]


def test_a_head_alone_leaves_the_body_as_it_is(tmp_path):
    before, model, folder = begun(), begun(), RunFolder(tmp_path)
    history = tune(model, phases(model, head_only=True), folder=folder)
    body = [name for name in model.parameters if not name.startswith("8.")]
    assert same({name: before.parameters[name] for name in body}, model.parameters)
    assert not np.array_equal(before.parameters["8.weight"], model.parameters["8.weight"])
    assert history.best.val_accuracy == model.evaluate(*HELD_OUT).accuracy
    assert same(model.parameters, nc.load(folder.best).parameters)


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_a_head_on_features_learns_what_it_would_in_the_whole_network(engine):
    """With features whose mean square is 1, nothing is scaled, and both take the same steps."""
    model = begun(engine)
    body = features_of(model, ArraySource(*TRAIN, shuffle=False)).values
    scale = 1 / np.sqrt(np.mean(np.square(body, dtype=np.float64)))
    model.load_parameters(
        {
            name: value * np.float32(scale if name in ("5.weight", "5.bias") else 1)
            for name, value in model.parameters.items()
        }
    )
    whole = remade(model, model.graph, model.class_names)
    settings = head_settings(model.loss, 0, 45, {"epochs": 3, "batch_size": 16})
    tune(model, Tuning(head=settings))
    frozen = replace(settings, freeze=tuple(str(layer) for layer in (0, 1, 4, 5)))
    fit(whole, ArraySource(*TRAIN, batch_size=16), verbose=0, **frozen.given())
    for name in ("8.weight", "8.bias"):
        wanted = whole.parameters[name]
        assert np.abs(model.parameters[name] - wanted).max() <= 1e-4 * np.abs(wanted).max()


def test_what_is_frozen_stays_to_the_bit():
    model, before = begun(), begun()
    tune(model, phases(model, freeze=("0", "1.bias")))
    for name, value in before.parameters.items():
        stays = name in ("0.weight", "1.bias") or "running" in name
        assert stays == (value.tobytes() == model.parameters[name].tobytes()), name


def test_live_normalizations_follow_the_images():
    model, before = begun(frozen=False), begun(frozen=False)
    tune(model, phases(model))
    assert all(
        not np.array_equal(before.parameters[f"{i}.running_mean"], model.parameters[f"{i}.running_mean"])
        for i in (1, 5)
    )


def test_features_are_computed_once(tmp_path, monkeypatch):
    model, source, path = begun(), ArraySource(*TRAIN, batch_size=16, shuffle=False), tmp_path / "features.safetensors"
    found = features_of(model, source, mirrored=True, kept_in=path)
    assert found.values.shape == (90, 16)
    turned = features_of(model, ArraySource(IMAGES[:45, :, ::-1], LABELS[:45], shuffle=False))
    assert np.abs(found.values[45:] - turned.values).max() < 1e-5
    computed = []
    monkeypatch.setattr(features_module, "write_atomically", lambda *_, **__: computed.append(1))
    again = features_of(model, source, mirrored=True, kept_in=path)
    assert np.array_equal(found.values, again.values)
    assert np.array_equal(found.labels, again.labels)
    assert not computed


@pytest.mark.parametrize("change", ["weights", "pixels", "labels", "mirrored", "normalisation", "damage"])
def test_features_of_anything_else_are_computed_anew(tmp_path, monkeypatch, change):
    model, path, (images, labels), mirrored = begun(), tmp_path / "features.safetensors", TRAIN, False
    features_of(model, ArraySource(images, labels, shuffle=False), kept_in=path)
    if change == "weights":
        model.load_parameters({name: value * np.float32(1.001) for name, value in model.parameters.items()})
    elif change == "pixels":
        images = images.copy()
        images[3, 3, 3, 1] ^= 1
    elif change == "labels":
        labels = labels[::-1]
    elif change == "mirrored":
        mirrored = True
    elif change == "normalisation":
        model = remade(model, trace(model.graph, (12, 12, 3)), model.class_names)
    else:
        path.write_bytes(path.read_bytes()[:-5])
    computed = []
    monkeypatch.setattr(features_module, "write_atomically", lambda *_, **__: computed.append(1))
    features_of(model, ArraySource(images, labels, shuffle=False), mirrored=mirrored, kept_in=path)
    assert computed


def test_patterns_name_blocks_where_all_below_them_is_meant():
    graph = trace(MODELS["resnet20"].make(10), (16, 16, 3))
    layers = list(dict.fromkeys(parameter.node.name for parameter in parameters_of(graph)))
    assert patterns_for(graph, [name for name in layers if name.startswith("layer1")]) == ["layer1"]
    assert patterns_for(graph, ["layer1.0.conv1", "conv1"]) == ["conv1", "layer1.0.conv1"]


def test_early_layers_learn_more_slowly():
    graph = trace(MODELS["resnet20"].make(10), (16, 16, 3))
    settings = TrainingSettings(groups=rates_by_depth(graph)).for_engine()
    rates = {name: rule.learning_rate for name, rule in settings.rules(graph).items()}
    in_order = [rates[parameter.name] for parameter in parameters_of(graph)]
    assert in_order == sorted(in_order)
    assert (in_order[0], in_order[-1]) == (1 / 16, 1.0)


def test_a_model_is_fine_tuned_on_arrays():
    known = backbone()
    before = dict(known.parameters)
    tuned, history = known.fine_tune(
        *TRAIN, ["red", "green", "blue"], validation_data=HELD_OUT, epochs=4, augment="flip", verbose=0
    )
    assert tuned.evaluate(*HELD_OUT).accuracy > 0.9
    assert tuned.class_names == ("red", "green", "blue")
    assert {epoch.phase for epoch in history} == {HEAD, WHOLE}
    assert same(before, known.parameters)
    assert len(tuned.learnt_from) == 60
    alone, history = known.fine_tune(*TRAIN, ["red", "green", "blue"], head_only=True, epochs=3, verbose=0)
    assert len(history) == 3
    assert alone.parameters["1.running_mean"].tobytes() == known.parameters["1.running_mean"].tobytes()


def test_images_that_change_are_no_matter_of_features():
    with pytest.raises(SettingError, match="can only be mirrored for a head alone, got RandomCrop"):
        backbone().fine_tune(*TRAIN, ["r", "g", "b"], head_only=True, augment="flip,crop=2", verbose=0)
    with pytest.raises(nc.SettingError, match="a head alone leaves all else as it is"):
        backbone().fine_tune(*TRAIN, ["r", "g", "b"], head_only=True, freeze=["0"], verbose=0)
    with pytest.raises(SettingError, match='"frozen" or "live", got \'dead\''):
        backbone().fine_tune(*TRAIN, ["r", "g", "b"], batch_norm="dead", verbose=0)


def test_features_that_are_all_nought_are_refused():
    model = backbone()
    model.load_parameters({name: 0 * value for name, value in model.parameters.items()})
    with pytest.raises(SettingError, match="not all 0"):
        model.fine_tune(*TRAIN, ["r", "g", "b"], verbose=0)


def test_a_checkpoint_whose_phases_are_no_texts_is_refused(tmp_path):
    model, folder = begun(), RunFolder(tmp_path)
    tune(model, phases(model), folder=folder)
    content = folder.last.read_bytes()
    folder.last.write_bytes(content.replace(b'\\"phase\\":\\"head\\"', b'\\"phase\\":    1234'))
    with pytest.raises(FormatError, match="phase must be a short text"):
        folder.load_last()
