import threading

import pytest

from neocog.data.parallel import map_in_order, worker_count
from neocog.errors import SettingError


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_results_come_in_order_whatever_the_workers(workers):
    others = threading.Event()

    def slow_first(n: int) -> int:
        if n == 0 and workers > 1:
            assert others.wait(60)  # until a later one is done
        elif n == 5:
            others.set()
        return n * n

    assert list(map_in_order(slow_first, range(50), workers=workers, ahead=8)) == [n * n for n in range(50)]


def test_look_ahead_is_bounded():
    taken = []
    results = map_in_order(lambda n: n, (taken.append(n) or n for n in range(1000)), workers=2, ahead=5)
    for n in range(20):
        assert next(results) == n
        assert len(taken) <= n + 6
    results.close()


def test_an_exception_is_raised_in_its_turn():
    results = map_in_order(lambda n: 1 // (3 - n), range(10), workers=3, ahead=8)
    assert [next(results) for _ in range(3)] == [0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_closing_early_leaves_no_thread():
    before = threading.active_count()
    results = map_in_order(lambda n: n, range(10_000), workers=3, ahead=50)
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


@pytest.mark.parametrize("workers", [0, 3])
def test_none_asks_for_all_before_it(workers):
    asked = []

    def items():
        for item in (1, 2, None, 3):
            asked.append(item)
            yield item

    results = map_in_order(lambda item: item, items(), workers=workers, ahead=10)
    assert [next(results) for _ in range(3)] == [1, 2, None]
    assert asked == [1, 2, None]
    assert list(results) == [3]
