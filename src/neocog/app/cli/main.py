"""`neocog VERB …`: the entry point. It knows the verbs by name and imports one only when it is used.

So `neocog --help` answers at once: this file loads click and the error tree, and neither numpy nor an engine.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from typing import Any, cast

import click

from neocog.app.cli.errors import SUCCESS, CommandLineError, nearest, run_reported, warn
from neocog.app.cli.output import prepare_streams
from neocog.app.cli.words import keep_words
from neocog.errors import NeocogWarning
from neocog.interrupts import signals_raised
from neocog.resources import NUMPY_BYTES, require_memory

# verb → (module, one line for the help page); in the order of a first acquaintance
VERBS: dict[str, tuple[str, str]] = {
    "train": ("neocog.app.cli.train", "Train a classifier on a folder of images or a data set."),
    "evaluate": ("neocog.app.cli.evaluate", "Measure the accuracy of a trained model on labelled images."),
    "predict": ("neocog.app.cli.predict", "Classify images."),
    "calibrate": ("neocog.app.cli.calibrate", "Fit a model's probabilities on images that it was not trained on."),
    "quantise": ("neocog.app.cli.quantise", "Prepare a model for predictions in int8."),
    "explain": ("neocog.app.cli.explain", "Show what a model computes, down to each multiplication."),
    "serve": ("neocog.app.cli.serve", "Answer other programs over HTTP."),
    "report": ("neocog.app.cli.report", "Write what a training came to, with pictures, to one HTML file."),
    "import": ("neocog.app.cli.importing", "Make a model of weights from elsewhere, or of an ONNX file."),
    "export": ("neocog.app.cli.export", "Write a model as a file that other programs run."),
    "verify": ("neocog.app.cli.verify", "Have exported machine code answer images, and compare."),
    "runs": ("neocog.app.cli.compare", "Compare the trainings in a folder."),
    "info": ("neocog.app.cli.info", "Describe a model or a data set."),
    "models": ("neocog.app.cli.zoo", "List the known networks, with their size and speed."),
    "lr-find": ("neocog.app.cli.lr_find", "Find a learning rate to begin with."),
    "check": ("neocog.app.cli.check", "Find damaged, duplicate and suspicious images."),
    "push": ("neocog.app.cli.push", "Send a trained model to a hub, such as huggingface.co."),
    "bench": ("neocog.app.cli.bench", "Measure how fast this machine trains and predicts."),
}

SYNONYMS = {
    "val": "evaluate",
    "eval": "evaluate",
    "test": "evaluate",
    "benchmark": "bench",
    "fit": "train",
    "see": "explain",
    "show": "explain",
    "zoo": "models",
    "upload": "push",
    "publish": "push",
    "server": "serve",
    "deploy": "serve",
    "quantize": "quantise",
    "int8": "quantise",
}

EXAMPLES = """\b
Start here:
  neocog train digits                      train on a small data set that comes with neocog
  neocog train PHOTOS                      train on a folder with one subfolder of images per class
  neocog predict runs/PHOTOS a.jpg b.jpg   classify two images
  neocog explain runs/PHOTOS a.jpg         see what the network computes for an image
"""


class Verbs(click.Group):
    """A group whose commands are modules, each imported when its verb is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        require_memory(NUMPY_BYTES, "loading NumPy")
        module = importlib.import_module(VERBS[cmd_name][0])
        return cast(click.Command, module.command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, line) for verb, (_, line) in VERBS.items()])

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        words = list(args)  # which parsing takes away
        ctx = super().make_context(info_name, args, parent, **extra)
        keep_words(ctx, words)
        return ctx

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # the reader, such as head, has all that it wanted; click would call it a failure
            ctx.exit(SUCCESS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]
        if word in VERBS or word.startswith("-"):
            return super().resolve_command(ctx, args)
        guess = SYNONYMS.get(word) or nearest(word, VERBS)
        hint = f"did you mean neocog {guess}?" if guess else f"the verbs are {', '.join(VERBS)}"
        raise CommandLineError(f"there is no verb {word!r}", hint=hint, ctx=ctx)


def _version(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from neocog import __version__  # costs 30 ms, which --help need not pay

        click.echo(f"neocog {__version__}")
        ctx.exit()


@click.group(
    cls=Verbs,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EXAMPLES,
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_version,
    help="Show the version and exit.",
)
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Train, use and look inside convolutional neural networks, compiled for this machine.

    Options can be written --epochs 5, --epochs=5 or epochs=5. Results go to stdout, progress to stderr. Exit codes:
    0 success, 1 a failed check or run, 2 a mistake on the command line, 130 interrupted by Ctrl-C (143 by SIGTERM, 129
    by SIGHUP). NEOCOG_DEBUG=1 shows where an error arose.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def _show(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: str | None = None,
) -> None:
    """Tell a warning as a message of this command line's, without the place in the code that gave it."""
    warn(getattr(message, "message", str(message)), hint=getattr(message, "hint", None))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line on `arguments` (default: those of this process) and exit with its code."""
    prepare_streams()
    warnings.simplefilter("ignore")  # of libraries, for developers; what a user should know is told as a message
    warnings.simplefilter("default", NeocogWarning)
    warnings.showwarning = _show
    words = list(sys.argv[1:] if arguments is None else arguments)

    def command() -> object:
        with signals_raised():
            return cli.main(words, prog_name="neocog", standalone_mode=False)

    sys.exit(run_reported(command))


if __name__ == "__main__":
    main()
