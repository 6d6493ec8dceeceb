"""`lr_find`: the curve, the rate that it suggests, and its picture; the model stays as it is."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import neocog as nc
from neocog.train.lr_find import RateCurve


def network(engine="native"):
    layers = nc.Conv2d(8, 3), nc.ReLU(), nc.Flatten(), nc.Linear(3)
    return nc.Model(nc.Sequential(*layers), (6, 6, 1), ["a", "b", "c"], seed=1, engine=engine)


def data():
    labels = np.arange(60) % 3
    images = np.random.default_rng(0).random((60, 6, 6, 1), np.float32) * 0.5
    images[np.arange(60), labels] += 0.5  # a bright row tells the class
    labels[::5] = (labels[::5] + 1) % 3  # but for every fifth image, so that no loss comes near 0
    return images, labels


def test_the_suggested_rate_trains_and_the_smallest_does_not():
    x, y = data()
    curve = network().lr_find(x, y, 20, optimizer=nc.SGD(momentum=0.9))
    assert curve.rates[0] == 1e-6
    assert np.allclose(np.diff(np.log(curve.rates)), np.log(1e7) / 99)
    assert len(curve.rates) == len(curve.losses) == len(curve.smoothed)
    after = {}
    for rate in (curve.suggested, curve.rates[0]):
        model = network()
        history = model.fit(x, y, 10, 20, optimizer=nc.SGD(rate, momentum=0.9), schedule=nc.Constant(), verbose=0)
        after[rate] = history.epochs[-1].loss
    assert after[curve.suggested] < 0.8 < 1.0 < after[curve.rates[0]]


def test_it_ends_where_the_loss_runs_away():
    model = nc.Model(nc.Sequential(nc.Flatten(), nc.Linear(3)), (6, 6, 1), ["a", "b", "c"], seed=1)
    curve = model.lr_find(*data(), 20, optimizer=nc.SGD(), loss=nc.MeanSquaredError())
    assert len(curve.rates) < 100
    assert max(curve.smoothed) <= 4 * min(curve.smoothed)
    assert curve.suggested < curve.rates[-1] < 10


def test_the_model_stays_as_it_is():
    model, (x, y) = network(), data()
    before = {name: value.copy() for name, value in model.parameters.items()}
    learnt_from = model.learnt_from
    curve = model.lr_find(x, y, 20, steps=30)
    assert all((value == before[name]).all() for name, value in model.parameters.items())
    assert (model.learnt_from == learnt_from).all() if learnt_from is not None else model.learnt_from is None
    assert model.lr_find(x, y, 20, steps=30) == curve


def test_the_curve_is_that_of_steps_by_hand():
    x, y = data()
    curve = network("reference").lr_find(x, y, 60, optimizer=nc.Adam(), steps=5, low=0.001, high=0.1)
    model = network("reference")
    trainer = nc.Trainer(model, nc.Adam(), batch_size=60)
    running = 0.0
    for step, rate in enumerate(np.geomspace(0.001, 0.1, 5)):
        trainer.learning_rate = rate
        loss = trainer.step(x, y)
        running = 0.9 * running + 0.1 * loss
        assert curve.rates[step] == pytest.approx(rate)
        assert curve.losses[step] == pytest.approx(loss, rel=1e-5)
        assert curve.smoothed[step] == pytest.approx(running / (1 - 0.9 ** (step + 1)), rel=1e-5)


def test_the_picture_is_an_svg_image(tmp_path):
    curve = RateCurve((0.01, 0.1, 1.0), (2.0, 1.0, 5.0), (2.0, 1.5, 4.0))
    assert curve.suggested == pytest.approx(0.01)
    curve.save(tmp_path / "rates.svg")
    root = ElementTree.parse(tmp_path / "rates.svg").getroot()
    space = "{http://www.w3.org/2000/svg}"
    line = root.find(f"{space}polyline")
    assert line is not None
    points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
    assert [x for x, _ in points] == [50.0, 240.0, 430.0]
    assert points[1][1] == max(y for _, y in points)  # the least loss lies lowest
    words = "".join(root.itertext())
    assert "suggested: 0.01" in words
    assert "1e-1" in words


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"low": 0.0}, "low must be above 0 and below high, got 0.0 and 10.0"),
        ({"low": 1.0, "high": 0.5}, "low must be above 0 and below high, got 1.0 and 0.5"),
        ({"steps": 1}, "steps must be at least 2, got 1"),
    ],
)
def test_what_cannot_be_is_refused(given, message):
    with pytest.raises(nc.SettingError, match=message):
        network().lr_find(*data(), **given)
