import io

import pytest

from neocog.errors import SettingError
from neocog.train.events import BatchResult, Run
from neocog.train.history import EpochResult, History
from neocog.train.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def told(progress: Progress, clock: list[float], batches: int = 4, stopped: str = "finished") -> None:
    """Tell of one epoch whose batches come 4 s apart."""
    run = Run(None, None, History(), 2, 64 * batches)
    progress.on_train_begin(run)
    run.epoch = 1
    progress.on_epoch_begin(run)
    for step in range(1, batches + 1):
        clock[0] += 4.0
        progress.on_batch_begin(run)
        progress.on_batch_end(run, BatchResult(step, 64 * step, 0.5, 0.75, 0.4, 0.001, 4.0 * step))
    epoch = EpochResult(1, 0.5, 0.75, 0.6, 0.7, 0.001, 17.0, 16.0)
    run.history.epochs.append(epoch)
    progress.on_epoch_end(run, epoch)
    run.history.stopped = stopped
    progress.on_train_end(run)


def shown(stream: io.StringIO, verbose: int = 1, **settings) -> str:
    clock = [0.0]
    told(Progress(verbose, stream, lambda: clock[0]), clock, **settings)
    return stream.getvalue()


def test_lines_come_every_ten_seconds_and_after_each_epoch():
    assert shown(io.StringIO()).splitlines() == [
        "epoch 1/2: 192/256 images, loss 0.5000, accuracy 0.7500, 16 images/s, 20 s left",
        "epoch 1/2: loss 0.5000, accuracy 0.7500, val_loss 0.6000, val_accuracy 0.7000, 16 images/s, 17.0 s, 17 s left",
    ]


def test_a_terminal_gets_a_bar_that_goes_and_a_line_that_stays():
    text = shown(Terminal())
    assert "epoch 1/2:" in text
    assert "256/256" in text
    assert "images/s" in text
    assert "loss 0.5000, accuracy 0.7500" in text
    assert text.splitlines()[-1].endswith("16 images/s, 17.0 s, 17 s left")


def test_plain_lines_can_be_had_on_a_terminal():
    assert shown(Terminal(), verbose=2) == shown(io.StringIO())


def test_silence_is_silent():
    assert shown(Terminal(), verbose=0) == ""


def test_an_early_end_says_why():
    assert shown(io.StringIO(), stopped="patience").splitlines()[-1] == "stopped after 1 of 2 epochs: patience"


def test_an_end_that_was_asked_for_is_no_early_one():
    assert shown(io.StringIO(), stopped="time limit").splitlines()[-1] == "ended on time, after 1 of 2 epochs"


def test_progress_goes_to_stderr(capsys, make_model, toy):
    make_model().fit(*toy, epochs=2)
    text = capsys.readouterr()
    assert text.out == ""
    assert len(text.err.splitlines()) == 2


def test_verbose_is_checked():
    with pytest.raises(SettingError, match="verbose must be 0, 1 or 2"):
        Progress(3)
