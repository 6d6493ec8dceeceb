"""The run folder that `neocog train` writes to: made, replaced, and left as it was where nothing came of a training."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from neocog.app.cli.errors import CommandLineError
from neocog.data.walk import Walk
from neocog.errors import FormatError, NeocogError
from neocog.train.checkpoint import Checkpoint
from neocog.train.runfolder import RunFolder, read_config

_UNFIT = re.compile(r'[/\\\0:*?"<>|]')  # what the name of a folder cannot hold on every system


def make_folder(name: str, output: Path | None, held: contextlib.ExitStack, *, overwrite: bool) -> RunFolder:
    """Make the run folder of a new training, and lock it as long as `held` is open.

    Arguments:
        name: of the data; the folder is called like that where nobody names another.
        output: where the user wants it.
        overwrite: whether a training that lies there is replaced.

    Raises:
        CommandLineError: a training lies there, and is not to be replaced; or images do.
        NeocogError: the folder cannot be made, or another training writes to it.
    """
    try:
        if output is None:
            folder = RunFolder.create(_UNFIT.sub("-", Path(name).stem) or "data")
            held.enter_context(folder.locked())
            return folder
        if _holds_images(output):
            raise CommandLineError(
                f"{output} holds images; a run needs a folder of its own", hint="choose another place with --output"
            )
        folder = RunFolder(output)
        if overwrite and (folder.best.exists() or folder.last.exists()):
            folder = Successor(output)
        held.enter_context(folder.locked())
    except NeocogError as error:
        raise NeocogError(error.message, details=error.details, hint="choose another place with --output") from None
    if not overwrite and any(path.exists() for path in files_of(folder)) and not _never_begun(folder):
        resumable = "continue with --resume, " if folder.last.exists() else ""
        raise CommandLineError(
            f"{output} already holds a training run",
            hint=f"choose another --output, {resumable}or replace it with --overwrite",
        )
    return folder


def _holds_images(folder: Path) -> bool:
    """Whether a folder is a class of images, or holds such folders: run files in it would be taken for the data's."""
    walk = Walk(folder)
    return any(walk.entries(inner).images for inner in ("", *walk.folders()))


class Successor(RunFolder):
    """A run folder whose old training stays until the new one has done its first epoch."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.on_first_epoch: Callable[[], None] | None = None

    def save_last(self, checkpoint: Checkpoint) -> None:
        if self.on_first_epoch is not None:
            for path in (self.last, self.best, self.history):  # a kill leaves a beginning, but no mixture of trainings
                path.unlink(missing_ok=True)
            self.on_first_epoch()
            self.on_first_epoch = None
        super().save_last(checkpoint)


def _never_begun(folder: RunFolder) -> bool:
    """Whether all that lies there was written by a training that was killed within its first epoch."""
    if any(path.exists() for path in (folder.best, folder.last, folder.history)):
        return False
    try:
        config = read_config(folder.config)
    except FormatError:
        return False  # no config.json of ours: these files may be anyone's
    return {"data", "classes", "model", "optimizer", "seed"} <= config.keys()


def has_begun(folder: RunFolder) -> bool:
    """Whether an epoch of the training at hand, and not of one that it replaces, is in its folder."""
    if isinstance(folder, Successor) and folder.on_first_epoch is not None:
        return False
    return folder.last.exists()


def files_of(folder: RunFolder) -> tuple[Path, ...]:
    """Return the paths of the files that a training writes."""
    kept = (folder.best, folder.last, folder.history, folder.filters, folder.config, folder.split)
    return (*kept, folder.features("train"), folder.features("validation"), folder.starts, folder.report)


@contextlib.contextmanager
def removed_if_empty(folder: RunFolder) -> Iterator[None]:
    """Leave no empty folder behind when something fails."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # it is not empty
            folder.path.rmdir()
        raise


@contextlib.contextmanager
def removed_if_unfinished(folder: RunFolder) -> Iterator[None]:
    """Leave no files behind when training ends before its first epoch is done."""
    try:
        yield
    except BaseException:
        if not isinstance(folder, Successor) and not folder.last.exists():
            for path in files_of(folder):
                path.unlink(missing_ok=True)
        raise
