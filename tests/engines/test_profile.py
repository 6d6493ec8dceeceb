"""A profile times every stage of a network, and counts the work that each does."""

from __future__ import annotations

import json
import math

import pytest

from neocog.engines.profile import profile
from neocog.errors import SettingError
from neocog.nn.graph import trace
from neocog.nn.parameters import initial_parameters
from neocog.nn.zoo import article


def test_every_stage_is_timed_and_its_work_counted() -> None:
    graph = trace(article(), (28, 28, 1))
    training, prediction = profile(graph, initial_parameters(graph), batch=16, repeats=2)
    names = [stage.name for stage in training.stages]
    assert "0:Conv2d+ReLU forward" in names
    assert "update" in names
    assert not any("gradient" in stage.name for stage in prediction.stages)
    for found in (training, prediction):
        assert math.isclose(sum(stage.share for stage in found.stages), 1.0)
        assert all(stage.milliseconds > 0 for stage in found.stages)
        assert all(stage.name in found.to_text() for stage in found.stages)
        assert json.loads(json.dumps(found.to_json()))["batch"] == found.batch
    # 16 images, 1,600 inputs and 128 outputs: the rate times the time is the work
    linear = next(stage for stage in training.stages if stage.name == "7:Linear+ReLU forward")
    assert linear.gflops is not None
    assert math.isclose(linear.gflops * linear.milliseconds * 1e6, 2 * 16 * 1600 * 128, rel_tol=1e-6)
    # and the first convolution runs for a few images at a time, so that its work is that of all blocks: 9 taps, 32
    # filters, and 24 x 24 pixels that the layers behind it read
    conv = next(stage for stage in training.stages if stage.name == "0:Conv2d+ReLU forward")
    assert conv.gflops is not None
    assert math.isclose(conv.gflops * conv.milliseconds * 1e6, 2 * 16 * 24 * 24 * 9 * 32, rel_tol=1e-6)


def test_a_profile_of_no_images_is_refused() -> None:
    graph = trace(article(), (28, 28, 1))
    with pytest.raises(SettingError, match="batch size must be at least 1"):
        profile(graph, initial_parameters(graph), batch=0)
