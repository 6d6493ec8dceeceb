"""The weights of a network have one owner, are made when they are read, and are nobody's to write into."""

import copy
import pickle

import numpy as np
import pytest

from neocog.errors import SettingError, ShapeError
from neocog.model.weights import Weights
from neocog.nn.blocks import Sequential
from neocog.nn.graph import trace
from neocog.nn.layers import BatchNorm2d, Conv2d
from neocog.nn.parameters import initial_parameters

GRAPH = trace(Sequential(Conv2d(2, 3), BatchNorm2d()), (4, 4, 1))


@pytest.fixture
def weights():
    return Weights(GRAPH, lambda: initial_parameters(GRAPH))


def test_they_are_made_once_and_only_when_they_are_read():
    made = []
    weights = Weights(GRAPH, lambda: made.append(1) or initial_parameters(GRAPH))
    assert not made
    assert weights.arrays is weights.arrays
    assert made == [1]


def test_they_cannot_be_written_into(weights):
    with pytest.raises(ValueError, match="read-only"):
        weights.arrays["0.bias"][0] = 1
    with pytest.raises(TypeError):
        weights.arrays["0.bias"] = np.zeros(2, np.float32)


def test_another_owner_is_asked_at_the_first_reading_after_each_change(weights):
    steps = iter([1.0, 2.0])

    def owner():
        step = next(steps)
        return {name: np.full_like(value, step) for name, value in initial_parameters(GRAPH).items()}

    before = weights.version
    versions = [weights.follow(owner), weights.follow(owner)]
    assert len({before, *versions}) == 3
    assert weights.version == versions[-1]
    assert weights.arrays["0.bias"].tolist() == [1.0, 1.0]  # read once, though it changed twice
    weights.follow(owner)
    assert weights.arrays["0.bias"].tolist() == [2.0, 2.0]


def test_others_are_copied_in_the_order_of_the_network_buffers_too(weights):
    values = {name: value + 1 for name, value in reversed(weights.arrays.items())}
    before = weights.version
    weights.replace(values)
    assert weights.version != before
    assert list(weights.arrays) == ["0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"]
    values["1.running_var"][...] = 9
    assert weights.arrays["1.running_var"].tolist() == [2.0, 2.0]


def test_what_does_not_fit_is_refused_and_leaves_them_as_they_were(weights):
    values, version = dict(weights.arrays), weights.version
    with pytest.raises(ShapeError, match="those of the network"):
        weights.replace({name: value for name, value in values.items() if name != "1.running_mean"})
    with pytest.raises(SettingError, match="finite"):
        weights.replace({**values, "0.bias": np.array([0, np.nan])})
    assert weights.version == version
    weights.replace({**values, "0.bias": np.array([0, np.nan])}, allow_nonfinite=True)
    assert np.isnan(weights.arrays["0.bias"]).tolist() == [False, True]


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda weights: pickle.loads(pickle.dumps(weights))])
def test_a_copy_has_arrays_of_its_own(weights, clone):
    twin = clone(weights)
    twin.replace({name: value * 0 for name, value in weights.arrays.items()})
    assert weights.arrays["1.running_var"].tolist() == [1.0, 1.0]
    assert twin.arrays["1.running_var"].tolist() == [0.0, 0.0]
