"""`neocog models`: the networks that go by a name, with what they hold, cost and, if asked, how fast they are here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import click

from neocog.app.cli import options
from neocog.app.cli.datasets import progress_bar
from neocog.app.cli.errors import CommandLineError
from neocog.app.cli.output import emit, format_table, print_json
from neocog.app.cli.verb import Verb
from neocog.nn.summary import summarise
from neocog.nn.zoo import MODELS

USUAL_BATCH = 8  # images


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of the list. Parameters are with as many classes as the network was made for; speed is None unless asked
    for.
    """

    name: str
    height: int
    width: int
    channels: int
    classes: int
    parameters: int
    multiply_adds: int
    images_per_second: float | None

    def cells(self) -> list[str]:
        """Return the line as text, without the speed where there is none."""
        kind = "grey" if self.channels == 1 else "RGB"
        cells = [self.name, f"{self.height} x {self.width} {kind}", f"{self.classes:,}", f"{self.parameters:,}"]
        cells.append(f"{self.multiply_adds:,}")
        return cells if self.images_per_second is None else [*cells, f"{self.images_per_second:,.1f}"]


@click.command("models", cls=Verb)
@click.argument("names", type=options.WordOption(tuple(MODELS), listing="neocog models"), nargs=-1, metavar="[NAME...]")
@click.option("--speed", is_flag=True, help="Measure images per second of a prediction, which takes a while for each.")
@click.option(
    "--batch-size", "-b", type=options.WholeOption(1, 65536), help="Images of a prediction, for --speed.  [default: 8]"
)
@options.threads
@options.as_json
@options.quiet
def command(
    names: tuple[str, ...], speed: bool, batch_size: int | None, threads: int | None, as_json: bool, quiet: bool
) -> None:
    """List the networks that `neocog train --model NAME` knows: their images, parameters and multiply-adds an image.

    Parameters are counted with the number of classes that a network was made for, as papers count them; a training
    makes as many outputs as its data has classes, and takes the size of its images.
    """
    for flag, value in (("--batch-size", batch_size), ("--threads", threads)):
        if value is not None and not speed:
            raise CommandLineError(
                f"{flag} only applies to --speed, which measures images per second",
                hint=f"add --speed, or leave {flag} out",
            )
    chosen = names or tuple(MODELS)
    with progress_bar("measuring", quiet=quiet or not speed, unit="networks") as progress:
        listed = []
        for line in _measured(chosen, batch_size or USUAL_BATCH, threads) if speed else map(_line, chosen):
            listed.append(line)
            progress(len(listed), len(chosen))
    if as_json:
        print_json([asdict(line) for line in listed])
        return
    header = ["name", "made for", "classes", "parameters", "multiply-adds", *(["images/s"] if speed else [])]
    emit(format_table([header, *(line.cells() for line in listed)], right=range(2, len(header))))


def _measured(names: tuple[str, ...], batch_size: int, threads: int | None) -> Iterator[Listed]:
    from neocog.engines.rate import images_per_second  # here, since it loads the compiler, which the list need not

    for name in names:
        yield _line(name, images_per_second(MODELS[name].graph(), batch_size, threads))


def _line(name: str, speed: float | None = None) -> Listed:
    known = MODELS[name]
    rows = summarise(known.graph())
    return Listed(
        name,
        known.image.height,
        known.image.width,
        known.image.channels,
        known.classes,
        sum(row.parameters for row in rows),
        sum(row.multiply_adds for row in rows),
        speed,
    )
