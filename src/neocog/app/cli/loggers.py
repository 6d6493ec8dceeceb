"""`neocog train --log`: trackers of experiments that hear of every epoch."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from neocog.app.cli import options
from neocog.interop.trackers import MLflow, TensorBoard, Tracker
from neocog.train.callbacks import Callback

log_flag = click.option(
    "--log",
    type=options.WordOption(("tensorboard", "mlflow", "wandb", "trackio")),
    multiple=True,
    metavar="TRACKER",
    help="Tell tensorboard, mlflow, wandb or trackio of every epoch, too. Can be given several times.",
)


def loggers_of(names: tuple[str, ...], folder: Path, project: str, config: Mapping[str, object]) -> list[Callback]:
    """Return the callbacks of some trackers.

    Arguments:
        names: of the trackers.
        folder: of the run, whose name is the run's.
        project: what its runs are listed under: the name of the data.
        config: what the training was started with.

    Raises:
        NeocogError: a package is not installed.
    """
    return [_logger(name, folder, project, config) for name in dict.fromkeys(names)]


def check_loggers(names: tuple[str, ...]) -> None:
    """Raise NeocogError if a package is not installed: reading the images may take minutes."""
    loggers_of(names, Path(), "", {})


def _logger(name: str, folder: Path, project: str, config: Mapping[str, object]) -> Callback:
    if name == "tensorboard":
        return TensorBoard(folder / "tensorboard", config)
    if name == "mlflow":
        return MLflow(project, folder.name, config)
    options: dict[str, Any] = {"dir": str(folder)} if name == "wandb" else {}
    return Tracker(name, project, folder.name, config, **options)


@contextlib.contextmanager
def heard_on_stderr(names: tuple[str, ...]) -> Iterator[None]:
    """Send what trackers print to stderr while the body runs: stdout is for what programs read."""
    with contextlib.redirect_stdout(sys.stderr) if names else contextlib.nullcontext():
        yield
