"""What is drawn hangs on seed, epoch, image and place, and looks random."""

import numpy as np
import pytest

from neocog.data.augment.affine import sine_cosine
from neocog.data.augment.draws import Draws

MANY = np.arange(20_000)


def splitmix(word):
    """The finaliser as the paper has it, in Python's integers."""
    mask = 2**64 - 1
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & mask
    word = (word ^ word >> 27) * 0x94D049BB133111EB & mask
    return word ^ word >> 31


def test_words_are_those_of_the_definition():
    golden, mask = 0x9E3779B97F4A7C15, 2**64 - 1
    key = 0
    for part in (2**63 - 1, 3 + 1, 2, 5):
        key = splitmix((key + (part + 1) * golden) & mask)
    want = [splitmix((key + index * golden) & mask) for index in (0, 1, 10**12)]
    assert Draws(2**63 - 1, 3, np.array([0, 1, 10**12]), 2).words(5).tolist() == want


def test_seed_epoch_place_and_number_each_give_other_numbers():
    base = Draws(1, 1, MANY, 1)
    others = [Draws(2, 1, MANY, 1), Draws(1, 2, MANY, 1), base.at(2)]
    streams = [base.uniform(0), base.uniform(1), *(other.uniform(0) for other in others)]
    for one in range(len(streams)):
        for other in range(one):
            assert abs(np.corrcoef(streams[one], streams[other])[0, 1]) < 0.03


def test_numbers_are_even_over_their_range():
    unit = Draws(0, 0, MANY).uniform(0)
    counts = np.histogram(unit, 20, (0, 1))[0]
    assert ((counts - 1000) ** 2 / 1000).sum() < 43.8  # chi square, 19 degrees of freedom: one in a thousand is above
    assert 2.0 <= Draws(0, 0, MANY).uniform(0, 2.0, 3.0).min() < 2.01
    assert np.bincount(Draws(0, 0, MANY).below(3, 5)).min() > 3700


def test_an_image_draws_the_same_in_any_company():
    alone = Draws(5, 2, np.array([17]))
    among = Draws(5, 2, np.array([3, 17, 9]))
    assert alone.uniform(0)[0] == among.uniform(0)[1]
    assert np.array_equal(alone.noise(1, 0, 13), among.noise(1, 1, 13))
    assert alone.uniform(0, every_epoch=False) == Draws(5, 9, np.array([17])).uniform(0, every_epoch=False)


def test_noise_is_drawn_for_one_image_alone(monkeypatch):
    counted = []
    words = Draws.words
    monkeypatch.setattr(Draws, "words", lambda self, *of, **how: counted.append(len(self)) or words(self, *of, **how))
    Draws(5, 2, MANY).noise(1, 7, 13)
    assert counted == [1]


def test_noise_is_even():
    counts = np.bincount(Draws(0, 0, np.array([4])).noise(0, 0, 256_000), minlength=256)
    assert ((counts - 1000) ** 2 / 1000).sum() < 330.5  # 255 degrees of freedom, one in a thousand


@pytest.mark.parametrize("degrees", [0.0, 30.0, -90.0, 135.0, 180.0])
def test_sine_and_cosine_are_those_of_the_angle(degrees):
    sine, cosine = sine_cosine(np.array([degrees]))
    assert abs(sine[0] - np.sin(np.deg2rad(degrees))) < 4e-15
    assert abs(cosine[0] - np.cos(np.deg2rad(degrees))) < 4e-15
