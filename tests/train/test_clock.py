"""How long a training still takes."""

from __future__ import annotations

import pytest

from neocog.train.clock import seconds_left
from neocog.train.history import EpochResult, History


def epochs(*seconds: float) -> History:
    return History([EpochResult(n, 0.5, 0.5, None, None, 0.1, took, 1.0) for n, took in enumerate(seconds, 1)])


@pytest.mark.parametrize(
    ("history", "planned", "limit", "done", "spent", "left"),
    [
        (epochs(), 10, None, 0, 0.0, None),  # nothing is known yet
        (epochs(), 10, None, 50, 2.0, 38.0),  # half an epoch took 2 s
        (epochs(9.0), 10, None, 0, 0.0, 81.0),
        (epochs(9.0, 4.0, 4.0), 10, None, 0, 0.0, 28.0),  # the first one compiled
        (epochs(9.0, 4.0, 4.0), 10, None, 25, 1.0, 27.0),
        (epochs(9.0, 4.0, 4.0), 10, 30.0, 0, 0.0, 13.0),  # the limit comes first
        (epochs(9.0, 4.0, 4.0), None, 30.0, 25, 1.0, 12.0),
        (epochs(9.0, 4.0, 4.0), None, 10.0, 0, 0.0, 0.0),
        (epochs(9.0, 4.0, 4.0), None, None, 0, 0.0, None),
        (epochs(*[100.0] * 3, *[2.0] * 5), 10, None, 0, 0.0, 4.0),  # the machine got faster
    ],
)
def test_what_is_left_follows_from_what_was_needed(history, planned, limit, done, spent, left):
    assert seconds_left(history, planned, limit, images=100, done=done, spent=spent) == left
