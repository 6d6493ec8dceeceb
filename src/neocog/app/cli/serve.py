"""`neocog serve MODEL…`: answer other programs over HTTP."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from neocog.app.cli import options
from neocog.app.cli.errors import CommandLineError, note, warn
from neocog.app.cli.output import count, emit
from neocog.app.cli.verb import Verb
from neocog.app.serve.served import locations_of
from neocog.app.serve.settings import BATCH, Settings
from neocog.engines.precision import Precision
from neocog.errors import EngineError
from neocog.reading import cause_of, read_text
from neocog.resources import available_threads
from neocog.system import can_fork

LEAST_TOKEN, MOST_TOKEN = 16, 4096  # characters: fewer could be guessed
MOST_WORKERS = 8  # that are started where nobody says how many: each has models in memory of its own
MIB = 1 << 20

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _limit(name: str, least: int, most: int, default: int, text: str) -> Callable[[_Command], _Command]:
    """Declare an option that takes a whole number."""
    kind = options.WholeOption(least, most)
    return click.option(name, type=kind, default=default, show_default=True, help=text)


@click.command("serve", cls=Verb)
@click.argument("model", type=options.Place(), nargs=-1, metavar="MODEL...", required=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; another needs a token.")
@click.option("--port", type=options.WholeOption(0, 65535), default=8000, show_default=True, help="0: a free one.")
@click.option("--token-file", type=options.Place(), help="File with the token that requests must carry.")
@click.option("--no-token", is_flag=True, help="Let everybody who can reach the server use it.")
@click.option(
    "--workers",
    type=options.WholeOption(1, 256),
    help="Processes that answer.  [default: one for each processor, at most 8]",
)
@click.option(
    "--threads",
    type=options.WholeOption(1, options.MAX_THREADS),
    help="Compute threads of each.  [default: the processors, shared out among them]",
)
@_limit("--max-batch", 1, BATCH, BATCH, "Images that are answered together.")
@_limit("--max-wait-ms", 0, 60_000, 5, "How long images are gathered, while more come.")
@_limit("--max-queue", 1, 1 << 20, 256, "Images that may wait in each process.")
@_limit("--max-body-mib", 1, 512, 32, "Size of a request.")
@_limit("--max-pixels", 1, 350_000_000, 50_000_000, "Pixels of an image.")
@_limit("--max-connections", 1, 1 << 16, 1024, "Open connections; silent ones give way.")
@_limit("--timeout", 1, 3600, 30, "Seconds that a request may wait for its turn.")
@_limit("--drain", 0, 3600, 30, "Seconds for what is under way when the server is told to end.")
@click.option("--access-log", metavar="FILE", help="Write a line of JSON for each request; -: to stdout.")
@options.precision
@options.quiet
def command(
    model: tuple[Path, ...],
    host: str,
    port: int,
    token_file: Path | None,
    no_token: bool,
    workers: int | None,
    threads: int | None,
    max_batch: int,
    max_wait_ms: int,
    max_queue: int,
    max_body_mib: int,
    max_pixels: int,
    max_connections: int,
    timeout: int,
    drain: int,
    access_log: str | None,
    precision: Precision,
    quiet: bool,
) -> None:
    """Answer images that other programs send, with the same bits as neocog predict.

    MODEL is a model file, a run folder, an ONNX file or hub:OWNER/NAME; the first also answers at /. Clients of Hugging
    Face's image classification and of the Open Inference Protocol (Triton, KServe) work unchanged; /try is a page to
    try it on, /metrics is for Prometheus, /openapi.json for programs. A model whose file is replaced is taken anew. It
    ends on Ctrl-C and SIGTERM, when what is under way is answered.
    """
    if not can_fork():
        raise EngineError("neocog serve needs a system with fork, such as Linux or macOS")
    loopback = _is_loopback(host)
    token = None if token_file is None else _read_token(token_file)
    if token is not None and no_token:
        raise CommandLineError("--token-file and --no-token cannot both be given")
    if not loopback and token is None and not no_token:
        raise CommandLineError(
            f"--host {host} lets other machines use the server: it needs a token",
            hint="--token-file FILE names one; --no-token says that everybody may",
        )
    available = available_threads()
    workers = workers or (max(1, available // threads) if threads else min(available, MOST_WORKERS))
    settings = Settings(
        host=host,
        port=port,
        workers=workers,
        threads=threads or max(1, available // workers),
        max_batch=max_batch,
        max_wait=max_wait_ms / 1000,
        max_queue=max_queue,
        max_body=max_body_mib * MIB,
        max_pixels=max_pixels,
        max_connections=max_connections,
        timeout=float(timeout),
        drain=float(drain),
        token=token,
        loopback=loopback,
        access_log=None if access_log is None else _writable(access_log),
    )
    served = [location.open(settings.threads) for location in locations_of(model, precision)]
    from neocog.app.serve.supervisor import Supervisor  # here, since it brings the whole server along

    supervisor = Supervisor(served, settings)
    shown = f"[{host}]" if ":" in host else host

    def started() -> None:
        emit(f"http://{shown}:{supervisor.port}")
        if quiet:
            return
        names = ", ".join(one.name for one in served)
        each = count(settings.threads, "thread")
        note(f"{names} on {count(workers, 'process', 'processes')} of {each}; stop with Ctrl-C")
        if not loopback and token is None:
            warn("everybody who can reach this address may use it")

    supervisor.run(started)
    if not quiet:
        click.echo("stopped", err=True)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _read_token(path: Path) -> str:
    """Return the token that a file holds.

    Raises:
        CommandLineError: it cannot be read, or is none.
    """
    try:
        token = read_text(path, MOST_TOKEN).strip()
    except OSError as error:
        raise CommandLineError(f"{path} cannot be read: {cause_of(error)}") from None
    except ValueError:
        raise CommandLineError(f"{path} holds no text") from None
    if len(token) < LEAST_TOKEN or not re.fullmatch(r"[!-~]+", token):
        raise CommandLineError(
            f"the token in {path} must be a word of at least {LEAST_TOKEN} ASCII characters",
            hint=f"openssl rand -hex 32 > {path}",
        )
    return token


def _writable(path: str) -> str:
    """Return the path of the access log.

    Raises:
        CommandLineError: it cannot be written.
    """
    if path != "-":
        try:
            with open(path, "ab"):  # noqa: PTH123 - it is made now, or refused
                pass
        except OSError as error:
            raise CommandLineError(f"--access-log {path} cannot be written: {cause_of(error)}") from None
    return path
