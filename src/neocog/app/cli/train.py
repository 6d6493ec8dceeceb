"""`neocog train DATA`: from labelled images to a run folder with a trained model. The work is in training.py."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from neocog.app.cli import options, pretrained, processes, published, rejecting
from neocog.app.cli.errors import CommandLineError
from neocog.app.cli.flags import Flags
from neocog.app.cli.loggers import check_loggers, log_flag
from neocog.app.cli.output import emit, print_json
from neocog.app.cli.recipe_flags import defaults_of, model_flag, recipe_flags
from neocog.app.cli.report import report_outcome
from neocog.app.cli.settings import asked_settings, setting_flags, take_settings
from neocog.app.cli.training import begin, resume, run
from neocog.app.cli.verb import Verb
from neocog.app.cli.words import words_given
from neocog.train.named import SCHEDULE_NAMES
from neocog.train.recipe import SCHEDULE, WARMUP

# what a resumed training takes from its checkpoint, and so cannot be given anew, beside settings that say so themselves
FIXED_BY_RESUME = (
    "model",
    "img_size",
    "channels",
    "lr",
    "weight_decay",
    "optimizer",
    "momentum",
    "lookahead",
    "schedule",
    "warmup",
    "label_smoothing",
    "loss",
    "class_weights",
    "views",
    "recipe",
    "pretrained",
    "head_only",
    "batch_norm",
    "output",
    "overwrite",
)


@click.command("train", cls=Verb)
@click.argument("data", type=options.Location(), required=False)
@model_flag
@setting_flags()
@recipe_flags
@click.option(
    "--lr", type=options.RealOption(above=True), help=f"Learning rate.  [default: {defaults_of('learning_rate')}]"
)
@click.option(
    "--schedule",
    type=options.WordOption(tuple(SCHEDULE_NAMES)),
    help=f"How the learning rate moves: plateau lowers it when the loss no longer falls.  [default: {SCHEDULE}]",
)
@click.option(
    "--warmup",
    type=options.RealOption(0, 1),
    metavar="SHARE",
    help="Share of the training in which the learning rate rises.  "
    f"[default: one-cycle: {WARMUP:g}; cosine: 0.05; others: 0]",
)
@published.flag
@pretrained.flags
@click.option("--output", "-o", type=options.Place(), help="Run folder to write.  [default: runs/NAME]")
@click.option("--overwrite", is_flag=True, help="Replace an earlier run in --output.")
@click.option("--resume", "resumed", type=options.Place(), metavar="RUN", help="Continue RUN where it stopped.")
@click.option("--no-report", is_flag=True, help="Leave out report.html.")
@click.option(
    "--views",
    type=options.WordOption(options.VIEWS),
    help="How the model will look at an image: plain, once; flip, at its mirror image too; flip-shift, six times; its "
    "answer is the mean of the logits.  [default: flip where images were mirrored in training, else plain]",
)
@log_flag
@rejecting.flag
@options.as_json
@options.quiet
@click.option("--strict", is_flag=True, help="Refuse to train if any image cannot be read.")
@click.option(
    "--fast-reduce",
    is_flag=True,
    help="With several processes: add gradients up as their library does it; their number then changes the rounding.",
)
@click.pass_context
def command(
    ctx: click.Context, /, data: str | None, resumed: Path | None, no_report: bool, as_json: bool, **rest: object
) -> None:
    """Train a classifier on DATA and write it to a run folder.

    DATA is a folder with one subfolder of images per class (or with train, val and test folders of such subfolders), an
    MNIST or CIFAR-10 folder, an .npz file, a CSV file with the columns path and label (or labels, such as
    cat|dog, or one column of 0 and 1 for each class), tar shards in WebDataset's layout ('photos-{000..099}.tar', or
    a folder of them), Hugging Face's Parquet files, or the word digits.

    Started several times, by torchrun, srun or mpirun, it is one training that all processes share.
    """
    given = take_settings(rest)
    flags = Flags(settings=given, **rest)  # type: ignore[arg-type]  # click gives each the type that its option declares
    check_loggers(flags.log)
    with contextlib.ExitStack() as held:
        world = processes.joined()
        left = processes.left_by_restart(world, flags.output, words_given())
        flags = processes.flags_of(world, flags)
        if left is not None:
            training = resume(left, data, flags, held, world)
        elif resumed is not None:
            _refuse_fixed(ctx)
            training = resume(resumed, data, flags, held, world)
        elif data is None:
            raise CommandLineError("neocog train needs DATA", hint="to try it out: neocog train digits", ctx=ctx)
        else:
            published.check_alone(ctx, flags.recipe)
            training = begin(data, flags, held, world)
        outcome = run(training, flags)
        if outcome is None:  # another process tells how it went
            return
        if not no_report:
            report_outcome(outcome, training.config, quiet=flags.quiet)
    if as_json:
        print_json(outcome.to_json())
    else:
        emit(outcome.to_text())


def _refuse_fixed(ctx: click.Context) -> None:
    fixed = {name: name.replace("_", "-") for name in FIXED_BY_RESUME}
    fixed |= {name: flag.name for name, known, flag in asked_settings() if known.resumed != "asked"}
    for name, flag in fixed.items():
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise CommandLineError(
                f"--{flag} cannot be changed with --resume: training continues with its original settings",
                hint=f"leave --{flag} out, or start a new run without --resume",
                ctx=ctx,
            )
