"""Answers to any number of pictures, in order and in constant memory.

Pictures are decoded in threads ahead of the network, which takes them a batch at a time. Where a source may let one
wait, it says so by a None among its pictures: what it gave before is then answered at once.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from typing import Generic, TypeVar

from neocog.data.parallel import map_in_order, worker_count
from neocog.data.resize import Images
from neocog.engines.base import Array
from neocog.errors import DataError
from neocog.model.pictures import stacked

Item = TypeVar("Item")

Answered = tuple[Item, Array | DataError]
"""A picture with its probabilities, or with the reason why it cannot be read."""

MOST_WAITING = 4
"""Batches of pictures that wait for one batch to fill, of which most cannot be read."""


class AnswerStream(Generic[Item]):
    """Pictures on their way through a network.

    Arguments:
        answer: gives the probabilities (N, outputs) of images (N, height, width, channels).
        decode: makes an image (height, width, channels) of a picture, in a thread; or raises DataError.
        batch_size: pictures that are answered together; fewer where the source lets one wait.
        workers: threads that decode; None: as many as there are processors, at most 8; 0: none.

    Raises:
        SettingError: `workers` is no number of threads.
    """

    def __init__(
        self,
        answer: Callable[[Images], Array],
        decode: Callable[[Item], Images],
        *,
        batch_size: int,
        workers: int | None = None,
    ) -> None:
        self._answer, self._decode, self._batch_size = answer, decode, batch_size
        self._workers = worker_count(workers)

    def batches(self, pictures: Iterable[Item | None]) -> Generator[list[Answered[Item]]]:
        """Yield the answers in the order of the pictures, some at a time, as soon as they are there.

        Arguments:
            pictures: read lazily, and no further ahead than a batch and some for each thread. None: the next may take
                long.
        """
        ahead = max(4 * self._workers, self._batch_size) if self._workers else 0
        waiting: list[tuple[Item, Images | DataError]] = []
        images = 0
        with closing(map_in_order(self._read, pictures, workers=self._workers, ahead=ahead)) as decoded:
            for found in decoded:
                if found is not None:
                    waiting.append(found)
                    images += not isinstance(found[1], DataError)
                full = images == self._batch_size or len(waiting) == MOST_WAITING * self._batch_size
                if waiting and (full or found is None or not images):
                    yield self._answered(waiting)
                    waiting, images = [], 0
        if waiting:
            yield self._answered(waiting)

    def _read(self, picture: Item | None) -> tuple[Item, Images | DataError] | None:
        if picture is None:
            return None
        try:
            return picture, self._decode(picture)
        except DataError as error:
            return picture, error

    def _answered(self, waiting: Sequence[tuple[Item, Images | DataError]]) -> list[Answered[Item]]:
        images = [image for _, image in waiting if not isinstance(image, DataError)]
        answers = (answer for batch in stacked(images) for answer in self._answer(batch))
        return [(item, found if isinstance(found, DataError) else next(answers)) for item, found in waiting]
