"""What a model computes with where it answers: chosen, changed, handed on, and no part of its file."""

from __future__ import annotations

from copy import copy

import numpy as np
import pytest

import neocog as nc
from neocog.engines.native import NativeEngine
from neocog.train.callbacks import Callback
from neocog.train.fit import fit
from neocog.train.runfolder import RunFolder
from neocog.train.source import ArraySource

pytestmark = pytest.mark.filterwarnings("ignore:bfloat16 is slower")
IMAGES = np.random.default_rng(0).random((6, 8, 8, 3), dtype=np.float32)


def _model(**settings):
    net = nc.Sequential(nc.Conv2d(8, 3, padding=1), nc.ReLU(), nc.Conv2d(8, 3), nc.Flatten(), nc.Linear(3))
    return nc.Model(net, (8, 8, 3), **settings)


def test_bfloat16_rounds_and_float32_does_not():
    plain, half = _model(), _model(precision="bfloat16")
    assert (plain.precision, half.precision) == ("float32", "bfloat16")
    exact, answers = plain.predict_proba(IMAGES), half.predict_proba(IMAGES)
    assert 0 < np.abs(answers - exact).max() < 0.02
    half.precision = "float32"
    assert half.predict_proba(IMAGES).tobytes() == exact.tobytes()
    plain.precision = "bfloat16"
    assert plain.predict_proba(IMAGES).tobytes() == answers.tobytes()


def test_all_that_a_network_answers_is_of_its_precision():
    model = _model(precision="bfloat16")
    for layer in ("0", "2"):
        exact, maps = (each.features(IMAGES, layer=layer) for each in (_model(), model))
        assert 0 < np.abs(maps - exact).max() < 0.02 * np.abs(exact).max()


def test_copies_and_folded_networks_keep_it():
    model = _model(precision="bfloat16")
    assert copy(model).precision == model.folded().precision == "bfloat16"


def test_a_file_does_not_hold_it(tmp_path):
    model = _model(precision="bfloat16")
    model.save(tmp_path / "half.safetensors")
    _model().save(tmp_path / "plain.safetensors")
    assert (tmp_path / "half.safetensors").read_bytes() == (tmp_path / "plain.safetensors").read_bytes()
    assert nc.load(tmp_path / "half.safetensors").precision == "float32"
    again = nc.load(tmp_path / "half.safetensors", precision="bfloat16")
    assert again.predict_proba(IMAGES).tobytes() == model.predict_proba(IMAGES).tobytes()


def test_what_is_no_precision_is_refused_at_once():
    with pytest.raises(nc.SettingError, match="precision must be one of"):
        _model(precision="half")
    model = _model()
    with pytest.raises(nc.SettingError, match="precision must be one of"):
        model.precision = "float64"


def test_an_engine_that_is_made_already_has_one_of_its_own():
    by_engine = _model(engine=NativeEngine(precision="bfloat16")).predict_proba(IMAGES)
    assert by_engine.tobytes() == _model(precision="bfloat16").predict_proba(IMAGES).tobytes()
    both = _model(engine=NativeEngine(), precision="bfloat16")
    with pytest.raises(nc.SettingError, match="for engines by name"):
        both.predict_proba(IMAGES)


LABELS = np.arange(6) % 3


def _fitted(model, **given):
    model.fit(IMAGES, LABELS, epochs=2, batch_size=6, verbose=0, **given)
    return model


def test_training_is_of_the_models_precision_or_of_one_of_its_own():
    plain, half = _fitted(_model()), _fitted(_model(precision="bfloat16"))
    assert (plain.trained_in, half.trained_in) == ("float32", "bfloat16")
    for name, value in plain.parameters.items():
        assert 0 < np.abs(half.parameters[name] - value).max() < 0.01, name
    asked = _fitted(_model(), precision="bfloat16")
    assert asked.trained_in == "bfloat16"
    assert asked.precision == "float32"  # of its answers
    assert all((asked.parameters[name] == value).all() for name, value in half.parameters.items())
    other_way = _fitted(_model(precision="bfloat16"), precision="float32")
    assert all((other_way.parameters[name] == value).all() for name, value in plain.parameters.items())


def test_auto_is_what_this_processor_does_better(monkeypatch):
    for reason, wanted in (("this processor has no AMX", "float32"), (None, "bfloat16")):
        monkeypatch.setattr("neocog.engines.precision._why_not", lambda reason=reason: reason)
        trainer = nc.Trainer(_model(), batch_size=6, precision="auto")
        assert trainer.precision == wanted
        trainer.step(IMAGES, LABELS)
        assert trainer.model.trained_in == wanted


def test_an_engine_of_its_own_decides():
    assert _fitted(_model(engine=NativeEngine(precision="bfloat16"))).trained_in == "bfloat16"
    with pytest.raises(nc.SettingError, match="for engines by name"):
        _fitted(_model(engine=NativeEngine()), precision="bfloat16")
    with pytest.raises(nc.SettingError, match="float64, not with bfloat16"):
        _fitted(_model(engine="reference"), precision="bfloat16")


def test_a_file_says_what_it_was_trained_in_and_weights_from_elsewhere_say_nothing(tmp_path):
    half, plain = _fitted(_model(precision="bfloat16")), _fitted(_model())
    half.save(tmp_path / "half.safetensors")
    plain.save(tmp_path / "plain.safetensors")
    assert nc.load(tmp_path / "half.safetensors").trained_in == "bfloat16"
    assert nc.load(tmp_path / "plain.safetensors").trained_in is None  # float32, as all files before
    assert copy(half).trained_in == half.folded().trained_in == "bfloat16"
    half.load_parameters(plain.parameters)
    assert half.trained_in is None


class _Killed(Callback):
    def on_epoch_end(self, run, result):
        raise KeyboardInterrupt


def test_a_training_goes_on_in_what_it_began_with_to_the_same_bits(tmp_path):
    source = ArraySource(IMAGES, LABELS, batch_size=6)
    whole = _model()
    fit(whole, source, epochs=3, precision="bfloat16", verbose=0)
    folder = RunFolder(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        fit(_model(), source, epochs=3, precision="bfloat16", verbose=0, folder=folder, callbacks=[_Killed()])
    found = folder.load_last()
    assert found.settings.precision == found.model.trained_in == "bfloat16"
    with pytest.raises(nc.SettingError, match="began with precision='bfloat16' cannot continue with 'float32'"):
        fit(found.model, source, resume=found, precision="float32", verbose=0)
    with pytest.raises(nc.SettingError, match="precision='bfloat16' is for engines by name"):
        fit(found.model, source, resume=found, engine=NativeEngine(), verbose=0)
    fit(found.model, source, resume=found, precision="auto", verbose=0)  # whatever that is here
    assert found.model.trained_in == "bfloat16"
    assert all((found.model.parameters[name] == value).all() for name, value in whole.parameters.items())


def test_a_training_in_float32_does_not_go_on_with_an_engine_of_bfloat16(tmp_path):
    source, folder = ArraySource(IMAGES, LABELS, batch_size=6), RunFolder(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        fit(_model(), source, epochs=3, verbose=0, folder=folder, callbacks=[_Killed()])
    found = folder.load_last()
    with pytest.raises(nc.SettingError, match="began in float32, and the engine computes in bfloat16"):
        fit(found.model, source, resume=found, engine=NativeEngine(precision="bfloat16"), verbose=0)
