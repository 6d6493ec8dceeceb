"""How much work to do between two words of progress."""

from __future__ import annotations

import time
from collections.abc import Iterator

from neocog.explain.subject import ProgressListener

SHORT, LONG = 0.1, 0.4  # seconds: a batch that takes less may double, one that takes longer is halved


def paced(total: int, progress: ProgressListener, what: str, *, first: int = 64, most: int = 4096) -> Iterator[slice]:
    """Cut 0 … total into batches that take a fraction of a second each, so that progress is told every second.

    What happens between two steps of the iteration is timed. Progress is told after each batch; where it raises, the
    work ends there.

    Arguments:
        total: items.
        progress: told the share that is done, and `what`.
        what: what is counted, such as "images".
        first: items of the first batch.
        most: items of the largest batch.

    >>> [(batch.start, batch.stop) for batch in paced(5, lambda done, what: None, "images", first=2, most=2)]
    [(0, 2), (2, 4), (4, 5)]
    """
    size, done = first, 0
    while done < total:
        began = time.perf_counter()
        stop = min(done + size, total)
        yield slice(done, stop)
        done = stop
        progress(done / total, what)
        seconds = time.perf_counter() - began
        if seconds < SHORT:
            size = min(2 * size, most)
        elif seconds > LONG:
            size = max(1, size // 2)
