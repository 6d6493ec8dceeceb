"""`neocog verify FOLDER MODEL`: exported machine code answers images, and so does the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from neocog.app.cli import datasets, models, options
from neocog.app.cli.compiling import told_of_compiling
from neocog.app.cli.errors import CommandLineError
from neocog.app.cli.output import count, emit, format_table, print_json
from neocog.app.cli.verb import Verb
from neocog.data.batches import Batches
from neocog.data.resize import ImageSize
from neocog.engines.precision import Precision
from neocog.errors import DataError
from neocog.model.network import Network

LEAST = 100
_BATCH = 32


@click.command("verify", cls=Verb)
@click.argument("folder", type=options.Place())
@models.argument
@click.option("--data", type=options.Location(), help="Images to answer.  [default: random pictures]")
@click.option("--images", type=options.WholeOption(1), help=f"How many.  [default: {LEAST}]")
@options.threads
@options.workers
@options.engine
@options.precision
@options.as_json
@options.quiet
def command(
    folder: Path,
    model: Path,
    data: str | None,
    images: int | None,
    threads: int | None,
    workers: int | None,
    engine: str,
    precision: Precision,
    as_json: bool,
    quiet: bool,
) -> None:
    """Compare FOLDER, which neocog export --to object wrote, with the MODEL that it came from.

    A program is built around the object by the system's C compiler, and run: under qemu where it is for another
    processor, with Debian's cross compilers. It answers images in memory that holds nothing but NaN before, and sees
    that nothing else is written to. Both must give probabilities within 1e-4 of each other, and the same answers.

    What neocog export --to web wrote is run by Node.js, script and module, and compared likewise.
    """
    from neocog.interop.onnx.replay import random_pictures
    from neocog.standalone.folder import read_note
    from neocog.standalone.verify import verify

    if not folder.is_dir():
        raise CommandLineError(
            f"there is no folder {folder}", hint=f"neocog export {model} --to object -o {folder} writes one"
        )
    written = read_note(folder).precision
    if precision == "int8" != written:
        raise CommandLineError(f"{folder} computes in {written}, not in int8", hint="leave --precision out")
    network = models.open_model(model, engine, threads, precision="int8" if written == "int8" else precision)
    most = images or LEAST
    chosen: Any = random_pictures(network, most) if data is None else _images_of(network, data, most, workers)
    with told_of_compiling(quiet=quiet), datasets.progress_bar("answering", quiet=quiet) as progress:
        found = verify(folder, network, chosen, progress)
    if as_json:
        print_json(
            {
                "images": found.images,
                "difference": found.difference,
                "equal": found.equal,
                "doubtful": found.doubtful,
                "target": found.target,
                "compiler": found.compiler,
                "emulator": found.emulator or None,
                "versions": list(found.versions),
            }
        )
        return
    by = f"under {found.emulator}" if found.emulator else "on this machine"
    rows = [
        ("built", f"for {found.target} by {found.compiler}, run {by}"),
        ("answered", f"{count(found.images, 'image')}; probabilities differ by at most {found.difference:.1e}"),
    ]
    if found.versions:
        rows.append(("versions", f"{', '.join(found.versions)} answered, and the one that the object chooses"))
    if found.doubtful:
        rows.append(("doubtful", f"{count(found.doubtful, 'answer')} between equally probable classes"))
    emit(format_table(rows))


def _images_of(network: Network, location: str, most: int, workers: int | None) -> NDArray[np.uint8]:
    """Return images of a data set, from all over it: of its validation part where it has one."""
    source = datasets.open_source(location)
    parts = (source.validation, source.test, source.unsplit, source.train)
    part = next(part for part in parts if part is not None)
    chosen = np.unique(np.linspace(0, len(part) - 1, most).astype(np.int64))
    batches = Batches(
        part, _BATCH, ImageSize(*network.input_shape), chosen, network.resize, workers=workers, on_error="skip"
    )
    found: list[Any] = [images for images, _ in batches]
    datasets.list_unreadable(list(part.unreadable.values()), strict=False)
    if not found:
        raise DataError(f"{location}: no image can be read", hint=f"see: neocog check {location}")
    images: NDArray[Any] = np.concatenate(found)
    if images.dtype != np.uint8:
        raise DataError(f"{location}: its images are no bytes, which is what compiled networks take")
    return images
