import threading
import time

import pytest

from neocog.data.parallel import map_in_order, worker_count
from neocog.errors import SettingError


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_results_come_in_order_whatever_the_workers(workers):
    def slow_first(n: int) -> int:
        time.sleep(0.02 if n == 0 else 0)
        return n * n

    assert list(map_in_order(slow_first, range(50), workers=workers, ahead=8)) == [n * n for n in range(50)]


def test_look_ahead_is_bounded():
    started = []
    results = map_in_order(started.append, range(1000), workers=2, ahead=5)
    next(results)
    time.sleep(0.05)
    assert len(started) <= 6
    results.close()


def test_an_exception_is_raised_in_its_turn():
    results = map_in_order(lambda n: 1 // (3 - n), range(10), workers=3, ahead=8)
    assert [next(results) for _ in range(3)] == [0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_closing_early_leaves_no_thread():
    before = threading.active_count()
    results = map_in_order(lambda n: time.sleep(0.001), range(10_000), workers=3, ahead=50)
    next(results)
    results.close()
    assert threading.active_count() == before


def test_worker_count_is_checked():
    assert 1 <= worker_count() <= 8
    assert worker_count(0) == 0
    for wrong in (-1, 1.5, True):
        with pytest.raises(SettingError, match="workers needs a whole number of at least 0"):
            worker_count(wrong)


def test_a_thread_that_cannot_be_started_is_want_of_memory(monkeypatch):
    def start(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(MemoryError, match="another thread"):
        list(map_in_order(abs, [1, 2], workers=1, ahead=1))
