"""The one place where what went wrong becomes a message on stderr and an exit code.

    0    success
    1    a failed check or run
    2    a mistake on the command line
    130  interrupted by Ctrl-C; 143 by SIGTERM, 129 by SIGHUP (128 and the signal's number, as shells have it)

A message is one line, its details indented, and a hint. A traceback appears only with NEOCOG_DEBUG=1.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import itertools
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable
from typing import NoReturn

import click

from neocog.errors import NeocogError, SettingError
from neocog.interrupts import Terminated
from neocog.resources import lacks_memory
from neocog.text import printable

ALIKE = 0.7  # of 1, the likeness from which a word is taken for a slip: 0.6 would take resnet for lenet5
LIKENED, LONGEST = 1000, 100  # words that are compared at most, and their characters
SUCCESS, FAILURE, USAGE = 0, 1, 2

# what to call an operating system's refusal, and what to do about it
OS_ERRORS: dict[int, tuple[str, str]] = {
    errno.ENOSPC: ("the disk is full", "free some space, or write elsewhere"),
    errno.EDQUOT: ("the disk quota is used up", "free some space, or write elsewhere"),
    errno.EACCES: ("permission denied", "choose a place that you may read and write"),
    errno.EPERM: ("permission denied", "choose a place that you may read and write"),
    errno.EROFS: ("the disk is read-only", "write elsewhere"),
    errno.ENOENT: ("there is no such file or folder", "check the spelling and the current folder"),
    errno.EISDIR: ("it is a folder, not a file", "name a file in it"),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "check the path"),
    errno.EMFILE: ("too many files are open", "raise the limit with: ulimit -n 4096"),
    errno.EIO: ("the disk failed to read or write", "check the disk or the network drive"),
}


class CommandLineError(click.UsageError):
    """A mistake on the command line, with a hint of its own."""

    def __init__(
        self, message: str, *, hint: str | None = None, details: tuple[str, ...] = (), ctx: click.Context | None = None
    ) -> None:
        super().__init__(message, ctx)
        self.hint = hint
        self.details = details


class RunFailed(Exception):  # noqa: N818 - it is an outcome, already told on stdout or stderr
    """The command did its work and the outcome is a failure that it has already told: exit 1, say nothing more."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that `word` most likely meant, or None.

    >>> nearest("trian", ["train", "evaluate"])
    'train'
    """
    few = [other for other in itertools.islice(known, LIKENED) if len(other) <= LONGEST]  # each takes its time
    found = difflib.get_close_matches(word[:LONGEST], few, n=1, cutoff=ALIKE)
    return found[0] if found else None


def format_error(message: str, details: Iterable[str] = (), hint: str | None = None, kind: str = "error") -> str:
    """Lay a message out: one line, its details indented, its hint last.

    >>> print(format_error("2 + 2 is 5", ["seen on a wall"], "count again"))
    error: 2 + 2 is 5
      seen on a wall
      hint: count again
    """
    lines = [f"{kind}: {message}", *(f"  {line}" for line in details)]
    if hint is not None:
        lines.append(f"  hint: {hint}")
    return "\n".join(map(printable, lines))


def warn(message: str, details: Iterable[str] = (), hint: str | None = None) -> None:
    """Tell on stderr of something that does not stop the run."""
    click.echo(format_error(message, details, hint, "warning"), err=True)


def fail(message: str) -> NoReturn:
    """Tell on stderr why a run that has given its results has failed all the same, and end it.

    Raises:
        RunFailed: always.
    """
    click.echo(format_error(message), err=True)
    raise RunFailed


def note(message: str) -> None:
    """Tell on stderr of something that is worth knowing, and no more."""
    click.echo(format_error(message, kind="note"), err=True)


def _usage(error: click.UsageError) -> str:
    verb = error.ctx.command_path if error.ctx is not None else "neocog"
    if isinstance(error, CommandLineError):
        return format_error(error.message, error.details, error.hint or f"see {verb} --help")
    if isinstance(error, click.NoSuchOption):
        guess = nearest(error.option_name, error.possibilities or [])
        hint = f"did you mean {guess}?" if guess else f"see {verb} --help"
        return format_error(f"{verb} has no flag {error.option_name}", hint=hint)
    if isinstance(error, click.BadOptionUsage):
        return format_error(f"{error.option_name} needs a value", hint=f"see {verb} --help")
    if isinstance(error, click.MissingParameter) and error.param is not None:
        name = error.param.human_readable_name if isinstance(error.param, click.Argument) else error.param.opts[-1]
        return format_error(f"{verb} needs {name}", hint=f"see {verb} --help")
    if isinstance(error, click.BadParameter) and error.param is not None:
        argument = isinstance(error.param, click.Argument)
        name = error.param.human_readable_name.strip("[].") if argument else error.param.opts[0]
        return format_error(f"{name} {error.message}", hint=f"see {verb} --help")
    message = error.format_message().rstrip(".")
    return format_error(message[:1].lower() + message[1:], hint=f"see {verb} --help")


def _operating_system(error: OSError) -> str:
    reason, hint = OS_ERRORS.get(error.errno or 0, (error.strerror or str(error), None))
    place = error.filename if isinstance(error.filename, str) else None
    return format_error(f"cannot read or write {place}: {reason}" if place else f"cannot continue: {reason}", hint=hint)


def interrupted_by(error: BaseException) -> str:
    """Say what interrupted a command."""
    cause = _cause(error)
    return f"ended by {signal.Signals(cause.number).name}" if isinstance(cause, Terminated) else "interrupted"


def interrupted_code(error: BaseException) -> int:
    """Return the exit code of a command that was interrupted: 128 and the number of the signal."""
    cause = _cause(error)
    return 128 + (cause.number if isinstance(cause, Terminated) else signal.SIGINT)


def _cause(error: BaseException) -> BaseException:
    # click makes an Abort of every KeyboardInterrupt
    return error.__cause__ if isinstance(error, click.Abort) and error.__cause__ is not None else error


def message_of(error: BaseException) -> tuple[str | None, int]:
    """Return what to print on stderr (None: nothing) and the exit code for whatever ended a command."""
    match error:
        case click.exceptions.Exit():
            return None, error.exit_code
        case RunFailed():
            return None, FAILURE
        case BrokenPipeError():  # the reader, such as head, has all that it wanted
            return None, SUCCESS
        case KeyboardInterrupt() | click.Abort():
            return format_error(interrupted_by(error)), interrupted_code(error)
        case click.UsageError():
            return _usage(error), USAGE
        case click.ClickException():
            return format_error(error.format_message()), FAILURE
        case NeocogError():
            code = USAGE if isinstance(error, SettingError) else FAILURE
            return format_error(error.message, error.details, error.hint), code
        case MemoryError():
            hint = "try a smaller --batch-size or --img-size, close other programs, or raise the limit (ulimit -v)"
            return format_error("out of memory", [str(error)] if str(error) else [], hint), FAILURE
        case ImportError() | OSError() | SystemError() if lacks_memory(error):
            hint = "close other programs, or raise the limit on this one (ulimit -v)"
            return format_error("out of memory: a library could not be loaded", hint=hint), FAILURE
        case RuntimeError() if "can't start new thread" in str(error):
            hint = "try --threads 1 and --workers 0, or raise the limits (ulimit -u, ulimit -v)"
            return format_error("no more threads can be started", hint=hint), FAILURE
        case OSError():
            return _operating_system(error), FAILURE
    return (
        format_error(
            f"neocog itself failed: {type(error).__name__}: {error}",
            hint="this is a bug in neocog; please report it with the traceback that NEOCOG_DEBUG=1 shows",
        ),
        FAILURE,
    )


def _silence(stream_number: int) -> None:
    # What Python still holds for a broken or full stream would fail once more at exit, with a message of its own.
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream_number)
        os.close(nowhere)


RESERVE = 1 << 20  # bytes; allocators give as many back to the system at once


def run_reported(action: Callable[[], object]) -> int:
    """Run `action`, report on stderr whatever ends it, and give the exit code."""
    debugs = os.environ.get("NEOCOG_DEBUG", "") not in ("", "0")
    reserve = bytearray(RESERVE)  # for the message, where no memory is left
    try:
        result = action()
        sys.stdout.flush()
        return result if isinstance(result, int) else SUCCESS
    except BaseException as error:  # whatever it is, a person reads one message and no traceback
        if isinstance(error, SystemExit):
            raise
        del reserve
        if debugs:
            traceback.print_exc()
        try:
            message, code = message_of(error)
        except MemoryError as none_left:  # not even for what looks at the error
            message, code = message_of(none_left)
        try:
            if message is not None:
                click.echo(message, err=True)
        except OSError:
            _silence(2)
        try:
            sys.stdout.flush()
        except OSError:
            _silence(1)
        return code
