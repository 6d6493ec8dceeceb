"""The arithmetic around whole trainings with the default recipe."""

from __future__ import annotations

import pytest

from benchmarks.recipes.defaults import CASES, Case, Trained, row, train


def test_a_row_has_the_mean_over_seeds_and_its_error():
    case = Case("photos", ("--time", "5m"), seeds=2, wanted=0.5)
    found = [Trained(0, 60, 100, 7, 10.0, 20.0), Trained(1, 68, 100, 8, 20.0, 30.0)]
    assert row(case, found) == ("| `photos --time 5m` | 64.00 ± 4.80 % of 100 | 60.00, 68.00 | 50 % | 7, 8 | 15 | 25 |")


def test_images_are_counted_over_all_parts(tmp_path):
    case = Case("digits", ("--epochs", "1"))
    found = train(case, tmp_path, seed=0)
    assert (found.seed, found.epochs, found.images) == (0, 1, 359)
    assert 0 <= found.right <= found.images
    assert found.cpu_seconds > 0
    best = Case("digits", ("--epochs", "1", "--keep", "best"), parts=("val", "test"))
    with pytest.raises(ValueError, match="keeps the best epoch, which validation images chose"):
        train(best, tmp_path, seed=0)


def test_every_data_set_has_one_case():
    assert len({case.name for case in CASES}) == len(CASES)
