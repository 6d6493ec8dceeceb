"""`neocog explain MODEL [IMAGE]`: see inside, down to each multiplication."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
import webbrowser
from pathlib import Path

import click
import numpy as np

from neocog.app.cli import datasets, models, options
from neocog.app.cli.compiling import told_of_compiling
from neocog.app.cli.errors import CommandLineError, note, warn
from neocog.app.cli.learnt import is_other_data, learnt
from neocog.app.cli.output import emit
from neocog.app.cli.replacing import check_replaces
from neocog.app.cli.verb import Verb
from neocog.app.page.examples import lesson_session
from neocog.app.page.files import MARK
from neocog.app.page.memory import return_memory
from neocog.app.page.server import PageServer
from neocog.app.page.session import FIRST, Gallery, Session
from neocog.data.dataset import Dataset, Subset
from neocog.data.decode import MAX_BYTES, unreadable_file
from neocog.engines.precision import Precision
from neocog.errors import DataError, FormatError, NeocogError
from neocog.interop.hub.repository import names_a_hub
from neocog.interrupts import Terminated
from neocog.model.network import Network
from neocog.model.views import PLAIN, VIEWS
from neocog.reading import read_file
from neocog.system import has_screen
from neocog.text import printable
from neocog.train.runfolder import read_config

CONFIG_FILE = "config.json"  # of a run folder
SAYING = 3.0  # seconds between two lines that say how far saving is
COMMANDLINE = click.core.ParameterSource.COMMANDLINE
OPENING = 10.0  # seconds that the server may take to answer before the browser is opened


@click.command("explain", cls=Verb)
@click.argument("model", type=options.Place(), required=False)
@click.argument("image", type=options.Place(), required=False)
@click.option(
    "--data",
    type=options.Location(),
    help="Images to search for what each filter detects.  [default: those of the run that it was not trained on]",
)
@click.option("--lesson", is_flag=True, help="Open the worked example, a 6 x 6 image; no MODEL needed.")
@click.option("--save", type=options.Place(), help="Write a self-contained HTML file instead of opening a page.")
@click.option("--port", type=options.WholeOption(0, 65535), default=0, help="Port on 127.0.0.1.  [default: a free one]")
@click.option("--no-browser", is_flag=True, help="Print the address without opening a browser.")
@options.threads
@options.engine
@options.precision
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
    precision: Precision,
    quiet: bool,
) -> None:
    """Show what MODEL computes for IMAGE, and what its filters detect, on a page in your browser.

    MODEL is a model file, a run folder, an ONNX file, or hub:OWNER/NAME. The page is served to this machine only, until
    Ctrl-C; nothing leaves it.
    """
    if precision == "int8":
        raise CommandLineError("neocog explain shows what a network computes in float32", hint="leave out --precision")
    if save is not None:
        check_replaces(save, MARK.encode(), by="neocog", flag="--save")
    if lesson:
        if model is not None:
            raise CommandLineError(
                "--lesson has a network of its own", hint=f"leave out --lesson or {printable(str(model))}"
            )
        context = click.get_current_context()
        given = [
            name
            for name in ("data", "threads", "engine", "precision")
            if context.get_parameter_source(name) is COMMANDLINE
        ]
        if given:
            raise CommandLineError(
                f"--lesson has an image and arithmetic of its own, and takes no --{given[0]}",
                hint=f"leave out --lesson or --{given[0]}",
            )
        session = lesson_session()
    elif model is None:
        raise CommandLineError("neocog explain needs MODEL", hint="or try the worked example: neocog explain --lesson")
    else:
        session = open_session(model, image, data, engine, threads, precision=precision, quiet=quiet)
    if save is not None:
        from neocog.app.page.saved import save_page

        with told_of_compiling(quiet=quiet), datasets.progress_bar("saving", quiet=quiet, unit="answers") as progress:
            size = save_page(session, save, progress if sys.stderr.isatty() or quiet else _Lines())
        emit(f"{printable(str(save))}  {size / 2**20:.1f} MiB")
        return
    return_memory()
    with told_of_compiling(quiet=quiet):
        _warm_up(session)
    serve(PageServer(session, port), browser=not no_browser, quiet=quiet)


def open_session(
    path: Path,
    image: Path | None,
    data: str | None,
    engine: str,
    threads: int | None,
    *,
    precision: Precision = "float32",
    quiet: bool,
) -> Session:
    """Make the session of a model, with an image to begin with: IMAGE, or the first of the data."""
    model = models.open_model(path, engine, threads, precision=precision, allow_nonfinite=True)
    if model.views != PLAIN and not quiet:
        views = len(VIEWS[model.views])
        note(f"its answers are the mean over {views} views of an image; layers are shown at the image as it is")
    file = models.find_model(path)
    title = path.name if path.is_dir() else path.stem
    # what comes from a hub has a config.json of another kind, which must not say which images are read here
    run = file.parent if (file.parent / CONFIG_FILE).is_file() and not names_a_hub(str(path)) else None
    session = Session(model, title, run=run, engine=engine)
    if image is not None:  # before the data is read, which may take longer than to see that there is no such image
        session.add(session.decode(_read(image), str(image)), FIRST)
    session.gallery = _gallery(session, model, data, quiet=quiet)
    if image is None and session.gallery is not None and len(session.gallery):
        session.add(session.gallery.input(0), FIRST)
    return session


def _read(image: Path) -> bytes:
    if image.is_dir():
        raise CommandLineError(f"{image} is a folder, not an image", hint=f"try --data {image}")
    if not image.exists():
        raise CommandLineError(f"there is no image {image}")
    try:
        return read_file(image, MAX_BYTES)
    except (OSError, ValueError) as error:
        raise unreadable_file(str(image), error) from error


def _gallery(session: Session, model: Network, data: str | None, *, quiet: bool) -> Gallery | None:
    """Open the data that patterns are looked for in: what was named, or else what the run says it learnt from."""
    location = data if data is not None else _learnt_from(session.run)
    if location is None:
        return None
    try:
        part, name = _part(location, model, named=data is not None, quiet=quiet)
    except (NeocogError, CommandLineError) as error:
        if data is not None:
            raise
        if not quiet:
            note(f"the images that the run learnt from are not used: {error.message}; name others with --data")
        return None
    gallery = Gallery(part, session.size, model.resize, model.class_names, name)
    if gallery.unreadable:
        warn(
            f"{gallery.unreadable:,} images of {location} cannot be read and are left out",
            hint=f"see: neocog check {location}",
        )
    return gallery


def _learnt_from(run: Path | None) -> str | None:
    if run is None:
        return None
    try:
        data = read_config(run / CONFIG_FILE).get("data")
    except FormatError:
        return None
    return datasets.located(data) if isinstance(data, str) else None


def _part(location: str, model: Network, *, named: bool, quiet: bool) -> tuple[Dataset, str]:
    """Choose the part to look through: images that the network did not learn from, where there are any.

    Raises:
        NeocogError, CommandLineError: there is no data, or other data than the run learnt from where none was `named`.
    """
    source = datasets.open_source(location, quiet=quiet)
    if not quiet:
        for told in source.notes:
            note(told)
    if not named and is_other_data(model, source):
        raise DataError(f"{location} now holds other images")
    found = source.test or source.validation
    if found is None:
        whole = source.unsplit or source.train
        assert whole is not None  # a source without images is an error
        known = learnt(model, whole, quiet=quiet)
        found = whole if known.all() else Subset(whole, np.flatnonzero(~known))
    return found, source.name


def _warm_up(session: Session) -> None:
    """Compute what the page will ask for first, so that it need not wait; without an image, compile what answers."""
    shape = session.model.graph.input
    if FIRST in session.inputs:
        with contextlib.suppress(NeocogError):  # the page will say it, where it has room to
            session.trace(FIRST)
    else:
        session.model(np.zeros((1, shape.height, shape.width, shape.channels), np.float32))


def serve(server: PageServer, *, browser: bool, quiet: bool) -> None:
    """Serve until Ctrl-C; tell the address on stdout, and open it once it answers."""
    try:
        emit(server.address)
        sys.stdout.flush()
        if not quiet:
            click.echo("the page is served to this machine only; stop it with Ctrl-C", err=True)
        if browser and has_screen():
            threading.Thread(target=_open, args=(server,), name="neocog-browser", daemon=True).start()
        server.run()
    except Terminated:
        raise
    except KeyboardInterrupt:  # the way to end it
        pass
    if not quiet:
        click.echo("stopped", err=True)


def _open(server: PageServer) -> None:
    deadline = time.monotonic() + OPENING
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    webbrowser.open(server.address)


class _Lines:
    """Says how far saving is where there is no terminal for a bar: at once, and every few seconds."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + SAYING
            note(f"saving: {done:,} of {total:,} answers")
