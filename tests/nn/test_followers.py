"""What follows the weights of a network."""

import math

import numpy as np
import pytest

from neocog.errors import SettingError
from neocog.nn.followers import EMA


def test_the_average_by_hand():
    own = np.array([1.0])
    path = [own := EMA(0.75).follow(own, np.array([value])) for value in (2.0, 2.0, -1.0)]
    assert np.concatenate(path).tolist() == [1.25, 1.4375, 0.828125]


def test_an_average_that_keeps_nothing_is_the_value():
    assert EMA(0.0).follow(3.0, 5.0) == 5.0


@pytest.mark.parametrize("decay", [-0.1, 1.0, math.nan])
def test_a_decay_out_of_its_range_is_refused(decay):
    with pytest.raises(SettingError, match=r"EMA: decay must be in \[0, 1\)"):
        EMA(decay)
