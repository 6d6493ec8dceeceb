"""Every training setting stands in one place, and whatever takes settings knows it from there."""

import inspect
import json
from dataclasses import fields, replace
from typing import get_type_hints

import numpy as np
import pytest

from neocog.data.augment.crop import RandomCrop
from neocog.data.augment.flip import RandomFlip
from neocog.errors import FormatError, SettingError
from neocog.nn.groups import Group
from neocog.nn.losses import MeanSquaredError
from neocog.nn.optimizers import SGD, Adam
from neocog.nn.schedules import Constant
from neocog.train import settings
from neocog.train.about import about
from neocog.train.callbacks import Callback
from neocog.train.fit import fit
from neocog.train.forms import OneOf, Real, Several, Text, Whole
from neocog.train.given import Given, settled
from neocog.train.model import Model
from neocog.train.runfolder import RunFolder
from neocog.train.settings import TrainingSettings
from neocog.train.source import ArraySource
from neocog.train.trainer import Trainer


class StopAfter(Callback):
    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_epoch_end(self, run, epoch):
        if epoch.epoch == self.epochs:
            run.stop("enough")


NAMES = [entry.name for entry in fields(TrainingSettings)]
OTHERS = TrainingSettings(
    epochs=7,
    batch_size=3,
    optimizer=SGD(0.1, momentum=0.5),
    loss=MeanSquaredError(),
    schedule=Constant(),
    seed=2**64 - 1,
    patience=2,
    keep="last",
    time_limit=1.5,
    freeze=("0", "*.bias"),
    groups=(Group("5", learning_rate=0.5, weight_decay=0.25),),
    ema=0.5,
    clip_norm=1.5,
    clip_value=0.5,
    l1=0.25,
    l2=0.125,
    sampling="balanced",
    augment=(RandomFlip(alternating=True), RandomCrop(2)),
    slices=4,
    sync_bn=True,
    precision="bfloat16",
)


def test_callers_can_give_every_setting_and_nothing_else():
    assert sorted(get_type_hints(Given)) == sorted(NAMES)
    for function in (fit, Model.fit):
        shown = inspect.signature(function).parameters
        assert set(NAMES) <= set(shown)
        assert not any(parameter.kind is parameter.VAR_KEYWORD for parameter in shown.values())


def test_the_other_settings_differ_from_the_defaults_in_every_field():
    """So that the tests below cannot overlook one."""
    assert all(getattr(OTHERS, name) != getattr(TrainingSettings(), name) for name in NAMES)


@pytest.mark.parametrize("given", [TrainingSettings(), OTHERS, TrainingSettings(time_limit=60.0)])
def test_settings_come_back_from_json_equal(given):
    text = json.dumps(settings.to_json(given), allow_nan=False)
    assert settings.from_json("training", json.loads(text)) == given


def test_later_settings_are_in_files_only_where_they_are_used():
    assert set(settings.to_json(TrainingSettings())) == set(settings.REQUIRED)
    assert set(settings.to_json(OTHERS)) == set(NAMES)


def test_a_resumed_training_keeps_what_is_not_given():
    for name in NAMES:
        if about(next(entry for entry in fields(TrainingSettings) if entry.name == name)).resumed != "fixed":
            changed = settled({name: getattr(OTHERS, name)}, before=replace(OTHERS, freeze=(), ema=None))
            assert changed == replace(OTHERS, freeze=(), ema=None)
    assert settled({"epochs": None, "seed": None}, seed=3, before=OTHERS) == OTHERS
    assert settled({"epochs": 9}, before=OTHERS) == replace(OTHERS, epochs=9)


def test_what_a_resumed_training_cannot_change_is_refused():
    with pytest.raises(SettingError, match=r"began with freeze=\('0', '\*\.bias'\) cannot continue with \('0',\)"):
        settled({"freeze": "0"}, before=OTHERS)
    with pytest.raises(SettingError, match=r"began with optimizer=SGD\(.*\) cannot continue with Adam"):
        settled({"optimizer": Adam()}, before=OTHERS)


def test_the_seed_is_the_models_unless_it_is_given():
    assert settled({}, seed=4).seed == 4
    assert settled({"seed": 0}, seed=4).seed == 0


def test_epochs_are_five_unless_there_is_a_time_limit():
    assert TrainingSettings().epochs == 5
    assert TrainingSettings(time_limit=1.0).epochs is None


def test_a_setting_that_is_none_is_told_with_the_one_that_was_meant(make_model, toy):
    with pytest.raises(TypeError, match="no setting 'epoch', did you mean 'epochs'"):
        make_model().fit(*toy, verbose=0, epoch=3)
    with pytest.raises(TypeError, match="no setting 'zzz'; the settings are epochs, "):
        settled({"zzz": 1})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"batch_size": 0}, "batch_size must be an integer of at least 1, got 0"),
        ({"batch_size": 2.0}, "batch_size must be an integer"),
        ({"epochs": True}, "epochs must be an integer"),
        ({"seed": -1}, "seed must be an integer from 0 to 18446744073709551615, got -1"),
        ({"seed": 10**5000}, "seed must be an integer"),
        ({"time_limit": 0}, "time_limit must be above 0 seconds, got 0"),
        ({"time_limit": float("inf")}, "time_limit must be above 0 seconds, got inf"),
        ({"loss": "mse"}, r"loss must be of the type Loss, got 'mse'\n.*hint: write loss=nc.CrossEntropy"),
        ({"freeze": [0]}, "freeze must hold texts that are not empty, got 0"),
        ({"freeze": ["0"] * 1001}, "freeze may hold at most 1,000 entries"),
        ({"groups": "0"}, "groups must be of the type Group, got '0'"),
    ],
)
def test_values_out_of_range_are_refused(given, message):
    with pytest.raises(SettingError, match=message):
        TrainingSettings(**given)


def test_single_values_and_numpys_numbers_are_taken():
    given = TrainingSettings(batch_size=np.int64(4), time_limit=np.float32(2), freeze="0", groups=Group("1"))
    assert (given.batch_size, type(given.batch_size)) == (4, int)
    assert (given.time_limit, type(given.time_limit)) == (2.0, float)
    assert (given.freeze, given.groups) == (("0",), (Group("1"),))


@pytest.mark.parametrize(
    ("form", "data", "message"),
    [
        (Whole(1, 5), 6, "here must be at most 5"),
        (Whole(), 1.0, "here must be an integer"),
        (Real(0, 1), 1.0, "here must be 0 or more and below 1, got 1.0"),
        (Real(), "1", "here must be a finite number"),
        (Text(), "", "here must be a text that is not empty"),
        (Several(Text()), "0", "here must be a list"),
        (Several(Text()), ["0", 1], r"here\[1\] must be a text"),
        (Several(Text()), ["0"] * 1001, "here may hold at most 1,000"),
        (
            Several(OneOf(Group, "")),
            [{"kind": "Group", "pattern": "0", "learning_rate": -1, "weight_decay": None}],
            "0 or",
        ),
    ],
)
def test_files_are_held_to_the_same_forms(form, data, message):
    with pytest.raises(FormatError, match=message):
        form.from_json("here", data)


def test_what_is_frozen_stays_and_the_rest_learns(make_model, toy):
    model = make_model()
    before = dict(model.parameters)
    model.fit(*toy, epochs=1, verbose=0, freeze=("0", "5.bias"))
    changed = {name for name, value in model.parameters.items() if (value != before[name]).any()}
    assert changed == {"4.1.weight", "4.1.bias", "5.weight"}


def test_a_group_has_a_learning_rate_and_a_weight_decay_of_its_own(make_model):
    images, labels = np.zeros((4, 6, 6, 1), np.uint8), np.array([0, 1, 0, 1])  # no gradient reaches the filters
    model = make_model()
    given = TrainingSettings(optimizer=SGD(0.5), groups=[Group("0.weight", 0.5, weight_decay=0.1)])
    before = model.parameters["0.weight"]
    Trainer(model, settings=given).step(images, labels)
    np.testing.assert_allclose(model.parameters["0.weight"], before * (1 - 0.5 * 0.5 * 0.1), rtol=1e-6)


def test_frozen_and_grouped_trainings_go_on_to_the_same_bits(make_model, toy, tmp_path):
    train = ArraySource(*toy, batch_size=16, seed=1)
    given = {
        "optimizer": Adam(0.01, weight_decay=0.01),
        "freeze": "0.weight",
        "groups": [Group("*.bias", 2.0), Group("5", 0.5, weight_decay=0.0)],
        "verbose": 0,
    }
    whole, folder = make_model(), RunFolder(tmp_path)
    fit(whole, train, epochs=4, **given)
    fit(make_model(), train, epochs=4, callbacks=[StopAfter(2)], folder=folder, **given)
    checkpoint = folder.load_last(engine="reference")
    assert checkpoint.settings.groups == tuple(given["groups"])
    assert not any(name.startswith("0.weight") for name in checkpoint.memory)
    fit(checkpoint.model, train, resume=checkpoint, verbose=0)
    for name, value in whole.parameters.items():
        assert (checkpoint.model.parameters[name] == value).all(), name
