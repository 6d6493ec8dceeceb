"""How a verb finds its MODEL: a model file, a run folder that holds one, an ONNX file, or a model on a hub."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from neocog.app.cli import options
from neocog.app.cli.errors import CommandLineError, nearest, note
from neocog.interop.hub.repository import PREFIX, names_a_hub, names_a_repository

if TYPE_CHECKING:
    from neocog.engines.precision import Precision
    from neocog.model.network import Network
    from neocog.model.views import Views

MODEL_FILE = "model.safetensors"

argument = click.argument("model", type=options.Place())


def find_model(path: Path) -> Path:
    """Return the model file that `path` names: itself, the best model of a run folder, or that in a hub's cache.

    Raises:
        CommandLineError: there is none.
        NeocogError: the hub has none, or cannot be reached.
    """
    if names_a_hub(str(path)):
        from neocog.interop.hub.load import file_from_hub

        return file_from_hub(str(path), quiet=_quiet())
    if path.is_dir():
        if (path / MODEL_FILE).is_file():
            return path / MODEL_FILE
        raise CommandLineError(
            f"{path} is neither a model file nor a run folder (it has no {MODEL_FILE})",
            hint="; ".join([*_usage(), "neocog train DATA makes one"]),
        )
    if path.exists():
        return path
    raise CommandLineError(f"there is no model {path}", hint=_suggestion(path))


def own_file(path: Path) -> Path:
    """Return `find_model(path)`, to be written to, or beside it.

    Raises:
        CommandLineError: there is none, or it is in a hub's cache, where nothing else may lie.
    """
    if names_a_hub(str(path)):
        context = click.get_current_context(silent=True)
        there = context is not None and any(entry.name == "output" for entry in context.command.params)
        hint = "say where with --output" if there else "fetch it in Python: nc.from_hub(...).save(path)"
        raise CommandLineError(f"{path} lies on a hub, where nothing is written", hint=hint)
    return find_model(path)


def _quiet() -> bool:
    """Whether the command that runs was told to hide progress."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.params.get("quiet"))


def _usage() -> list[str]:
    """Say where the command that runs takes its model: nothing where that is no argument of it."""
    context = click.get_current_context(silent=True)
    arguments = [entry for entry in context.command.params if isinstance(entry, click.Argument)] if context else []
    if context is None or not arguments:
        return []
    first, *others = [entry.human_readable_name for entry in arguments]
    return [f"{first} comes first, as in: {' '.join([context.command_path, 'runs/NAME', *others])}"]


def _suggestion(path: Path) -> str:
    try:
        beside = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        beside = []
    guess = nearest(path.name, beside)
    if guess is not None:
        return f"did you mean {path.parent / guess}?"
    if names_a_repository(str(path)):
        return f"if a model on a hub is meant: {PREFIX}{path}"
    runs = sorted(Path("runs").glob(f"*/{MODEL_FILE}"), key=os.path.getmtime)
    return f"the latest is {runs[-1].parent}" if runs else "neocog train DATA makes one"


def open_model(
    path: Path,
    engine: str,
    threads: int | None,
    *,
    precision: Precision | None = None,
    allow_nonfinite: bool = False,
) -> Network:
    """Read the model that `path` names.

    Arguments:
        path: MODEL, as given.
        engine, threads: what it shall run on.
        precision: what it shall compute with; None for verbs that have no --precision.
        allow_nonfinite: take weights that are NaN or infinite, for verbs that show what a model is.
    """
    model = _opened(path, engine, threads, allow_nonfinite=allow_nonfinite)
    if precision is not None:
        model.precision = precision
        if precision == "float32" and engine == "native" and not _quiet():
            tell_of_tiles()
    return model


def tell_of_tiles() -> None:
    """Say what --precision auto would change, where it changes anything.

    Nothing is asked of the system for it: who computes with float32 runs as ever.
    """
    from neocog.engines.precision import has_instructions

    with contextlib.suppress(ImportError, OSError):  # of the compiler: what is wrong is told when it is needed
        if has_instructions():
            note("--precision auto would multiply in bfloat16, which this processor has instructions for (AMX)")


def _opened(path: Path, engine: str, threads: int | None, *, allow_nonfinite: bool) -> Network:
    if names_a_hub(str(path)):
        from neocog.interop.hub.load import from_hub
        from neocog.model.arguments import check_names

        model = from_hub(str(path), engine=engine, threads=threads, quiet=_quiet())
        if model.class_names == check_names(None, model.graph.classes) and not _quiet():
            note(f"{path} does not say what its classes are called: they are numbers from 0 on")
        return model
    from neocog.interop.opening import open_network

    return open_network(find_model(path), engine=engine, threads=threads, allow_nonfinite=allow_nonfinite)


def take_views(model: Network, views: Views | None, *, quiet: bool) -> None:
    """Make a model look at images as `--views` asks; None leaves it as its file says.

    What was fitted to its probabilities was so with its own views, and stays; that is told.
    """
    own = model.views
    if views is None or views == own:
        return
    model.views = views
    fitted = {
        "temperature": model.calibration is not None,
        "threshold of unknown": model.reject_below is not None,
        "thresholds of labels": model.thresholds is not None,
    }
    known = [name for name, there in fitted.items() if there]
    if known and not quiet:
        note(
            f"its {' and '.join(known)} {'was' if known == ['temperature'] else 'were'} fitted with views {own}; "
            f"neocog calibrate --views {views} fits anew"
        )
