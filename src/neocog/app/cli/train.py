"""`neocog train DATA`: from labelled images to a run folder with a trained model. The work is in training.py."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from neocog.app.cli import options
from neocog.app.cli.errors import CommandLineError
from neocog.app.cli.output import emit, print_json
from neocog.app.cli.training import Flags, begin, resume, run
from neocog.nn.zoo import MODELS
from neocog.train import recipe

# what a resumed training takes from its checkpoint, and so cannot be given anew
FIXED_BY_RESUME = (
    "model",
    "batch_size",
    "img_size",
    "channels",
    "lr",
    "weight_decay",
    "optimizer",
    "momentum",
    "label_smoothing",
    "seed",
    "output",
    "overwrite",
)


@click.command("train", cls=options.Verb)
@click.argument("data", type=options.Location(), required=False)
@click.option(
    "--model", type=options.OneOf(("auto", *MODELS)), default="auto", show_default=True, help="Network to train."
)
@click.option(
    "--epochs",
    type=options.Whole(1),
    help="Passes over the training images.  [default: enough to show 100,000 images; at least 10, at most 40]",
)
@options.batch_size
@click.option(
    "--img-size",
    type=options.ImageSize(),
    metavar="N|HxW",
    help="Size that images are resized to, in pixels.  [default: their own size up to 128; else 32, 64 or 96]",
)
@click.option("--channels", type=options.OneOf(("1", "3")), help="1 (grey) or 3 (RGB).  [default: as in the images]")
@click.option("--lr", type=options.Real(above=True), help="Learning rate.  [default: 0.001; sgd: 0.05]")
@click.option("--weight-decay", type=options.Real(), help="L2 penalty on the weights.  [default: 0; adamw: 0.01]")
@click.option(
    "--optimizer",
    type=options.OneOf(tuple(recipe.LEARNING_RATES)),
    default="adam",
    show_default=True,
    help="Optimizer.",
)
@click.option("--momentum", type=options.Real(0, 1), help="Momentum of sgd.  [default: 0.9]")
@click.option(
    "--label-smoothing",
    type=options.Real(0, 1),
    default=0.0,
    show_default=True,
    help="Label smoothing: the share of each target that is spread evenly over all classes.",
)
@click.option(
    "--seed",
    type=options.Whole(0, 2**63 - 1),
    default=0,
    show_default=True,
    help="Random seed: the same seed gives the same result.",
)
@click.option("--patience", type=options.Whole(1), help="Stop after N epochs without improvement.")
@click.option(
    "--time", "minutes", type=options.Real(above=True), metavar="MINUTES", help="Train for this many minutes."
)
@options.threads
@options.workers
@options.engine
@click.option("--output", "-o", type=options.Place(), help="Run folder to write.  [default: runs/NAME]")
@click.option("--overwrite", is_flag=True, help="Replace an earlier run in --output.")
@click.option("--resume", "resumed", type=options.Place(), metavar="RUN", help="Continue RUN where it stopped.")
@options.as_json
@options.quiet
@click.option("--strict", is_flag=True, help="Refuse to train if any image cannot be read.")
@click.pass_context
def command(ctx: click.Context, /, data: str | None, resumed: Path | None, as_json: bool, **rest: object) -> None:
    """Train a classifier on DATA and write it to a run folder.

    DATA is a folder with one subfolder of images per class (or with train, val and test folders of such subfolders), an
    MNIST or CIFAR-10 folder, an .npz file, a CSV file with the columns path and label, or the word digits.
    """
    flags = Flags(**rest)  # type: ignore[arg-type]  # click gives each the type that its option declares
    with contextlib.ExitStack() as held:
        if resumed is not None:
            _refuse_fixed(ctx)
            training = resume(resumed, data, flags, held)
        elif data is None:
            raise CommandLineError("neocog train needs DATA", hint="to try it out: neocog train digits", ctx=ctx)
        else:
            training = begin(data, flags, held)
        outcome = run(training, flags)
    if as_json:
        print_json(outcome.to_json())
    else:
        emit(outcome.to_text())


def _refuse_fixed(ctx: click.Context) -> None:
    for name in FIXED_BY_RESUME:
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            flag = name.replace("_", "-")
            raise CommandLineError(
                f"--{flag} cannot be changed with --resume: training continues with its original settings",
                hint=f"leave --{flag} out, or start a new run without --resume",
                ctx=ctx,
            )
