"""Which learning rate to begin with: a short training whose rate rises from step to step, on a copy of the model.

Source: Smith 2017, Cyclical learning rates for training neural networks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from pathlib import Path

from neocog.engines.base import Engine
from neocog.errors import DataError, NeocogError, SettingError
from neocog.model.arguments import check_count
from neocog.model.network import Network
from neocog.model.writing import write_atomically
from neocog.nn.limits import is_number, shown
from neocog.train.settings import TrainingSettings
from neocog.train.source import BatchSource, augmented, sampled
from neocog.train.trainer import Trainer

KEPT = 0.9  # of the running mean of the losses, each step
HOPELESS = 4.0  # times the least loss: no larger rate is tried
WIDTH, HEIGHT, EDGE = 480, 300, 50  # of the picture, and of what is around the curve, pixels


@dataclass(frozen=True, slots=True)
class RateCurve:
    """The loss at each learning rate that was tried, and the one to begin with.

    Arguments:
        rates: learning rates, rising by the same factor from step to step.
        losses: of the batch at each of them, before its step.
        smoothed: their running mean.

    >>> curve = RateCurve((0.01, 0.1, 1.0), (2.0, 1.0, 5.0), (2.0, 1.5, 4.0))
    >>> curve.suggested
    0.01
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]

    @property
    def suggested(self) -> float:
        """A tenth of the best rate: where the loss still falls fast, well before it rises."""
        return self.best / 10.0

    @property
    def best(self) -> float:
        """The rate at which the smoothed loss is least."""
        return self.rates[min(range(len(self.rates)), key=lambda step: self.smoothed[step])]

    def to_svg(self) -> str:
        """Draw the smoothed loss over the learning rate, with a line at the suggested one, as an SVG image."""
        finite = [value for value in self.smoothed if math.isfinite(value)]
        low, high = min(finite), min(max(finite), 2.0 * max(self.smoothed[0], min(finite)))
        first, last = math.log10(self.rates[0]), math.log10(self.rates[-1])

        def across(rate: float) -> float:
            return EDGE + (WIDTH - 2 * EDGE) * (math.log10(rate) - first) / ((last - first) or 1.0)

        def down(loss: float) -> float:
            share = min(1.0, max(0.0, (loss - low) / ((high - low) or 1.0)))
            return HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * share

        pairs = zip(self.rates, self.smoothed, strict=True)
        curve = " ".join(f"{across(rate):.1f},{down(loss):.1f}" for rate, loss in pairs if math.isfinite(loss))
        bottom, mark = HEIGHT - EDGE, min(WIDTH - EDGE, max(EDGE, across(self.suggested)))
        ticks = range(math.ceil(first), math.floor(last) + 1)
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
                ' font-size="11">',
                f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
                f'<path d="M{EDGE} {EDGE}V{bottom}H{WIDTH - EDGE}" fill="none" stroke="#888"/>',
                *(
                    f'<text x="{across(10.0**power):.1f}" y="{bottom + 16}" text-anchor="middle">1e{power}</text>'
                    for power in ticks
                ),
                f'<text x="{EDGE - 6}" y="{bottom}" text-anchor="end">{low:.3g}</text>',
                f'<text x="{EDGE - 6}" y="{EDGE + 4}" text-anchor="end">{high:.3g}</text>',
                f'<text x="{WIDTH / 2}" y="{HEIGHT - 12}" text-anchor="middle">learning rate</text>',
                f'<text x="{EDGE}" y="{EDGE - 14}">loss, smoothed; suggested: {self.suggested:.2g}</text>',
                f'<path d="M{mark:.1f} {EDGE}V{bottom}" stroke="#c33" stroke-dasharray="4 3"/>',
                f'<polyline points="{curve}" fill="none" stroke="#236" stroke-width="2"/>',
                "</svg>\n",
            ]
        )

    def save(self, path: str | Path) -> None:
        """Write the picture, an SVG image.

        Raises:
            NeocogError: the file cannot be written.
        """
        write_atomically(path, self.to_svg().encode())


def lr_find(
    model: Network,
    train: BatchSource,
    settings: TrainingSettings,
    *,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
    threads: int | None = None,
    engine: str | Engine | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> RateCurve:
    """Take steps at learning rates from low to high, on a copy of a model, and return the losses.

    It ends early where the smoothed loss is 4 times the least so far, or no number any more.

    Arguments:
        model: stays as it is.
        train: the batches, taken epoch after epoch.
        settings: optimizer, loss, batch size and all else that a step depends on.
        low, high: the learning rates of the first and the last step.
        steps: how many there are at most.
        threads, engine: of the steps; default: the model's.
        progress: told after each step how many are done, of how many.

    Raises:
        SettingError: rates or steps that are out of range. DataError: there are no images. NeocogError: the loss is no
            number from the beginning.
    """
    if not (is_number(low) and is_number(high) and 0.0 < low < high):
        raise SettingError(f"lr_find: low must be above 0 and below high, got {shown(low)} and {shown(high)}")
    check_count("lr_find: steps", steps)
    if steps < 2:
        raise SettingError("lr_find: steps must be at least 2, got 1")
    if train.images < 1:
        raise DataError("lr_find needs at least one image, got none")
    train = augmented(sampled(train, settings), settings, model.graph)
    trainer = Trainer(copy(model), settings=settings, threads=threads, engine=engine)
    rates: list[float] = []
    losses: list[float] = []
    smoothed: list[float] = []
    running, epoch = 0.0, 0
    while len(rates) < steps:
        for images, labels in train.batches(epoch):
            rate = low * (high / low) ** (len(rates) / (steps - 1))
            trainer.learning_rate = rate
            loss = trainer.step(images, labels)
            running = KEPT * running + (1.0 - KEPT) * loss
            mean = running / (1.0 - KEPT ** (len(rates) + 1))  # it began at 0
            if not math.isfinite(mean) or (smoothed and mean > HOPELESS * max(min(smoothed), 1e-6)):
                if not rates:
                    raise NeocogError(f"lr_find: the loss must be finite, got {loss}", hint="look at the images")
                return RateCurve(tuple(rates), tuple(losses), tuple(smoothed))
            rates.append(rate)
            losses.append(loss)
            smoothed.append(mean)
            if progress is not None:
                progress(len(rates), steps)
            if len(rates) == steps:
                break
        epoch += 1
    return RateCurve(tuple(rates), tuple(losses), tuple(smoothed))
