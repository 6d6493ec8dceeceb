"""A program that needs more memory than is left is refused before any is taken."""

import numpy as np
import pytest

from neocog.engines import get_engine, room
from neocog.engines.base import StepSettings
from neocog.engines.native import NativeEngine
from neocog.errors import EngineError
from neocog.nn.blocks import Sequential
from neocog.nn.graph import trace
from neocog.nn.layers import Conv2d, Flatten, Linear, MaxPool2d
from neocog.nn.losses import CrossEntropy
from neocog.nn.optimizers import SGD
from neocog.nn.parameters import initial_parameters

LARGE = trace(Sequential(Conv2d(16, 1), MaxPool2d(1024), Flatten(), Linear(2)), (4096, 4096, 1))


@pytest.fixture
def little_left(monkeypatch):
    """As if this process might take 300 MB."""
    asked = []
    monkeypatch.setattr(room, "available_memory", lambda: asked.append(1) or 300_000_000)
    return asked


@pytest.mark.usefixtures("little_left")
def test_a_prediction_of_large_images_is_refused(monkeypatch):
    parameters = initial_parameters(LARGE)
    images = np.zeros((1, 4096, 4096, 1), np.uint8)
    message = r"needs \d\.\d GB of memory, 0\.3 GB are left\n  hint: use a smaller batch size"
    with pytest.raises(EngineError, match=f"prediction, batch 1 {message}"):
        NativeEngine().predictor(LARGE, parameters, 1).logits(images)
    with pytest.raises(EngineError, match=f"prediction of 1 images {message}"):
        get_engine("reference").predictor(LARGE, parameters).logits(images)


@pytest.mark.usefixtures("little_left")
def test_a_training_in_large_batches_is_refused():
    settings = StepSettings(CrossEntropy(), SGD(0.1), batch_size=8)
    with pytest.raises(EngineError, match=r"training, batch 8 needs \d+\.\d GB of memory, 0\.3 GB are left"):
        NativeEngine().train_program(LARGE, initial_parameters(LARGE), settings, 1)


def test_for_small_programs_nothing_is_looked_up(little_left):
    graph = trace(Sequential(Conv2d(4, 3), Flatten(), Linear(2)), (12, 12, 1))
    assert NativeEngine().predictor(graph, initial_parameters(graph), 1).logits(np.zeros((3, 12, 12, 1), np.uint8)).size
    assert not little_left
    room.check_room("this", room.WORTH_ASKING)
    assert little_left == [1]
