"""What the training loop needs of the processes that share it: their part of the images, and to be of one mind.

Everything here is done by all processes at the same points, since each waits for the others.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import cast

import numpy as np

from neocog.engines.base import Array, Engine
from neocog.engines.sharing import slices_for
from neocog.engines.targets import check_targets
from neocog.errors import DataError, NeocogError, SettingError
from neocog.model.network import Network
from neocog.nn.graph import Graph
from neocog.nn.losses import Loss
from neocog.nn.share import Share
from neocog.nn.slicing import Slicing
from neocog.ranks.gather import from_first, gathered, gathered_lists
from neocog.ranks.world import Alone, LostProcessError, World, check_world
from neocog.train.clock import Clock
from neocog.train.history import History
from neocog.train.metrics import count_right, losses_of
from neocog.train.runfolder import RunFolder
from neocog.train.settings import TrainingSettings, to_json
from neocog.train.source import Batch, BatchSource, SharedSource, Step, epoch_of
from neocog.train.trainer import Trainer

MEASURED_AT_ONCE = 64
"""Images that are measured together: always as many, so that an image gets the same bits whoever measures it."""


def with_slices(settings: TrainingSettings, world: World | None, engine: str | Engine) -> TrainingSettings:
    """Return settings that say how steps are cut where they must be: among processes, or with statistics of a whole
    batch of slices.
    """
    if settings.slices is not None or (world is None and not settings.sync_bn):
        return settings
    return replace(settings, slices=slices_for(engine, settings.batch_size, 1 if world is None else world.size))


def lost(error: LostProcessError, epochs: int, folder: RunFolder | None) -> LostProcessError:
    """Return the error that ends a training whose processes are not all there any more, with what is kept of it."""
    where = "by the first process" if folder is None else f"in {folder.last}"
    kept = f"kept: epoch {epochs}, {where}" if epochs else "kept: nothing, since no epoch was finished"
    return LostProcessError(
        error.message,
        details=(*error.details, kept),
        hint="go on from there with --resume (in Python: resume=folder.load_last()); torchrun --max-restarts does so",
    )


class Together:
    """A training that several processes share; one alone takes the same steps.

    Arguments:
        world: the processes; None: this one alone.
        settings: of the training, with slices.
        batch_size: the most images of a step.
    """

    def __init__(self, world: World | None, settings: TrainingSettings, batch_size: int) -> None:
        assert settings.slices is not None, "processes share slices"
        self.world: World = Alone() if world is None else check_world(world)
        self._settings = settings
        self._share = Share(Slicing(settings.slices, settings.sync_bn), batch_size, self.world.rank, self.world.size)

    @property
    def first(self) -> bool:
        """Whether this process writes files and tells how it goes."""
        return self.world.rank == 0

    def part_of(self, source: BatchSource, graph: Graph) -> SharedBatches:
        """Return this process's part of the batches to train on."""
        return SharedBatches(source, self._share, graph)

    def check_alike(self, model: Network, memory: Mapping[str, Array], images: int, trainer: Trainer) -> None:
        """Make sure that all processes begin with the same.

        Arguments:
            model: what learns.
            memory: of the optimizer.
            images: to train on.
            trainer: what takes the steps.

        Raises:
            NeocogError: they do not; the message says in what.
        """
        told = {
            "settings": json.dumps(to_json(self._settings), sort_keys=True).encode(),
            "networks": repr(model.graph.nodes).encode(),
            "weights": b"".join(value.tobytes() for value in model.parameters.values()),
            "states of the optimizer": b"".join(memory[name].tobytes() for name in sorted(memory)),
            "numbers of images": str(images).encode(),
            "numbers of steps done": str(trainer.steps).encode(),
            "precisions": trainer.precision.encode(),  # "auto" is another on another processor
        }
        own = np.frombuffer(b"".join(hashlib.sha256(value).digest() for value in told.values()), np.uint8)
        digests = gathered(self.world, own).reshape(self.world.size, len(told), -1)
        for number, what in enumerate(told):
            others = np.flatnonzero((digests[:, number] != digests[0, number]).any(axis=1)).tolist()
            if others:
                raise NeocogError(
                    f"the processes of a training must begin alike, but have different {what}",
                    details=(f"other than process 0: {', '.join(map(str, others))}",),
                    hint="give all of them the same command, data and files",
                )

    def total(self, *numbers: int) -> list[int]:
        """Return the sums of whole numbers over all processes."""
        return [int(total) for total in gathered(self.world, np.array(numbers, np.int64)).sum(axis=0)]

    def told(self, text: str) -> str:
        """Return a text of the first process: why it wants to stop, if it does."""
        return from_first(self.world, lambda: text)

    def clock(self, history: History) -> Clock:
        """Return a clock that says the same in all processes."""
        return _SharedClock(self._settings.time_limit, history, self.world)

    def measure(self, model: Network, source: BatchSource, loss: Loss) -> tuple[float, float]:
        """Return loss and accuracy over all images, as `neocog.train.evaluation` has them; each process looks at some.

        Raises:
            DataError: there are no images.
        """
        losses: list[float] = []
        counts: list[float] = []
        right = answers = 0
        for images, labels in self._to_measure(source):
            logits = model(images, batch_size=MEASURED_AT_ONCE)
            targets = check_targets(model.graph, loss, labels, len(logits))
            of_images, count = losses_of(loss, logits.astype(np.float64), targets)
            losses += of_images.tolist()
            counts += count.tolist()
            of_batch = count_right(loss, logits, targets)
            right, answers = right + of_batch[0], answers + of_batch[1]
        # fsum rounds once, so that it does not matter who has which image
        total, counted = (math.fsum(gathered_lists(self.world, np.array(one)).tolist()) for one in (losses, counts))
        right, answers = self.total(right, answers)
        if not answers:
            raise DataError("an evaluation needs at least one image, got none")
        return total / counted if counted else 0.0, right / answers

    def _to_measure(self, source: BatchSource) -> Iterator[Batch]:
        world, size = self.world, getattr(source, "batch_size", None)
        if size is not None and hasattr(source, "shared"):
            part = cast(SharedSource, source).shared(Share(Slicing(world.size), size, world.rank, world.size))
            with epoch_of(part, 0) as batches:
                yield from batches
            return
        with epoch_of(source, 0) as batches:
            for number, batch in enumerate(batches):
                if number % world.size == world.rank:
                    yield batch


class _SharedClock(Clock):
    """The clock of the first process."""

    def __init__(self, limit: float | None, history: History, world: World) -> None:
        super().__init__(limit, history)
        self._world = None if limit is None else world

    def share(self) -> float:
        """Return how much of the time for steps is over, as the first process has it."""
        own = super().share()
        return own if self._world is None else float(gathered(self._world, np.array([own]))[0, 0])


class SharedBatches:
    """A process's part of the batches to train on.

    A source that cannot give it alone (`SharedSource`) gives whole batches, which are cut here.
    """

    def __init__(self, source: BatchSource, share: Share, graph: Graph) -> None:
        self._source, self._share, self._graph = source, share, graph
        self._shared: BatchSource | None = None
        if hasattr(source, "shared"):
            size = getattr(source, "batch_size", share.batch)
            if min(size, source.images) != min(share.batch, source.images):
                raise SettingError(
                    f"batches of {size} images cannot be shared as steps of {share.batch}",
                    hint=f"train with batch_size={size}",
                )
            self._shared = cast(SharedSource, source).shared(share)

    @property
    def images(self) -> int:
        """Number of images of an epoch, of all processes."""
        return self._source.images

    def batches(self, epoch: int) -> Iterator[Step]:
        """Return this process's part of each batch of an epoch, which may be empty, and how many images all have."""
        source = self._source if self._shared is None else self._shared
        with epoch_of(source, epoch) as given:
            yield from self._cut(given) if self._shared is None else self._checked(given)

    def _cut(self, batches: Iterator[Batch]) -> Iterator[Step]:
        for images, labels in batches:
            places = self._share.within(len(images))
            here = slice(places.start, places.stop)
            yield images[here], labels[here], len(images)

    def _checked(self, batches: Iterator[Batch]) -> Iterator[Step]:
        shape = self._graph.input
        nothing: Batch = (
            np.zeros((0, shape.height, shape.width, shape.channels), np.uint8),
            np.zeros((0, *self._graph.answer_shape[:-1]), np.int64),
        )
        for start in range(0, self.images, self._share.batch):
            whole = min(self._share.batch, self.images - start)
            wanted = len(self._share.within(whole))
            images, labels = next(batches, nothing) if wanted else nothing
            if len(images) != wanted:
                raise DataError(
                    f"process {self._share.rank} expected {wanted} images of a batch, and could read {len(images)}",
                    hint="images that cannot be read must be known before a training that processes share begins",
                )
            nothing = images[:0], labels[:0]
            yield images, labels, whole
