"""`neocog lr-find DATA`: a learning rate to begin with, and the curve that it is read from."""

from __future__ import annotations

import math
import shlex
from dataclasses import replace
from pathlib import Path

import click

from neocog.app.cli import options
from neocog.app.cli.compiling import told_of_compiling
from neocog.app.cli.datasets import progress_bar
from neocog.app.cli.errors import CommandLineError
from neocog.app.cli.flags import Flags
from neocog.app.cli.output import emit, format_table, print_json
from neocog.app.cli.plan import decide, plan
from neocog.app.cli.recipe_flags import model_flag, recipe_flags
from neocog.app.cli.settings import setting_flags, take_settings
from neocog.app.cli.training import source_of
from neocog.app.cli.verb import Verb
from neocog.text import printable
from neocog.train.lr_find import RateCurve, lr_find

OF_WHOLE_TRAININGS = ("epochs", "patience", "time_limit", "ema")  # settings that no single step depends on
ROWS = 15  # of the curve on a terminal
BAR = 40  # characters of its longest bar


@click.command("lr-find", cls=Verb)
@click.argument("data", type=options.Location())
@model_flag
@setting_flags(without=OF_WHOLE_TRAININGS)
@recipe_flags
@click.option(
    "--low", type=options.RealOption(above=True), default=1e-6, show_default=True, help="First learning rate."
)
@click.option(
    "--high", type=options.RealOption(above=True), default=10.0, show_default=True, help="Last learning rate."
)
@click.option("--steps", type=options.WholeOption(2), default=100, show_default=True, help="Number of steps, at most.")
@click.option("--output", "-o", type=options.Place(), help="Draw the curve into this file, an SVG image.")
@options.as_json
@options.quiet
@click.option("--strict", is_flag=True, help="Refuse to begin if any image cannot be read.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    data: str,
    low: float,
    high: float,
    steps: int,
    output: Path | None,
    as_json: bool,
    quiet: bool,
    **rest: object,
) -> None:
    """Find a learning rate for a training on DATA: take steps at rates that rise, and see where the loss is least.

    The suggestion is a tenth of that rate, where the loss still falls fast (Smith 2017). It holds for the network, the
    optimizer and the batch size that it was found with; nothing is kept of the training. DATA is as in neocog train.
    """
    if low >= high:
        raise CommandLineError(f"--low must be below --high, got {low:g} and {high:g}", ctx=ctx)
    if output is not None and not output.absolute().parent.is_dir():
        raise CommandLineError(f"there is no folder {output.parent} to write {output.name} into")
    given = take_settings(rest)
    of_trainings = {
        "lr": None,
        "schedule": "constant",
        "warmup": None,
        "views": None,
        "output": None,
        "overwrite": False,
    }
    flags = Flags(settings=given, quiet=quiet, **of_trainings, **rest)  # type: ignore[arg-type]  # as in train.py
    splits, _, model, settings, _ = decide(plan(data, flags), flags)
    settings = replace(settings, ema=None)  # no single step depends on it
    source = source_of(splits.train, model, settings, flags)
    with told_of_compiling(quiet=quiet), progress_bar("trying", quiet=quiet, unit="steps") as progress:
        curve = lr_find(
            model,
            source,
            settings,
            low=low,
            high=high,
            steps=steps,
            threads=flags.threads,
            engine=flags.engine,
            progress=progress,
        )
    if output is not None:
        curve.save(output)
    if as_json:
        names = ("suggested", "best", "rates", "losses", "smoothed")
        print_json({name: getattr(curve, name) for name in names})
    else:
        emit(_text(curve, data, output, _other_words(ctx)))


def _other_words(ctx: click.Context) -> list[str]:
    """Return the flags that a training shares with this command, as they were given."""
    own = ("data", "low", "high", "steps", "output", "as_json", "quiet", "strict")
    words = []
    for option in ctx.command.params:
        given = ctx.get_parameter_source(option.name or "") is click.core.ParameterSource.COMMANDLINE
        if option.name in own or not given:
            continue
        value = ctx.params[option.name or ""]
        if isinstance(value, tuple):
            value = ("x" if option.name == "img_size" else ",").join(map(str, value))
        words += [option.opts[0], str(value)]
    return words


def _text(curve: RateCurve, data: str, output: Path | None, words: list[str]) -> str:
    rate = f"{curve.suggested:.2g}"
    again = ["neocog", "train", data, "--lr", rate, *words]
    rows = [
        ("suggested", rate),
        ("because", f"a tenth of {curve.best:.2g}, at which the smoothed loss is least"),
        *([("curve", printable(str(output)))] if output is not None else []),
        ("next", printable(shlex.join(again))),
    ]
    return f"{_drawn(curve)}\n\n{format_table(rows)}"


def _drawn(curve: RateCurve) -> str:
    """Draw the smoothed loss as bars from the least loss up, one for each of a few rates."""
    last = len(curve.rates) - 1
    places = sorted({round(last * row / (ROWS - 1)) for row in range(ROWS)} | {curve.rates.index(curve.best)})
    least, most = min(curve.smoothed), max(curve.smoothed[place] for place in places)
    rows = [["learning rate", "loss", ""]]
    for place in places:
        loss = curve.smoothed[place]
        share = (loss - least) / (most - least) if most > least else 0.0
        told = "least" if curve.rates[place] == curve.best else "#" * max(1, math.ceil(share * BAR))
        rows.append([f"{curve.rates[place]:.1e}", f"{loss:.4f}", told])
    return format_table(rows, right=(0, 1))
