"""A network that predicts in int8: its scales found, kept in its file, and gone where the weights change."""

from __future__ import annotations

import json
import pickle
from copy import copy

import numpy as np
import pytest

import neocog as nc
from json_mutation import assembled, taken_apart
from neocog.model.ranges import Ranges, find_scales
from neocog.nn.scales import LARGEST_SCALE, Scales

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, 8, 8, 3), np.uint8)


def _model(**settings):
    net = nc.Sequential(
        *(nc.Conv2d(8, 3, padding=1, bias=False), nc.BatchNorm2d(), nc.ReLU(), nc.Conv2d(8, 3, bias=False)),
        *(nc.BatchNorm2d(), nc.Flatten(), nc.Linear(3)),
    )
    return nc.Model(net, (8, 8, 3), mean=0.5, std=0.25, **settings)


def _prepared(**settings):
    model = _model(**settings)
    model.scales = find_scales(model, [IMAGES])
    return model


def test_scales_are_those_of_what_the_folded_network_multiplies():
    model = _prepared(engine="reference")
    assert set(model.scales.values) == {"2", "3"}  # the ReLU, and the convolution with its normalization
    outputs = model.outputs(IMAGES, ["2", "4"])
    shown = (IMAGES / 255 - 0.5) / 0.25
    for scale, values, steps in (
        (model.scales.image, shown, 127),
        (model.scales.values["2"], outputs[2], 255),
        (model.scales.values["3"], outputs[4], 127),
    ):
        assert 0.5 < scale * steps / np.abs(values).max() <= 1.001


def test_few_values_that_are_far_larger_than_the_others_are_cut_off():
    plain, spread = Ranges(), Ranges()
    values = RNG.normal(0, 1, 1_000_000).astype(np.float32)
    plain.add(values)
    for part in (values[:50_000], np.float32([30.0]), np.zeros(9, np.float32), values[50_000:]):
        spread.add(part)
    assert spread.limit >= 30
    assert spread.counts.sum() == np.count_nonzero(values) + 1
    assert plain.scale(127) * 127 > 3
    assert spread.scale(127) * 127 < 20
    for ranges in (plain, spread):  # no other scale loses less, by the values themselves
        used = values if ranges is plain else np.append(values, np.float32(30))
        own = _lost(used, ranges.scale(127))
        assert all(own <= 1.02 * _lost(used, ranges.scale(127) * factor) for factor in (0.5, 0.8, 1.25, 2))
    assert Ranges().scale(127) == 1.0


def _lost(values: np.ndarray, scale: float) -> float:
    return float(((values - np.clip(np.rint(values / scale), -127, 127) * scale) ** 2).sum())


def test_values_that_are_no_numbers_are_told():
    with pytest.raises(nc.NeocogError, match="values of a layer are no finite numbers"):
        Ranges().add(np.float32([1, np.nan]))
    with pytest.raises(nc.DataError, match="scales need at least one image"):
        find_scales(_model(engine="reference"), [])


def test_int8_needs_scales():
    model = _model(engine="reference")
    with pytest.raises(nc.SettingError, match="int8 needs scales, and this model has none") as caught:
        model.precision = "int8"
    assert "neocog quantise MODEL DATA" in caught.value.hint
    with pytest.raises(nc.SettingError, match="int8 needs scales"):
        _model(precision="int8")
    with pytest.raises(nc.SettingError, match="scales must be those of the network's 2 rounded values"):
        model.scales = Scales(1.0, {"9": 1.0})


def test_answers_are_those_of_int8_and_all_that_is_looked_at_is_float32():
    model = _prepared()
    plain, features = model.logits(IMAGES), model.features(IMAGES)
    model.precision = "int8"
    rounded = model.logits(IMAGES)
    assert 0 < np.abs(rounded - plain).max() < 0.1 * np.abs(plain).max()
    reference = copy(model)
    reference.engine = "reference"
    np.testing.assert_allclose(reference.logits(IMAGES), rounded, rtol=1e-5, atol=1e-6)
    assert (model.features(IMAGES) == features).all()
    assert model.features(IMAGES, 1).shape == (40, 8, 8, 8)
    again = pickle.loads(pickle.dumps(model))
    assert (again.precision, again.scales) == ("int8", model.scales)
    assert (again.logits(IMAGES) == rounded).all()
    model.engine = type("Fixed", (), {"name": "fixed"})()
    with pytest.raises(nc.SettingError, match="the fixed engine does not compute in int8"):
        model.logits(IMAGES)


def test_scales_are_saved_and_old_files_are_as_they_were(tmp_path):
    model = _prepared(engine="reference")
    model.save(tmp_path / "a.safetensors")
    found = nc.load(tmp_path / "a.safetensors", engine="reference", precision="int8")
    assert (found.scales, found.precision) == (model.scales, "int8")
    model.scales = None
    model.save(tmp_path / "b.safetensors")
    _, document, _ = taken_apart((tmp_path / "b.safetensors").read_bytes())
    assert "scales" not in document
    with pytest.raises(nc.SettingError, match="int8 needs scales"):
        nc.load(tmp_path / "b.safetensors", precision="int8")


@pytest.mark.parametrize(
    ("scales", "told"),
    [
        ({"image": 1.0}, "scales must have exactly the keys image, values"),
        ({"image": 0.0, "values": {"2": 1.0, "3": 1.0}}, "the scale of the image must be a positive number"),
        ({"image": 1.0, "values": {"2": "1", "3": 1.0}}, "scales.values.'2' must be a finite number, got '1'"),
        ({"image": 1.0, "values": [1.0]}, "scales.values must be an object"),
        ({"image": 1.0, "values": {"2": 1.0}}, "scales must be those of the network's 2 rounded values"),
        ([], "scales must be an object"),
    ],
)
def test_scales_that_are_none_are_refused(tmp_path, scales, told):
    path = tmp_path / "a.safetensors"
    _prepared(engine="reference").save(path)
    header, document, body = taken_apart(path.read_bytes())
    document["scales"] = scales
    path.write_bytes(assembled(header, document, body))
    with pytest.raises(nc.FormatError) as caught:
        nc.load(path)
    assert told in str(caught.value)


def test_other_weights_have_no_scales():
    model = _prepared(engine="reference", precision="float32")
    assert model.folded().scales is None
    twin = copy(model)
    twin.load_parameters(dict(model.parameters))
    assert (twin.scales, model.scales is None) == (None, False)
    model.precision = "int8"
    labels = np.arange(40) % 3
    for train in (
        lambda: model.fit(IMAGES, labels, epochs=1, verbose=0),
        lambda: model.fit(IMAGES, labels, epochs=1, precision="float32", verbose=0),
        lambda: model.lr_find(IMAGES, labels),
    ):
        with pytest.raises(nc.SettingError, match="a model that answers in int8 cannot be trained") as caught:
            train()
        assert caught.value.hint.startswith('set model.precision = "float32"')
    with pytest.raises(nc.SettingError, match="fitted to the answers in float32, and this model answers in int8"):
        model.calibrate(IMAGES, labels)
    assert model.folded().precision == "float32"
    model.precision = "float32"
    model.fit(IMAGES, np.arange(40) % 3, epochs=1, verbose=0)
    assert model.scales is None


def test_a_model_is_quantised_unless_that_costs_too_much():
    model = _model(engine="reference")
    labels = model.predict(IMAGES)
    found = model.quantise(IMAGES[:20], (IMAGES, labels), max_drop=100)
    assert (found.measure, found.images, found.float32) == ("accuracy", 40, 1.0)
    assert model.scales is not None
    assert model.precision == "float32"
    rounded = copy(model)
    rounded.precision = "int8"
    assert found.int8 == (rounded.predict(IMAGES) == labels).mean()
    assert json.dumps(found.to_json())


def test_where_int8_costs_too_much_nothing_changes(monkeypatch):
    monkeypatch.setattr("neocog.train.quantise.find_scales", lambda *_: Scales(30.0, {"2": 90.0, "3": 90.0}))
    model = _model(engine="reference")
    labels = model.predict(IMAGES)
    with pytest.raises(
        nc.NeocogError, match=r"int8 loses [\d.]+ points of accuracy on 40 images, at most 0.5"
    ) as caught:
        model.quantise(IMAGES, (IMAGES, labels))
    assert "one of them counts 2.5 points" in caught.value.hint
    assert model.scales is None
    with pytest.raises(nc.SettingError, match="max_drop must be a number of points from 0 to 100"):
        model.quantise(IMAGES, (IMAGES, labels), max_drop=-1)


def test_a_network_of_pixels_and_one_of_several_labels_are_quantised():
    pixels = nc.Model(
        nc.Sequential(nc.Conv2d(4, 3, padding=1), nc.ReLU(), nc.Conv2d(2, 1)), (8, 8, 3), engine="reference"
    )
    truth = pixels.predict(IMAGES)
    assert pixels.quantise(IMAGES, (IMAGES, truth), max_drop=5).int8 > 0.95
    labels = _model(engine="reference", loss=nc.BinaryCrossEntropy())
    truth = labels.predict(IMAGES)
    assert labels.quantise(IMAGES, (IMAGES, truth), max_drop=100).measure == "macro F1"


def test_a_network_that_multiplies_nothing_is_refused_before_anything_runs():
    model = nc.Model(nc.Sequential(nc.MaxPool2d(2), nc.GlobalAvgPool2d()), (8, 8, 3), engine="reference")
    with pytest.raises(nc.SettingError, match="a Conv2d or a Linear, and this one has neither"):
        find_scales(model, iter(()))
    with pytest.raises(nc.SettingError, match="a Conv2d or a Linear, and this one has neither"):
        model.quantise(IMAGES, (IMAGES, np.arange(40) % 3))


def test_values_too_small_for_any_scale_are_zeros():
    ranges = Ranges()
    ranges.add(np.float32([1e-38, 6e-37, 1e-45, 0]))
    assert ranges.scale(127) == 1
    for values in ([2.0**-50], [1.0, 1e-38], [3e38]):
        ranges.add(np.float32(values))
    assert ranges.counts.sum() == 3
    assert ranges.scale(127) == LARGEST_SCALE
