"""What the tests of training share: small models, data that can be learnt, and an engine that fails on request."""

from __future__ import annotations

from functools import partial

import pytest

from neocog.engines import get_engine
from neocog.engines.base import StepResult
from neocog.train.model import Model
from small_models import brightnesses, make_small


@pytest.fixture
def make_model():
    return partial(make_small, Model)


@pytest.fixture
def toy():
    return brightnesses()


class FaultyEngine:
    """The reference engine, but the loss of step `at` is `loss`."""

    name = "faulty"

    def __init__(self, at: int, loss: float = float("nan")) -> None:
        self.at, self.loss = at, loss

    def predictor(self, graph, parameters, threads=None):
        return get_engine("reference").predictor(graph, parameters, threads)

    def train_program(self, graph, parameters, settings, threads=None):
        program = get_engine("reference").train_program(graph, parameters, settings, threads)
        take, engine = program.step, self

        def step(images, targets, learning_rate):
            result = take(images, targets, learning_rate)
            return StepResult(engine.loss, result.logits) if program.steps == engine.at else result

        program.step = step
        return program


@pytest.fixture
def faulty_engine():
    return FaultyEngine
