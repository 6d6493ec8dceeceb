"""Mixed images, and targets that say how much of which."""

import numpy as np
import pytest

import neocog as nc
from neocog.data.augment.draws import Draws
from neocog.data.augment.mixing import beta_levels
from neocog.data.augment.pipeline import Pipeline


@pytest.fixture
def batch():
    random = np.random.default_rng(3)
    return random.integers(0, 256, (30, 12, 10, 3), np.uint8), random.integers(0, 5, 30), np.arange(50, 80)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
def test_levels_follow_the_beta_distribution(alpha):
    levels = beta_levels(Draws(0, 0, np.arange(40_000)), 0, alpha)
    want = np.random.default_rng(0).beta(alpha, alpha, 400_000)
    assert (levels.min(), levels.max()) in (
        [(0, 256)] if alpha < 3 else [(low, high) for low in range(9) for high in range(248, 257)]
    )
    for share in (0.002, 0.01, 0.1, 0.25, 0.5, 0.9):
        edge = (np.floor(share * 256) + 0.5) / 256
        assert abs(np.mean(levels / 256 < edge) - np.mean(want < edge)) < 0.009  # three deviations of 40,000 draws


def test_mixup_blends_each_image_with_the_next(batch):
    images, labels, indices = batch
    mixed, targets = Pipeline((nc.MixUp(1.0),), 4).mixed(images, labels, indices, 2, 5)
    kept = beta_levels(Draws(4, 2, indices, 0), 1, 1.0) / 256
    assert mixed.dtype == np.uint8
    for place in range(30):
        after = (place + 1) % 30
        want = kept[place] * images[place] + (1 - kept[place]) * images[after]
        assert np.abs(mixed[place] - want).max() <= 0.5
        row = np.zeros(5)
        row[labels[place]] += kept[place]
        row[labels[after]] += 1 - kept[place]
        assert np.array_equal(targets[place], row.astype(np.float32))
    assert (targets.sum(axis=1) == 1).all()


def test_cutmix_counts_the_pixels_that_are_there(batch):
    images, labels, indices = batch
    labels = np.arange(30)
    mixed, targets = Pipeline((nc.CutMix(1.0, share=0.7),), 4).mixed(images, labels, indices, 2, 30)
    cut = 0
    for place in range(30):
        after = (place + 1) % 30
        own = (mixed[place] == images[place]).all(axis=2)
        other = (mixed[place] == images[after]).all(axis=2)
        assert (own | other).all()
        rows, columns = np.nonzero(other)
        if len(rows):
            assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
            cut += 1
        assert targets[place, after] == pytest.approx(len(rows) / 120, abs=1e-6)
        assert targets[place, place] == pytest.approx(1 - len(rows) / 120, abs=1e-6)
    assert 12 <= cut <= 28
    assert np.abs(targets.sum(axis=1) - 1).max() < 1e-6


def test_both_can_be_done_and_rows_still_add_up(batch):
    images, labels, indices = batch
    _, targets = Pipeline((nc.MixUp(), nc.CutMix())).mixed(images, labels, indices, 0, 5)
    assert np.abs(targets.sum(axis=1) - 1).max() < 1e-6
    assert targets.min() >= 0


def test_rows_of_several_labels_are_mixed_too(batch):
    images, _, indices = batch
    rows = np.random.default_rng(0).integers(0, 2, (30, 5))
    kept = beta_levels(Draws(0, 0, indices, 0), 1, 1.0)[:, None] / 256
    _, targets = Pipeline((nc.MixUp(1.0),)).mixed(images, rows, indices, 0, 5)
    assert np.allclose(targets, kept * rows + (1 - kept) * np.roll(rows, -1, axis=0))


def test_a_single_image_mixes_with_itself(batch):
    images, labels, indices = batch
    mixed, targets = Pipeline((nc.MixUp(), nc.CutMix())).mixed(images[:1], labels[:1], indices[:1], 0, 5)
    assert np.array_equal(mixed, images[:1])
    assert targets[0, labels[0]] == 1


def test_a_rectangle_of_cutmix_is_cut_off_alike_at_all_edges():
    count = 4000
    images = np.zeros((count, 16, 16, 1), np.uint8)
    images[1::2] = 255
    mixed, _ = Pipeline((nc.CutMix(1.0),)).mixed(images, np.arange(count) % 2, np.arange(count), 0, 2)
    put = (mixed != images)[:, :, :, 0]
    for edge, opposite in ((put[:, 0], put[:, -1]), (put[:, :, 0], put[:, :, -1])):
        ends = abs(int(edge.any(axis=1).sum()) - int(opposite.any(axis=1).sum()))
        # centres lie half a pixel nearer to the first edge: 1 in 16 of the half that are mixed; and four deviations
        assert ends < count / 32 + 4 * np.sqrt(count / 2)
    tops = put.any(axis=2).argmax(axis=1)[put.any(axis=(1, 2))]
    heights = put.any(axis=2).sum(axis=1)[put.any(axis=(1, 2))]
    at_top, at_bottom = heights[tops == 0].mean(), heights[tops + heights == 16].mean()
    assert abs(at_top - at_bottom) < 0.7
