"""`neocog export MODEL --to FORMAT`: a model as a file that other programs run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from neocog.app.cli import models, options
from neocog.app.cli.errors import CommandLineError, note
from neocog.app.cli.verb import Verb
from neocog.engines.precision import Precision
from neocog.model.network import Network


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for.

    Arguments:
        kind: the format.
        path: the file to write, or the folder.
        source: the model's file.
        workers, quiet, as_json: as for other verbs.
        flags: those of one format alone, as given; None, or False: not given.
    """

    kind: str
    path: Path
    source: Path
    workers: int | None
    quiet: bool
    as_json: bool
    flags: dict[str, Any]


Write = Callable[[Network, Wanted], None]
"""Writes a model, and prints what it wrote."""


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file.

    Arguments:
        module: of the command line, whose `write` writes it.
        ending: of its files, or of the folder's name.
        flags: the flags that only some formats have, and this one has, as in `Wanted.flags`.
        folder: whether it writes a folder.
        computes: why what is written does not compute in bfloat16.
        int8: whether it can compute in int8.
    """

    module: str
    ending: str
    flags: tuple[str, ...] = ()
    folder: bool = False
    computes: str = "tile registers (AMX) want an operating system's permission, which exported code cannot ask for"
    int8: bool = False


FORMATS = {
    "onnx": Format(
        "neocog.app.cli.export_onnx",
        ".onnx",
        ("input", "opset", "fold", "data", "images", "strict"),
        computes="an ONNX file holds float32, and what runs it chooses: OpenVINO may take bfloat16 by itself",
    ),
    "pytorch": Format(
        "neocog.app.cli.export_pytorch",
        ".py",
        computes="the module holds float32, and torch.autocast is what has it compute in bfloat16",
    ),
    "object": Format("neocog.app.cli.export_object", ".object", ("target", "emit", "name"), folder=True, int8=True),
    "web": Format("neocog.app.cli.export_web", ".web", ("name",), folder=True, int8=True),
    "html": Format("neocog.app.cli.export_web", ".html", ("name",), int8=True),
}
"""What a model can become. A new format is a row here, and a module."""


@click.command("export", cls=Verb)
@models.argument
@click.option("--to", "kind", type=options.WordOption(tuple(FORMATS)), required=True, help="Format of the file.")
@click.option(
    "--output",
    "-o",
    type=options.Place(),
    help="File to write; of object and web, the folder.  [default: beside the model, as model.onnx or the like]",
)
@click.option(
    "--input",
    type=options.WordOption(("uint8", "float")),
    help="Of onnx, what the file takes: uint8, pictures (N, height, width, channels) as they are read; float, "
    "(N, channels, height, width) from 0 to 1. Both are normalised inside.  [default: uint8]",
)
@click.option("--opset", type=options.WholeOption(1), help="Of onnx, the version of ONNX's operators.  [default: 17]")
@click.option(
    "--fold", is_flag=True, help="Of onnx: make normalizations part of the weights before them.  [default: they stay]"
)
@click.option(
    "--data",
    type=options.Location(),
    help="Of onnx: answer images of this data with what was written.  [default: random pictures]",
)
@click.option("--images", type=options.WholeOption(100), help="Of onnx, how many of --data.  [default: 100]")
@click.option("--strict", is_flag=True, help="Of onnx: fail where ONNX Runtime is not there to answer with the file.")
@click.option(
    "--target",
    type=options.WordOption(options.TARGETS),
    help="Of object, the processor.  [default: native, which is this machine's]",
)
@click.option(
    "--emit",
    type=options.WordOption(("object", "asm", "llvm")),
    help="Of object, what to write: an object file, assembly, or LLVM IR.  [default: object]",
)
@click.option(
    "--name",
    help="Of object, what its functions are called: neocog_NAME_predict; of web, what its files are.  [default: the "
    "model's name]",
)
@click.option(
    "--precision",
    type=options.PrecisionOption(("float32", "int8", "auto"), refused=("bfloat16",)),
    default="float32",
    show_default=True,
    help="What is written computes with: float32; int8, of object, web and html, and of a model that neocog quantise "
    "prepared; auto, float32.",
)
@options.threads
@options.workers
@options.engine
@options.as_json
@options.quiet
def command(
    model: Path,
    kind: str,
    output: Path | None,
    precision: Precision,
    threads: int | None,
    workers: int | None,
    engine: str,
    as_json: bool,
    quiet: bool,
    **flags: Any,
) -> None:
    """Write MODEL as a file that other programs run, without neocog.

    onnx: for ONNX Runtime, OpenVINO, browsers, phones. It takes pictures of the model's size and gives probabilities,
    with class names, licence and what a picture must become in its metadata. ONNX Runtime answers images with it first:
    a file that answers otherwise than the model is not left behind.

    pytorch: a Python file with one nn.Module, and its weights as safetensors beside it.

    object: a folder with machine code for one processor, a C header and a README. It takes pixels and gives
    probabilities, with no library and no memory but what its caller lends. `neocog verify FOLDER MODEL` has it answer
    images.

    web: a folder for any web server: the network as WebAssembly, a JavaScript module with types that classifies
    pictures, and a page that does so, offline. html: that page in one file, which opens without a server.
    """
    form = FORMATS[kind]
    for name, value in flags.items():
        if value not in (None, False) and name not in form.flags:
            raise CommandLineError(f"--{name} is not for --to {kind}")
    _check_precision(precision, kind, quiet=quiet)
    file = models.own_file(model) if output is None else models.find_model(model)
    path = output if output is not None else file.with_suffix(form.ending)
    if path.is_dir() and not form.folder:
        path = path / file.with_suffix(form.ending).name
    if form.folder and path.exists() and not path.is_dir():
        raise CommandLineError(f"{path} is a file, and --to {kind} writes a folder", hint="name a folder with --output")
    if path.exists() and path.samefile(file):
        raise CommandLineError(f"{path} is the model itself", hint="name another file with --output")
    write: Write = import_module(form.module).write
    asked: Precision | None = "int8" if precision == "int8" else None
    write(
        models.open_model(model, engine, threads, precision=asked),
        Wanted(kind, path, file, workers, quiet, as_json, flags),
    )


def _check_precision(precision: Precision, kind: str, *, quiet: bool) -> None:
    """Refuse what a format does not compute in, and say what "auto" is."""
    why = FORMATS[kind].computes
    if precision == "bfloat16":
        raise CommandLineError(f"--precision {precision} is not for --to {kind}: {why}", hint="leave it out")
    if precision == "int8" and not FORMATS[kind].int8:
        able = ", ".join(name for name, form in FORMATS.items() if form.int8)
        raise CommandLineError(f"--precision int8 is not for --to {kind}", hint=f"it is for {able}; or leave it out")
    if precision == "auto" and not quiet:
        note(f"--precision auto is float32 here: {why}")
