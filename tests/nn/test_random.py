"""The generator behind Dropout."""

from itertools import product

import numpy as np
import pytest

from neocog.nn.random import dropout_bits, dropout_key, dropout_threshold, mix


def test_mix_is_the_published_finaliser():
    # Values of fmix32 from the reference code of MurmurHash3.
    assert mix(0) == 0
    assert mix(1) == 0x514E28B7
    assert mix(0xFFFFFFFF) == 0x81F16F39


def test_bits_are_two_mixes_of_the_index_and_the_key():
    key = dropout_key(7, 3, 2)
    bits = dropout_bits(key, 1000)
    assert bits.dtype == np.uint32
    assert all(int(bits[i]) == mix(mix(i ^ key) + key) for i in range(1000))


def test_a_value_does_not_depend_on_how_many_are_drawn():
    assert (dropout_bits(5, 100)[:10] == dropout_bits(5, 10)).all()


def test_keys_differ_by_seed_step_and_layer():
    draws = list(product((0, 1, 12345, 2**40), range(1, 50), range(20)))
    assert len({dropout_key(*draw) for draw in draws}) == len(draws)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_share_of_dropped_values_is_the_rate(rate):
    for key in (0, 1, dropout_key(0, 1, 0)):
        dropped = dropout_bits(key, 100_000) < dropout_threshold(rate)
        # Five standard deviations of a binomial share.
        assert abs(dropped.mean() - rate) < 5 * (rate * (1 - rate) / 100_000) ** 0.5


def test_nothing_is_dropped_at_a_rate_of_zero():
    assert dropout_threshold(0.0) == 0


def test_neighbours_and_steps_are_not_correlated():
    one = dropout_bits(dropout_key(0, 1, 0), 100_000) / 2**32 - 0.5
    next_step = dropout_bits(dropout_key(0, 2, 0), 100_000) / 2**32 - 0.5
    limit = 5 / 12 / 100_000**0.5  # five standard deviations of the mean product of independent uniforms
    assert abs((one[1:] * one[:-1]).mean()) < limit
    assert abs((one * next_step).mean()) < limit


def test_a_rate_next_to_one_drops_all_but_one_value_in_four_billion():
    assert dropout_threshold(1 - 1e-12) == 2**32 - 1
