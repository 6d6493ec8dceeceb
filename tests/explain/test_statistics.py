"""What normalizations store, against what images bring."""

from __future__ import annotations

import numpy as np
import pytest

import neocog as nc
from explain.networks import make_model
from neocog.explain.statistics import all_batch_statistics, batch_statistics
from neocog.explain.trace import trace


def test_statistics_are_those_of_all_pixels_of_all_images() -> None:
    model = make_model("residual")
    images = np.random.default_rng(0).integers(0, 256, (5, *model.input_shape)).astype(np.uint8)
    traced = [trace(model, image) for image in images]
    found = all_batch_statistics(model, images)
    assert sorted(found) == [node.index for node in model.graph.nodes if isinstance(node.layer, nc.BatchNorm2d)]
    for index, statistics in found.items():
        values = np.concatenate([one.input(index).reshape(-1, statistics.mean.size) for one in traced])
        np.testing.assert_allclose(statistics.mean, values.mean(axis=0), rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(statistics.variance, values.var(axis=0), rtol=1e-12)
        name = model.graph.nodes[index].name
        np.testing.assert_array_equal(statistics.running_mean, model.parameters[f"{name}.running_mean"])
        np.testing.assert_array_equal(statistics.running_variance, model.parameters[f"{name}.running_var"])
        assert statistics.images == 5


def test_only_normalizations_have_statistics() -> None:
    model = make_model("residual")
    with pytest.raises(nc.SettingError, match="layer 0 must be a BatchNorm2d, it is a Conv2d"):
        batch_statistics(model, np.zeros((1, *model.input_shape)), 0)
