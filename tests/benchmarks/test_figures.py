"""The arithmetic on what was measured."""

from __future__ import annotations

import pytest

from benchmarks.figures import HALF, ROUNDED, Figure, Row, lost, summarise, thread_count


def row(case: str = "case", **medians: float) -> Row:
    """Make a row from medians alone."""
    figures = {name: Figure(median, median, median) for name, median in medians.items()}
    return Row("training step", case, 1, "ms", figures)


def test_a_ratio_is_that_of_the_best_peer() -> None:
    measured = row(neocog=2.0, slow=9.0, fast=5.0)
    assert measured.best_peer == "fast"
    assert measured.ratio == 2.5


def test_a_side_that_may_round_is_no_peer() -> None:
    measured = row(neocog=2.0, peer=4.0, **{ROUNDED: 1.0})
    assert measured.best_peer == "peer"
    assert measured.ratio == 2.0
    assert row(neocog=2.0, **{ROUNDED: 1.0}).ratio is None


def test_bfloat16_is_compared_with_the_best_of_all_peers_those_of_float32_too() -> None:
    ours, theirs = HALF[:2]
    assert row(neocog=2.0, fast=3.0, **{ours: 1.0, theirs: 4.0, ROUNDED: 5.0}).half_ratio == 3.0
    assert row(neocog=2.0, fast=3.0, **{ours: 1.0, theirs: 2.5}).half_ratio == 2.5
    assert row(neocog=2.0, **{ours: 1.0}).half_ratio is None


def test_without_a_peer_or_without_us_there_is_no_ratio() -> None:
    assert row(neocog=2.0).best_peer is None
    assert row(neocog=2.0).ratio is None
    assert row(fast=5.0).ratio is None


def test_every_loss_is_listed_the_worst_first_and_no_draw() -> None:
    rows = [row("close", neocog=1.001, peer=1.0), row("won", neocog=1.0, peer=2.0), row("far", neocog=4.0, peer=1.0)]
    rows += [row("drawn", neocog=1.0, peer=1.0), row("alone", neocog=1.0)]
    assert [measured.case for measured in lost(rows)] == ["far", "close"]


def test_a_summary_is_the_median_between_its_quartiles() -> None:
    assert summarise([5.0, 1.0, 3.0, 2.0, 4.0]) == Figure(3.0, 2.0, 4.0)
    assert summarise([7.0]) == Figure(7.0, 7.0, 7.0)


def test_a_row_becomes_json() -> None:
    written = row(neocog=2.0, fast=5.0).as_json()
    assert written["ratio"] == pytest.approx(2.5)
    assert written["figures"] == {
        "neocog": {"median": 2.0, "quartiles": [2.0, 2.0]},
        "fast": {"median": 5.0, "quartiles": [5.0, 5.0]},
    }


def test_one_thread_is_no_plural() -> None:
    assert (thread_count(1), thread_count(2)) == ("1 thread", "2 threads")
