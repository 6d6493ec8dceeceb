"""Running a function as a user who may not read everything: root may, and many tests run as root."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 12345  # a user and group without an entry anywhere


@contextmanager
def shared_folder() -> Iterator[Path]:
    """Make a folder that every user may enter (pytest's own are for its user alone), and remove it in the end."""
    folder = Path(tempfile.mkdtemp(prefix="neocog-"))
    folder.chmod(0o777)
    try:
        yield folder
    finally:
        for place, names, _ in os.walk(folder):
            for name in names:
                Path(place, name).chmod(0o755)
        shutil.rmtree(folder)


def unprivileged(action: Callable[[], str]) -> str:
    """Return what `action` returns in a forked process, of another user where this one is root.

    A new Python could not be started: that user may not be allowed to read it. So `action` must not import anything.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            text = action()
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
        try:
            os.write(write, text.encode(errors="replace"))  # a few lines, which a pipe holds
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        text = file.read().decode()
    os.waitpid(child, 0)
    return text
