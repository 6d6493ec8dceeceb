"""Training on a terminal or in a notebook: a bar while an epoch runs, a line when it is done. Elsewhere, lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Never, TextIO

from neocog.errors import SettingError
from neocog.train.callbacks import Callback
from neocog.train.events import BatchResult, Run
from neocog.train.history import EpochResult
from neocog.train.notebook import NotebookDisplay, in_notebook

if TYPE_CHECKING:
    from tqdm import tqdm

LINE_SECONDS = 10.0
"""Seconds between the plain lines of one epoch, at least."""

TOLD_SECONDS = 1.0
"""Seconds between the lines of epochs that are shorter, of a training with several phases."""

REFRESH_SECONDS = 0.1
"""Seconds between two drawings of the bar, at least; a step may take less than a millisecond."""


class Progress(Callback):
    """Show how training goes, on stderr.

    Arguments:
        verbose: 1 draws a bar on a terminal and in a notebook, and writes plain lines elsewhere; 2 always writes plain
            lines, 0 nothing.
        stream: where to; default stderr.
        clock: gives seconds; tests pass their own.
    """

    def __init__(
        self, verbose: int = 1, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if verbose not in (0, 1, 2):
            raise SettingError(f"verbose must be 0, 1 or 2, got {verbose!r}")
        self.verbose = verbose
        self._stream = stream
        self._clock = clock
        self._bar: tqdm[Never] | None = None
        self._shown = 0.0
        self._told = -TOLD_SECONDS
        self._display: NotebookDisplay | None = None

    @property
    def stream(self) -> TextIO:
        """Where it writes: looked up late, since notebooks and tests exchange sys.stderr."""
        return self._stream if self._stream is not None else sys.stderr

    @property
    def _draws(self) -> bool:
        return self.verbose == 1 and self.stream.isatty()

    def _write(self, line: str) -> None:
        if self._display is not None:
            self._display.add(line)
        else:
            print(line, file=self.stream, flush=True)

    def on_train_begin(self, run: Run) -> None:
        """Find out where this is."""
        shown = self.verbose == 1 and self._stream is None and in_notebook()
        self._display = NotebookDisplay(self._clock) if shown else None

    def on_epoch_begin(self, run: Run) -> None:
        """Open the epoch's bar."""
        self._shown = self._clock()
        if self._draws:
            from tqdm import tqdm  # here, since most uses of the package show no bar

            self._bar = tqdm(
                total=run.images,
                desc=run.title,
                unit=" images",
                file=self.stream,
                leave=False,
                mininterval=0,  # how often it is drawn is decided here
                miniters=0,
                dynamic_ncols=True,
            )

    def on_batch_end(self, run: Run, batch: BatchResult) -> None:
        """Move the bar, or write a line when the last one is old."""
        if not self.verbose:
            return
        now = self._clock()
        if self._bar is not None:
            if now - self._shown >= REFRESH_SECONDS or batch.images >= run.images:
                self._shown = now
                left = _left(run.seconds_left(batch.images, batch.seconds))
                self._bar.set_postfix_str(_figures(batch) + left, refresh=False)
                self._bar.update(batch.images - self._bar.n)
        elif self._display is not None:
            self._display.move(_under_way(run, batch), batch.images / run.images)
        elif now - self._shown >= LINE_SECONDS:
            self._shown = now
            self._write(_under_way(run, batch))

    def on_epoch_end(self, run: Run, epoch: EpochResult) -> None:
        """Replace the bar by the epoch's line."""
        self._close()
        now, last = self._clock(), run.done == run.epochs
        if run.phase and not last and epoch.seconds < TOLD_SECONDS and now - self._told < TOLD_SECONDS:
            return  # a head on features does hundreds of epochs a second
        self._told = now
        if self.verbose:
            measured = f"loss {epoch.loss:.4f}, accuracy {epoch.accuracy:.4f}"
            if epoch.val_loss is not None:
                measured += f", val_loss {epoch.val_loss:.4f}, val_accuracy {epoch.val_accuracy:.4f}"
            left = _left(run.seconds_left())
            self._write(
                f"{run.title}: {measured}, {epoch.images_per_second:,.0f} images/s, {epoch.seconds:.1f} s{left}"
            )

    def note(self, text: str) -> None:
        """Say what goes on, in place of the bar."""
        self._close()
        if self.verbose:
            self._write(text)

    def on_train_end(self, run: Run) -> None:
        """Leave a clean line, and say why training ended early."""
        self._close()
        if self.verbose and run.history.stopped not in ("finished", "failed"):
            done = run.done
            of_all = "" if run.epochs in (None, done) else f" of {run.epochs:,}"
            after = f"after {done:,}{of_all} epoch{'' if done == 1 and not of_all else 's'}"
            timely = run.history.stopped == "time limit"  # which is what was asked for, and no fault
            self._write(f"ended on time, {after}" if timely else f"stopped {after}: {run.history.stopped}")
        if self._display is not None:
            self._display.finish()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _left(seconds: float | None) -> str:
    """Say how long training still takes, if that is known, and is a second or more."""
    if seconds is None or seconds < 1:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f", {minutes // 60} h {minutes % 60} min left"
    return f", {minutes} min {rest} s left" if minutes else f", {rest} s left"


def _figures(batch: BatchResult) -> str:
    return f"loss {batch.loss:.4f}, accuracy {batch.accuracy:.4f}"


def _under_way(run: Run, batch: BatchResult) -> str:
    left = _left(run.seconds_left(batch.images, batch.seconds))
    done = f"{run.title}: {batch.images:,}/{run.images:,} images, {_figures(batch)}"
    return f"{done}, {batch.images_per_second:,.0f} images/s{left}"
