"""What the command line replaces where a file is named to write: an empty file, and what neocog wrote before."""

from __future__ import annotations

from pathlib import Path

from neocog.app.cli.errors import CommandLineError
from neocog.errors import FormatError, NeocogError
from neocog.model.files import MAX_TRAINING_HEADER, read_document
from neocog.model.writing import check_place
from neocog.reading import cause_of, open_file

_HEAD = 4096  # bytes in which a file's mark lies


def check_replaces(path: Path, *marks: bytes, by: str = "an export", flag: str = "--output") -> None:
    """Check that a file may be written: a new one, or in place of an empty one or of one that neocog wrote before.

    Arguments:
        path: where.
        marks: what the beginning of such files holds, one of them, where neocog wrote them.
        by: who writes such files, for people.
        flag: that names another file.

    Raises:
        CommandLineError: there is another file.
        NeocogError: the file that is there cannot be read, or nothing can be written there.
    """
    if not _holds_something(path):
        return
    try:
        with open_file(path) as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise NeocogError(f"{path} cannot be read: {cause_of(error)}") from None
    if not any(mark in head for mark in marks):
        raise CommandLineError(
            f"{path} is there already, and was not written by {by}", hint=f"name another file with {flag}"
        )


def check_replaces_model(path: Path) -> None:
    """Check that a model file may be written: a new one, or in place of an empty one or of another model.

    Raises:
        CommandLineError: there is another file, or one from which a training can be resumed.
        NeocogError: nothing can be written there.
    """
    if not _holds_something(path):
        return
    try:
        document = read_document(path, most_header=MAX_TRAINING_HEADER)
    except FormatError:
        document = {}
    if "training" in document:
        raise CommandLineError(
            f"{path} holds a training that can be resumed, which a model in its place would lose",
            hint="name another file with --output",
        )
    if "class_names" not in document:
        raise CommandLineError(
            f"{path} is there already, and is no model file of neocog", hint="name another file with --output"
        )


def _holds_something(path: Path) -> bool:
    check_place(path)
    return path.is_file() and path.stat().st_size > 0
