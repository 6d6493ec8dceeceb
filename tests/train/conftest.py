"""What the tests of training share: small models, data that can be learnt, and an engine that fails on request."""

from __future__ import annotations

import numpy as np
import pytest

from neocog.engines import get_engine
from neocog.engines.base import StepResult
from neocog.nn.blocks import Sequential
from neocog.nn.layers import Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU
from neocog.train.model import Model

NET = Sequential(Conv2d(3, 3), ReLU(), MaxPool2d(2), Flatten(), Sequential(Dropout(0.2), Linear(5), ReLU()), Linear(2))


@pytest.fixture
def make_model():
    def make(net: Sequential = NET, shape=(6, 6, 1), names=("dark", "bright"), **settings) -> Model:
        return Model(net, shape, names, **{"engine": "reference", "seed": 3, **settings})

    return make


@pytest.fixture
def toy():
    """Images of two brightnesses: (60, 6, 6, 1) uint8, and their classes."""
    stream = np.random.default_rng(0)
    labels = np.arange(60) % 2
    images = stream.integers(0, 120, (60, 6, 6, 1)) + 130 * labels[:, None, None, None]
    return images.astype(np.uint8), labels


class FaultyEngine:
    """The reference engine, but the loss of step `at` is `loss`."""

    name = "faulty"

    def __init__(self, at: int, loss: float = float("nan")) -> None:
        self.at, self.loss = at, loss

    def predictor(self, graph, parameters, threads=None):
        return get_engine("reference").predictor(graph, parameters, threads)

    def stepper(self, graph, parameters, settings, threads=None):
        stepper = get_engine("reference").stepper(graph, parameters, settings, threads)
        take, engine = stepper.step, self

        def step(images, targets, learning_rate):
            result = take(images, targets, learning_rate)
            return StepResult(engine.loss, result.logits) if stepper.steps == engine.at else result

        stepper.step = step
        return stepper


@pytest.fixture
def faulty_engine():
    return FaultyEngine
