"""A session keeps the latest, and no more than it may."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from neocog.app.page.kept import Kept, bytes_of
from neocog.app.page.session import FIRST, KEPT_INPUTS, KEPT_RESULTS, RESULT_BYTES, Input, Session
from neocog.explain.control import randomised


def test_the_bytes_of_a_result_are_those_of_all_its_arrays(session: Session) -> None:
    traced = session.trace(FIRST)
    outputs = sum(4 * traced.output(node.index).size for node in session.model.graph.nodes)  # as the engine gave them
    pixels = traced.image.nbytes + traced.normalised.nbytes
    assert outputs + pixels <= bytes_of(traced) < outputs + pixels + 200  # the weights are the model's own
    assert bytes_of((traced, traced)) == bytes_of(traced)  # what is held twice is there once
    drawn = randomised(session.model, 5)
    assert bytes_of(drawn) == sum(value.nbytes for value in drawn.parameters.values())
    large = np.zeros(1000)
    assert bytes_of(large[:1]) == 8000  # a view holds all that it looks at
    assert bytes_of("text") == bytes_of(None) == bytes_of(3) == 0


def test_the_oldest_goes_where_there_are_too_many_or_too_many_bytes() -> None:
    kept: Kept[str, object] = Kept(3, 100, spared="spared")
    for key in ("spared", "a", "b", "c"):
        kept[key] = np.zeros(10, np.uint8)
    assert list(kept) == ["spared", "b", "c"]
    kept["d"] = np.zeros(75, np.uint8)
    assert list(kept) == ["spared", "c", "d"]
    kept["large"] = np.zeros(1000, np.uint8)  # the newest stays, however large it is
    assert list(kept) == ["spared", "large"]
    kept["small"] = None
    assert list(kept) == ["spared", "small"]


def test_a_session_forgets_all_but_the_latest_and_the_first_image(session: Session) -> None:
    image = session.input(FIRST).image
    names = [session.add(Input(image, "again")) for _ in range(2 * KEPT_INPUTS)]
    assert len(session.inputs) == KEPT_INPUTS
    assert FIRST in session.inputs
    assert names[-1] in session.inputs
    for name in names[-KEPT_INPUTS + 1 :]:
        session.trace(name)
    assert len(session._results) == KEPT_RESULTS


def test_large_results_are_few(session: Session) -> None:
    for key in range(5):
        session.remember(key, lambda: np.empty(RESULT_BYTES // 3 + 1, np.uint8))  # never touched: takes no memory
    assert list(session._results) == [3, 4]


def test_no_lock_stays_of_what_was_asked_for(session: Session) -> None:
    def fail() -> None:
        raise ValueError("cannot")

    for key in range(10):
        with pytest.raises(ValueError, match="cannot"):
            session.remember(("failed", key), fail)
        for _ in range(2):
            assert session.remember(("found", key), lambda: 7) == 7
    assert session._under_way == {}


def test_what_two_ask_for_at_once_is_computed_once(session: Session) -> None:
    begun, go_on, times = threading.Event(), threading.Event(), []

    def compute() -> int:
        times.append(1)
        begun.set()
        assert go_on.wait(60)
        return 7

    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(session.remember("key", compute))) for _ in range(2)]
    threads[0].start()
    assert begun.wait(60)
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join(60)
    assert found == [7, 7]
    assert len(times) == 1
