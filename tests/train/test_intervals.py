import numpy as np
import pytest

from neocog.train.intervals import CONFIDENCE, mean_interval, wilson_interval


def test_the_interval_solves_wilsons_equation():
    # its ends are the shares p at which |share - p| is 1.96 standard deviations of a share of p
    for right, images in [(1, 10), (7, 9), (500, 1000), (99, 100)]:
        for end in wilson_interval(right, images):
            assert abs(right / images - end) == pytest.approx(1.959964 * np.sqrt(end * (1 - end) / images), rel=1e-6)


def test_it_stays_within_0_and_1_and_has_a_width_at_both():
    low, high = wilson_interval(0, 20)
    assert low == 0.0
    assert high == pytest.approx(1.959964**2 / (20 + 1.959964**2), rel=1e-6)
    low, high = wilson_interval(20, 20)
    assert (low, high) == (pytest.approx(1 - 1.959964**2 / (20 + 1.959964**2), rel=1e-6), 1.0)
    with pytest.raises(ValueError, match="at least one image"):
        wilson_interval(0, 0)


def test_the_mean_of_one_share_has_wilsons_interval():
    assert mean_interval([(7, 9)]) == pytest.approx(wilson_interval(7, 9), rel=1e-12)


@pytest.mark.parametrize("images", [(30, 30, 30), (8, 40, 200), (100, 5, 5, 5)])
def test_intervals_hold_the_true_mean_about_as_often_as_they_say(images):
    """Draw recalls and counts, and see how often the interval holds the true mean.

    Counts are whole numbers, so that no interval can hold it in 95 % of the cases exactly: these have 1.5 points to
    either side, beyond four standard deviations of the share of 2,000 draws. The usual ± fails here: with classes
    of few images, it holds the mean in 89 % of the cases.
    """
    random = np.random.default_rng(5)
    held, draws = 0, 2000
    for _ in range(draws):
        recalls = random.uniform(0.3, 0.98, len(images))
        counts = random.binomial(images, recalls)
        low, high = mean_interval(list(zip(counts.tolist(), images, strict=True)))
        held += low <= recalls.mean() <= high
    spread = 4 * np.sqrt(CONFIDENCE * (1 - CONFIDENCE) / draws)
    assert abs(held / draws - CONFIDENCE) <= 0.015 + spread
