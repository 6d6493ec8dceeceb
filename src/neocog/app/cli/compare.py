"""`neocog runs [FOLDER]`: the trainings in a folder, side by side."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import click

from neocog.app.cli import datasets, options
from neocog.app.cli.errors import CommandLineError, warn
from neocog.app.cli.models import MODEL_FILE
from neocog.app.cli.output import emit, format_table, percent, print_json
from neocog.app.cli.verb import Verb
from neocog.app.report.read import read_run
from neocog.errors import NeocogError
from neocog.model.modelfile import load_network
from neocog.model.network import Network
from neocog.nn.parameters import parameters_of
from neocog.text import printable
from neocog.train.runfolder import RunFolder

DEFAULT_FOLDER = Path("runs")
ORDERS = ("name", "accuracy", "time")
SETTINGS = ("model", "img_size", "batch_size", "optimizer", "lr", "seed")
"""Of config.json, told where they differ between the runs."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One training. What its folder does not say is None.

    Arguments:
        run: its folder's name.
        data: what it learnt from.
        test_accuracy, val_accuracy: of its best epoch's model.
        best_epoch, epochs: the number of that epoch, and of all.
        seconds: of all epochs.
        parameters: of the network.
        settings: some of what it was started with.
    """

    run: str
    data: str | None
    test_accuracy: float | None
    val_accuracy: float | None
    val_loss: float | None
    best_epoch: int | None
    epochs: int
    seconds: float | None
    parameters: int
    settings: Mapping[str, Any]

    @property
    def accuracy(self) -> float:
        """What counts: on test images, else on validation images; less than any where neither is known."""
        return next((value for value in (self.test_accuracy, self.val_accuracy) if value is not None), -1.0)


@click.command("runs", cls=Verb)
@click.argument("folder", type=options.Place(), default=DEFAULT_FOLDER)
@click.option("--sort", type=options.WordOption(ORDERS), default="name", show_default=True, help="What comes first.")
@options.as_json
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
def command(folder: Path, sort: str, as_json: bool, as_csv: bool) -> None:
    """Compare the trainings in FOLDER (default: runs) in a table, with the settings in which they differ.

    Accuracies are those that were measured when they were trained: on test images where the data has some, and on
    validation images.
    """
    if as_json and as_csv:
        raise CommandLineError("--json and --csv exclude each other", hint="leave one of the two out")
    runs = read_runs(folder)
    if sort == "accuracy":
        runs.sort(key=lambda run: -run.accuracy)
    elif sort == "time":
        runs.sort(key=lambda run: run.seconds or 0.0)
    if as_json:
        print_json([asdict(run) for run in runs])
    elif as_csv:
        emit(_csv(runs), end="")
    else:
        emit(_table(runs))


def read_runs(folder: Path) -> list[Compared]:
    """Return the trainings that lie in a folder, or the one that it is, by name; damaged ones are told and left out.

    Raises:
        CommandLineError: there is none.
    """
    if not folder.is_dir():
        raise CommandLineError(f"there is no folder {folder}", hint="neocog train DATA makes runs/NAME")
    inside = sorted(path for path in folder.iterdir() if (path / MODEL_FILE).is_file())
    found = [folder] if (folder / MODEL_FILE).is_file() else inside
    if not found:
        raise CommandLineError(
            f"{folder} holds no training: none of its folders has a {MODEL_FILE}", hint="neocog train DATA makes one"
        )
    runs = []
    for path in found:
        try:
            runs.append(_run(path))
        except NeocogError as error:
            warn(f"{path} is left out: {error.message}")
    return runs


def _run(path: Path) -> Compared:
    folder = RunFolder(path)
    model = load_network(folder.best, Network, allow_nonfinite=True)
    config, epochs = read_run(folder, {})
    data, metrics = config.get("data"), model.metrics
    best = metrics.get("epoch")
    return Compared(
        run=path.name,
        data=Path(datasets.located(data)).name if isinstance(data, str) else None,
        test_accuracy=metrics.get("test_accuracy"),
        val_accuracy=metrics.get("val_accuracy"),
        val_loss=metrics.get("val_loss"),
        best_epoch=None if best is None else int(best),
        epochs=len(epochs),
        seconds=sum(epoch["seconds"] or 0.0 for epoch in epochs) if epochs else None,
        parameters=sum(parameter.size for parameter in parameters_of(model.graph)),
        settings={name: config[name] for name in SETTINGS if name in config},
    )


def _differing(runs: list[Compared]) -> list[str]:
    """List the settings that are not the same in all runs."""
    return [name for name in SETTINGS if any(run.settings.get(name) != runs[0].settings.get(name) for run in runs)]


def _table(runs: list[Compared]) -> str:
    differing = _differing(runs)
    head = ("run", "data", "test", "val", "epoch", "time", "parameters", *differing)
    rows = [
        (
            run.run,
            run.data or "-",
            percent(run.test_accuracy),
            percent(run.val_accuracy),
            f"{'-' if run.best_epoch is None else run.best_epoch} of {run.epochs}",
            "-" if run.seconds is None else f"{run.seconds:,.1f} s",
            f"{run.parameters:,}",
            *(_shown(run.settings.get(name)) for name in differing),
        )
        for run in runs
    ]
    return format_table([head, *rows], right=range(2, 7))


def _shown(value: object) -> str:
    if isinstance(value, list):
        return " x ".join(map(str, value))
    return "-" if value is None else printable(str(value))


def _csv(runs: list[Compared]) -> str:
    text = io.StringIO(newline="")
    columns = [entry.name for entry in fields(Compared) if entry.name != "settings"]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*columns, *SETTINGS])
    for run in runs:
        own = ["" if getattr(run, name) is None else getattr(run, name) for name in columns]
        writer.writerow(
            [*own, *("" if run.settings.get(name) is None else _shown(run.settings[name]) for name in SETTINGS)]
        )
    return text.getvalue()
