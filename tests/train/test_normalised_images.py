"""Images that the caller normalised, wherever a model takes images."""

import numpy as np
import pytest

from neocog.errors import DataError
from neocog.train.trainer import Trainer


def asking(model):
    labels = np.zeros(4, np.int64)
    yield model
    yield model.predict
    yield model.predict_proba
    yield model.features
    yield model.peaks
    yield lambda x: model.evaluate(x, labels)
    yield lambda x: model.fit(x, labels, epochs=1, verbose=0)
    yield lambda x: model.fit(np.zeros((4, 6, 6, 1)), labels, epochs=1, validation_data=(x, labels), verbose=0)
    yield lambda x: Trainer(model).step(x, labels)


def filled(value: float):
    images = np.full((4, 6, 6, 1), 0.5)
    images[2, 3, 3] = value
    return images


@pytest.mark.parametrize("value", [-0.42, -1.0, -2.1, -0.01, 2.6, 10.0])
def test_images_that_are_normalised_already_are_refused_where_the_model_normalises(make_model, value):
    said = f"{'down' if value < 0 else 'up'} to {value:g}"
    for settings in ({"mean": 0.13, "std": 0.31}, {"mean": 0.5}, {"std": 0.5}):
        for ask in asking(make_model(**settings)):
            with pytest.raises(DataError, match=f"this model normalises them by itself, got values {said}\n  hint: "):
                ask(filled(value))


@pytest.mark.parametrize("value", [-1e-6, -1e-3, 0.0, 1.0, 1.0001, 1.9])
def test_rounding_below_black_and_brightness_above_white_are_no_normalisation(make_model, value):
    for ask in asking(make_model(mean=0.13, std=0.31)):
        ask(filled(value))


@pytest.mark.parametrize("value", [-2.1, 2.6, 10.0])
def test_where_the_model_does_not_normalise_the_caller_may(make_model, value):
    for ask in asking(make_model()):
        ask(filled(value))


@pytest.mark.parametrize(("value", "text"), [(255.0, "divide them by 255"), (-255.0, "255"), (np.nan, "NaN")])
@pytest.mark.parametrize("mean", [0.0, 0.5])
def test_images_in_0_to_255_and_nan_are_refused_by_every_model(make_model, mean, value, text):
    for ask in asking(make_model(mean=mean)):
        with pytest.raises(DataError, match=text):
            ask(filled(value))


def test_images_normalised_twice_would_have_been_measured_worse(make_model, toy):
    images, labels = toy[0] / 255.0, toy[1]
    mean, std = float(images.mean()), float(images.std())
    model = make_model(mean=mean, std=std)
    with pytest.raises(DataError, match="before they were normalised"):
        model.evaluate((images - mean) / std, labels)
    plain = make_model()
    plain.load_parameters(model.parameters)
    np.testing.assert_allclose(plain((images - mean) / std), model(images), rtol=1e-4, atol=1e-5)
