"""What a model computes with where it answers: chosen, changed, handed on, and no part of its file."""

from __future__ import annotations

from copy import copy

import numpy as np
import pytest

import neocog as nc

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
    from neocog.engines.native import NativeEngine

    by_engine = _model(engine=NativeEngine(precision="bfloat16")).predict_proba(IMAGES)
    assert by_engine.tobytes() == _model(precision="bfloat16").predict_proba(IMAGES).tobytes()
    both = _model(engine=NativeEngine(), precision="bfloat16")
    with pytest.raises(nc.SettingError, match="for engines by name"):
        both.predict_proba(IMAGES)


def test_training_is_the_same_and_what_it_measures_is_of_the_precision():
    labels = np.arange(6) % 3
    plain, half = _model(), _model(precision="bfloat16")
    for model in (plain, half):
        model.fit(IMAGES, labels, epochs=1, batch_size=6, verbose=0)
    assert all((plain.parameters[name] == half.parameters[name]).all() for name in plain.parameters)
    assert (plain.predict_proba(IMAGES) != half.predict_proba(IMAGES)).any()
