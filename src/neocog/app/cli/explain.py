"""`neocog explain MODEL [IMAGE]`: see inside, down to each multiplication."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import webbrowser
from pathlib import Path

import click
import numpy as np

from neocog.app.cli import datasets, models, options
from neocog.app.cli.compiling import told_of_compiling
from neocog.app.cli.errors import CommandLineError, warn
from neocog.app.cli.output import emit
from neocog.app.page.server import PageServer
from neocog.app.page.session import FIRST, Gallery, Input, Session
from neocog.data.dataset import Dataset, Source
from neocog.errors import FormatError, NeocogError
from neocog.explain.lesson import lesson_image, lesson_model
from neocog.explain.subject import Subject
from neocog.train.model import Model
from neocog.train.runfolder import read_config

CONFIG_FILE = "config.json"  # of a run folder
OPENING = 10.0  # seconds that the server may take to answer before the browser is opened


@click.command("explain", cls=options.Verb)
@click.argument("model", type=options.Place(), required=False)
@click.argument("image", type=options.Place(), required=False)
@click.option(
    "--data", type=options.Location(), help="Images to look for patterns in.  [default: what a run learnt from]"
)
@click.option("--lesson", is_flag=True, help="Open the worked example, a 6 x 6 image; needs no MODEL.")
@click.option("--save", type=options.Place(), help="Write one file that works without neocog, and open nothing.")
@click.option("--port", type=options.Whole(0, 65535), default=0, help="Port of 127.0.0.1.  [default: a free one]")
@click.option("--no-browser", is_flag=True, help="Print the address, and open nothing.")
@options.threads
@options.engine
@options.quiet
def command(
    model: Path | None,
    image: Path | None,
    data: str | None,
    lesson: bool,
    save: Path | None,
    port: int,
    no_browser: bool,
    threads: int | None,
    engine: str,
    quiet: bool,
) -> None:
    """Show what MODEL computes for IMAGE, and what its filters look for, on a page of this machine's browser.

    MODEL is a model file or a run folder. The page is served to this machine alone until Ctrl-C; nothing leaves it.
    """
    if lesson:
        if model is not None:
            raise CommandLineError("--lesson brings its own network", hint=f"leave --lesson or {model} out")
        session = lesson_session()
    elif model is None:
        raise CommandLineError("neocog explain needs MODEL", hint="or try the worked example: neocog explain --lesson")
    else:
        session = open_session(model, image, data, engine, threads, quiet=quiet)
    if save is not None:
        from neocog.app.page.saved import save_page

        with told_of_compiling(quiet=quiet), datasets.progress_bar("saving", quiet=quiet) as progress:
            size = save_page(session, save, progress)
        emit(f"{save}  {size / 2**20:.1f} MiB")
        return
    with told_of_compiling(quiet=quiet):
        _warm_up(session.model)
    serve(PageServer(session, port), browser=not no_browser, quiet=quiet)


def lesson_session() -> Session:
    """Make the session of the worked example."""
    session = Session(lesson_model(), "6 x 6", lesson=True, engine="reference")
    session.add(Input(lesson_image(), "6 x 6"), FIRST)
    return session


def open_session(
    path: Path, image: Path | None, data: str | None, engine: str, threads: int | None, *, quiet: bool
) -> Session:
    """Make the session of a model, with an image to begin with: IMAGE, or the first of the data."""
    model = models.open_model(path, engine, threads, allow_nonfinite=True)
    file = models.find_model(path)
    title = path.name if path.is_dir() else path.stem
    run = file.parent if (file.parent / CONFIG_FILE).is_file() else None
    session = Session(model, title, run=run, engine=engine)
    session.gallery = _gallery(session, model, data, quiet=quiet)
    if image is not None:
        session.add(session.decode(_read(image), image.name), FIRST)
    elif session.gallery is not None and len(session.gallery):
        session.add(session.gallery.input(0), FIRST)
    return session


def _read(image: Path) -> bytes:
    if image.is_dir():
        raise CommandLineError(f"{image} is a folder, an image was needed", hint=f"try --data {image}")
    if not image.exists():
        raise CommandLineError(f"there is no image {image}")
    return image.read_bytes()


def _gallery(session: Session, model: Model, data: str | None, *, quiet: bool) -> Gallery | None:
    """Open the data that patterns are looked for in: what was named, or else what the run says it learnt from."""
    location = data if data is not None else _learnt_from(session.run)
    if location is None:
        return None
    try:
        source = datasets.open_source(location)
        part = _part(source, learnt=data is None, quiet=quiet)
    except (NeocogError, CommandLineError):
        if data is not None:
            raise
        if not quiet:
            click.echo(f"note: {location}, which the run learnt from, is not there; name images with --data", err=True)
        return None
    gallery = Gallery(part, session.size, model.resize, model.class_names, source.name)
    if gallery.unreadable:
        warn(f"{gallery.unreadable:,} images of {location} cannot be read, and are left out", hint="see: neocog check")
    return gallery


def _learnt_from(run: Path | None) -> str | None:
    if run is None:
        return None
    try:
        data = read_config(run / CONFIG_FILE).get("data")
    except FormatError:
        return None
    return data if isinstance(data, str) else None


def _part(source: Source, *, learnt: bool, quiet: bool) -> Dataset:
    """Choose the part to look through: images that the network did not learn from, where there are any.

    Data without parts is split as training split it, if the network learnt from it; other data is taken whole.
    """
    found = source.test or source.validation or (None if learnt else source.unsplit)
    if found is not None:
        return found
    splits = datasets.split(source, quiet=quiet)
    return splits.test or splits.validation or splits.train


def _warm_up(model: Subject) -> None:
    """Compile what the page will ask for first, so that it need not wait."""
    shape = model.graph.input
    model(np.zeros((1, shape.height, shape.width, shape.channels), np.float32))


def serve(server: PageServer, *, browser: bool, quiet: bool) -> None:
    """Serve until Ctrl-C; tell the address on stdout, and open it once it answers."""
    emit(server.address)
    sys.stdout.flush()
    if not quiet:
        click.echo("the page is served to this machine alone; stop with Ctrl-C", err=True)
    if browser and _has_display():
        threading.Thread(target=_open, args=(server,), name="neocog-browser", daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):  # the way to end it
        server.run()
    if not quiet:
        click.echo("stopped", err=True)


def _open(server: PageServer) -> None:
    deadline = time.monotonic() + OPENING
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    webbrowser.open(server.address)


def _has_display() -> bool:
    """Whether a window can open; without one, webbrowser would start a browser inside the terminal."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
