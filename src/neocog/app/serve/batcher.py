"""Requests on their way through a network: gathered, decoded, answered together.

Nothing waits for company. Threads take what is there; while they decode it, more comes, and is taken along until a
batch is full, nothing waits any more, or the first image has waited for as long as it may. So a lone request is
answered at once, and batches grow by themselves with the load.

A thread decodes and then answers; where there are several, one decodes while another computes. An image of many pixels
would keep all others waiting, so it is decoded in a thread apart.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

import numpy as np

from neocog.app.serve.counters import Tally
from neocog.app.serve.served import ServedModel
from neocog.app.serve.settings import Settings
from neocog.data.faults import TooManyPixelsError
from neocog.data.resize import Images
from neocog.engines.base import Array
from neocog.errors import DataError
from neocog.model.pictures import stacked

QUICK_PIXELS = 1 << 20
"""Pixels up to which an image is decoded on the way: some ten milliseconds of a JPEG."""


class FullError(Exception):
    """As many images wait as may."""


class LateError(Exception):
    """A request has waited for longer than it may."""


@dataclass(slots=True, eq=False)
class Asked:
    """A request: pictures as bytes of files, or an array (N, H, W, C) of the network's own size.

    `pixels` are those of `pictures`, decoded for the model `decoded_for`.
    """

    pictures: Sequence[bytes] | Images
    future: asyncio.Future[Replies]
    arrived: float
    pixels: list[Images] = field(default_factory=list)
    decoded_for: ServedModel | None = None

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def images(self) -> Iterable[Images]:
        """What the network takes, image by image."""
        return self.pictures if isinstance(self.pictures, np.ndarray) else self.pixels


@dataclass(frozen=True, slots=True)
class Replies:
    """The probabilities (N, outputs) of a request's images, and the model that gave them."""

    probabilities: Array
    model: ServedModel


Outcome = tuple[Asked, Replies | Exception]


class Batcher:
    """Replies the requests to one model.

    Arguments:
        model: that answers.
        settings: what may wait, and for how long.
        row: the numbers of this process.
        loop: on which `ask` is called.
    """

    def __init__(self, model: ServedModel, settings: Settings, row: Tally, loop: asyncio.AbstractEventLoop) -> None:
        self.model = model
        self._settings, self._row, self._loop = settings, row, loop
        self._name = model.name
        self._quick_pixels = min(QUICK_PIXELS, settings.max_pixels)
        self._waiting = 0
        self._arrived: SimpleQueue[Asked | None] = SimpleQueue()
        self._large: SimpleQueue[Asked | None] = SimpleQueue()
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(settings.threads)]
        self._threads.append(threading.Thread(target=self._serve_large, daemon=True))
        for thread in self._threads:
            thread.start()

    async def ask(self, pictures: Sequence[bytes] | Images) -> Replies:
        """Return what the network says of pictures.

        Raises:
            FullError, LateError: there is too much to do. DataError: one cannot be read. MemoryError.
        """
        count = len(pictures)
        if self._waiting + count > self._settings.max_queue and self._waiting:
            raise FullError
        self._note(count)
        job = Asked(pictures, self._loop.create_future(), time.monotonic())
        self._arrived.put(job)
        try:
            answers = await job.future
        except DataError:
            self._row.add(f"{self._name}/unreadable")
            raise
        finally:
            self._note(-count)
            self._row.took(self._name, time.monotonic() - job.arrived)
        self._row.add(f"{self._name}/images", count)
        return answers

    def replace(self, model: ServedModel) -> None:
        """Have another model answer from the next batch on."""
        self.model = model

    def close(self) -> None:
        """End the threads when they have answered what is there."""
        for _ in self._threads[:-1]:
            self._arrived.put(None)
        self._large.put(None)

    def _note(self, images: int) -> None:
        self._waiting += images
        self._row.add("waiting_images", images)

    def _serve(self) -> None:
        """Answer batch after batch."""
        while (job := self._arrived.get()) is not None:
            outcomes: list[Outcome] = []
            again = self._gather(job, outcomes)
            self._loop.call_soon_threadsafe(self._deliver, outcomes)
            if not again:
                return

    def _gather(self, job: Asked | None, outcomes: list[Outcome]) -> bool:
        """Decode a job and those that come meanwhile, and answer them; return whether there shall be more."""
        model, limit = self.model, time.monotonic() + self._settings.max_wait
        ready: list[Asked] = []
        count = 0
        while True:
            if job is None:
                break
            try:
                if self._decoded(job, model, self._quick_pixels):
                    ready.append(job)
                    count += len(job)
            except TooManyPixelsError:
                self._large.put(job)
            except Exception as error:  # whatever it is, who asked is told
                outcomes.append((job, error))
            if count >= self._settings.max_batch or time.monotonic() > limit:
                break
            try:
                job = self._arrived.get_nowait()
            except Empty:
                break
        if ready:
            outcomes += self._answered(model, ready)
        return job is not None

    def _decoded(self, job: Asked, model: ServedModel, max_pixels: int) -> bool:
        """Decode a job's pictures for a model; return whether anybody still waits for it.

        Raises:
            LateError: it has waited too long. DataError, MemoryError: as `ServedModel.decode`.
        """
        if job.future.cancelled():
            return False
        self._check_time(job)
        if isinstance(job.pictures, np.ndarray) or job.decoded_for is model:
            return True
        several = len(job.pictures) > 1
        job.pixels = []
        for place, picture in enumerate(job.pictures):
            self._check_time(job)  # a request may have many large images, and others wait behind it
            job.pixels.append(model.decode(picture, f"image {place}" if several else "image", max_pixels))
        job.decoded_for = model
        return True

    def _check_time(self, job: Asked) -> None:
        if time.monotonic() - job.arrived > self._settings.timeout:
            raise LateError

    def _answered(self, model: ServedModel, jobs: list[Asked]) -> list[Outcome]:
        """Answer jobs together."""
        try:
            images = [image for job in jobs for image in job.images]
            found = [model.answer(batch) for batch in stacked(images)]
            probabilities = found[0] if len(found) == 1 else np.concatenate(found)
        except Exception as error:
            if len(jobs) > 1:  # one array of values out of range must not spoil the answers of others
                return [outcome for job in jobs for outcome in self._answered(model, [job])]
            return [(jobs[0], error)]
        outcomes: list[Outcome] = []
        done = 0
        for job in jobs:
            outcomes.append((job, Replies(probabilities[done : done + len(job)], model)))
            done += len(job)
        return outcomes

    def _serve_large(self) -> None:
        """Decode images of many pixels, one after another."""
        while (job := self._large.get()) is not None:
            try:
                if self._decoded(job, self.model, self._settings.max_pixels):
                    self._arrived.put(job)
            except Exception as error:
                outcomes: list[Outcome] = [(job, error)]
                self._loop.call_soon_threadsafe(self._deliver, outcomes)

    def _deliver(self, outcomes: list[Outcome]) -> None:
        """Tell those who asked."""
        if any(isinstance(outcome, Replies) for _, outcome in outcomes):
            self._row.add(f"{self._name}/batches")
        for job, outcome in outcomes:
            if job.future.done():
                continue
            if isinstance(outcome, Replies):
                job.future.set_result(outcome)
            else:
                job.future.set_exception(outcome)
