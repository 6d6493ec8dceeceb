"""Work done ahead of its consumer by threads, handed over in order.

Threads, not processes: Pillow, hashlib and NumPy give up the interpreter lock while they work, and arrays need no
copying. The order of the results is the order of the items, whatever the number of threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from neocog.errors import SettingError
from neocog.resources import available_threads

T = TypeVar("T")
R = TypeVar("R")

_MOST_WORKERS = 8  # decoding feeds a training loop that wants the cores itself


def worker_count(workers: int | None = None) -> int:
    """Return the number of threads to use.

    Arguments:
        workers: None for one for each processor that this process may use, at most 8; 0 works in the caller's thread.

    Raises:
        SettingError: the number is negative or no whole number.
    """
    if workers is None:
        return min(_MOST_WORKERS, available_threads())
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 0:
        raise SettingError(f"workers needs a whole number of at least 0, got {workers!r}")
    return workers


def preparing_threads() -> int:
    """Return how many threads prepare what is in memory already, beside a training that wants the processors itself:
    one for each four, so that a GPU, which needs them for nothing else, does not wait.
    """
    return max(1, available_threads() // 4)


def map_in_order(
    function: Callable[[T], R], items: Iterable[T], *, workers: int, ahead: int
) -> Generator[R, None, None]:
    """Yield `function(item)` for each item, in order, computed up to `ahead` items before they are asked for.

    Arguments:
        function: called in worker threads, so it must be safe there.
        items: read lazily. An item None asks for the results of all before it, before the next item is read: that may
            take long, as where somebody types it. It goes through `function` like others.
        workers: threads; 0 computes in the caller's thread, when asked.
        ahead: results that may wait, which bounds the memory they hold.

    Yields:
        The results. An exception of `function` is raised here, in its turn. Closing the generator, or an exception
        in the consumer, drops what has not begun and waits for what has.

    Raises:
        MemoryError: there is none for a thread.

    Example:
        >>> list(map_in_order(abs, [-1, -2], workers=2, ahead=2))
        [1, 2]
    """
    if workers == 0:
        for item in items:
            yield function(item)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="neocog-data")
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(_submit(pool, function, item))
            while len(waiting) > (ahead if item is not None else 0):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _submit(pool: ThreadPoolExecutor, function: Callable[[T], R], item: T) -> Future[R]:
    try:
        return pool.submit(function, item)
    except RuntimeError as error:
        if "start new thread" in str(error):  # its stack needs memory, and the error has no type of its own
            raise MemoryError("there is no memory for another thread") from error
        raise
