"""What an explanation says of an image is what `predict` says of it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import neocog as nc
from explain.networks import make_image, make_model
from neocog.app.page.answers import answer
from neocog.app.page.question import Question
from neocog.app.page.session import FIRST, Input, Session
from neocog.explain.places import downsample, shift
from neocog.explain.trace import trace
from neocog.model.calibration import Calibration, CurvePoint
from neocog.nn.answer import UNKNOWN


def asked_more_of(model: nc.Model, *, views: str = "plain", temperature: float = 1.0) -> nc.Model:
    model.views = views
    model.calibration = Calibration(temperature, 4, (CurvePoint(0.5, 4, 2),))
    return model


@pytest.mark.parametrize("views", ["plain", "flip", "flip-shift"])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_probabilities_and_answer_are_those_of_predict(views: str, temperature: float) -> None:
    model = asked_more_of(make_model("colour"), views=views, temperature=temperature)
    image = make_image(model)
    want = model.predict_proba(image[None])[0]
    for reject_below in (None, float(want.max()) - 1e-3, float(want.max()) + 1e-3):
        model.reject_below = reject_below
        traced = trace(model, image)
        np.testing.assert_allclose(traced.probabilities, want, rtol=1e-5)
        assert traced.predicted == (model.predict(image[None])[0],)
        # What layers gave stays that of the image as it is.
        np.testing.assert_allclose(traced.logits, model(image[None])[0], rtol=1e-5, atol=1e-6)


def test_every_view_counts_for_as_much_as_it_should() -> None:
    model = asked_more_of(make_model("colour"), views="flip-shift")
    image = make_image(model)
    mean = trace(model, image).mean_logits
    np.testing.assert_allclose(mean, model.logits(image[None])[0], rtol=1e-5, atol=1e-6)
    assert np.abs(mean - trace(model, image).logits).max() > 1e-3  # which the image alone does not give


def test_an_image_that_moved_is_judged_in_the_same_way() -> None:
    model = asked_more_of(make_model("colour"), views="flip", temperature=3.0)
    image = make_image(model)
    moved = shift(model, image, 1, 1, layer=0, filter=0)
    np.testing.assert_allclose(moved.probabilities, model.predict_proba(moved.image[None])[0], rtol=1e-5)
    model.reject_below = 1.0
    assert shift(model, image, 1, 1, layer=0, filter=0).predicted == (UNKNOWN,)
    assert downsample(model, image, 2).predicted == (UNKNOWN,)


def test_labels_have_thresholds_and_neither_temperature_nor_unknown() -> None:
    model = nc.Model(nc.Sequential(nc.Flatten(), nc.Linear(3)), (5, 6, 1), seed=3, loss=nc.BinaryCrossEntropy())
    image = make_image(model)
    likely = model.predict_proba(image[None])[0].tolist()
    model.thresholds = [likely[0] + 1e-3, likely[1] - 1e-3, likely[2] - 1e-3]
    traced = trace(model, image)
    assert traced.predicted == (1, 2) == tuple(np.flatnonzero(model.predict(image[None])[0]))
    half = np.array([0.5 + 1e-12, 0.5, 0.6])  # the first rounds to a half, which is not above it
    assert dataclasses.replace(traced.judgement, thresholds=None).predicted(half) == (2,)
    told = dataclasses.replace(traced.judgement, temperature=5.0, reject_below=1.0)
    np.testing.assert_array_equal(told.probabilities(traced.mean_logits), traced.probabilities)
    assert told.predicted(traced.probabilities) == (1, 2)


def test_the_page_is_told_how_the_network_answers() -> None:
    model = asked_more_of(make_model("colour"), views="flip", temperature=2.0)
    model.reject_below = 1.0
    session = Session(model, "network", engine="reference")
    session.add(Input(make_image(model), "drawn"), FIRST)
    facts = answer(session, Question.read("model")).facts
    assert facts["answers"] == {"temperature": 2.0, "reject_below": 1.0, "views": "flip"}
    found = answer(session, Question.read("run?input=first"))
    assert found.facts["predicted"] == [UNKNOWN]
    assert found.facts["prediction"] == found.arrays["probabilities"].argmax()
    np.testing.assert_allclose(found.arrays["mean_logits"], session.trace(FIRST).mean_logits)
