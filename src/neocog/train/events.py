"""What the training loop tells while it runs; faces read it through callbacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from neocog.engines.base import Array
from neocog.model.network import Network
from neocog.train.clock import seconds_left
from neocog.train.history import History
from neocog.train.trainer import Trainer


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The epoch so far, after one of its steps.

    Arguments:
        step: steps taken in the whole training, this one included.
        images: images of this epoch that were trained on so far.
        loss, accuracy: means over those, or over their pixels.
        batch_loss: of this batch alone.
        learning_rate: of this step.
        seconds: since the epoch began.
    """

    step: int
    images: int
    loss: float
    accuracy: float
    batch_loss: float
    learning_rate: float
    seconds: float

    @property
    def images_per_second(self) -> float:
        """Training speed of the epoch so far."""
        return self.images / self.seconds if self.seconds > 0 else 0.0


@dataclass(slots=True)
class Run:
    """A training under way, as callbacks see it.

    Arguments:
        model: what is trained; reading its parameters copies them out of the engine.
        trainer: takes the steps; holds the learning rate and the gradients.
        history: the epochs done.
        epochs: how many there will be in this phase; None: as many as the time limit lets it.
        images: training images of an epoch.
        epoch: the one under way, from 1.
        time_limit: seconds that the whole training may take; None: no limit.
        best_before: of a resumed training, the weights of `history.best`, as it was then, where they are known.
        phase: what this training is called among several that follow each other; "" where it is alone.
    """

    model: Network
    trainer: Trainer
    history: History
    epochs: int | None
    images: int
    epoch: int = 0
    stop_reason: str = ""
    time_limit: float | None = None
    best_before: Mapping[str, Array] | None = None
    phase: str = ""

    @property
    def done(self) -> int:
        """Epochs of this phase that are done."""
        return len(self.history.of_phase(self.phase))

    @property
    def title(self) -> str:
        """How the epoch under way is called, with its number in its phase."""
        number = self.epoch - len(self.history) + self.done
        name = f"{self.phase}, epoch" if self.phase else "epoch"
        return f"{name} {number}" if self.epochs is None else f"{name} {number}/{self.epochs}"

    def seconds_left(self, images: int = 0, seconds: float = 0.0) -> float | None:
        """Return how long training will still take, with so many images and seconds of the epoch under way done; None
        where that is not known yet.
        """
        of_phase = History(self.history.of_phase(self.phase))
        limit = self.time_limit
        if limit is not None:
            limit -= sum(epoch.seconds for epoch in self.history.epochs if epoch.phase != self.phase)
        return seconds_left(of_phase, self.epochs, limit, self.images, images, seconds)

    def stop(self, reason: str) -> None:
        """End the training after the batch (or epoch) under way; `history.stopped` will say `reason`."""
        self.stop_reason = self.stop_reason or reason
