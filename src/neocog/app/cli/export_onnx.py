"""`neocog export MODEL --to onnx`: see `neocog.interop.onnx.write`."""

from __future__ import annotations

from typing import Any

import numpy as np

from neocog.app.cli import datasets
from neocog.app.cli.compiling import told_of_compiling
from neocog.app.cli.errors import note
from neocog.app.cli.export import Wanted
from neocog.app.cli.output import count, emit, format_table, print_json
from neocog.app.cli.replacing import check_replaces
from neocog.data.batches import Batches
from neocog.data.resize import Images, ImageSize
from neocog.errors import DataError
from neocog.interop.onnx.replay import LEAST, Replay
from neocog.interop.onnx.write import MARK, OPSET, Input, to_onnx
from neocog.model.network import Network
from neocog.text import printable

_BATCH = 32


def write(model: Network, wanted: Wanted) -> None:
    """Write an ONNX file, and say what was compared."""
    check_replaces(wanted.path, MARK)
    flags = wanted.flags
    form: Input = flags["input"] or "uint8"
    opset = flags["opset"] or OPSET
    images = None
    if flags["data"] is not None:
        images = images_of(model, flags["data"], flags["images"] or LEAST, wanted)
    with told_of_compiling(quiet=wanted.quiet):
        replayed = to_onnx(
            model, wanted.path, input=form, opset=opset, fold=flags["fold"], images=images, strict=flags["strict"]
        )
    size = wanted.path.stat().st_size
    if wanted.as_json:
        print_json(
            {
                "file": str(wanted.path),
                "bytes": size,
                "input": form,
                "opset": opset,
                "replayed": None if replayed is None else replayed.to_json(),
            }
        )
        return
    rows = [("wrote", f"{printable(str(wanted.path))} ({size:,} bytes), opset {opset}, {form} input")]
    if replayed is not None:
        rows.append(("replayed", _told(replayed)))
    emit(format_table(rows))
    if not wanted.quiet:
        for told in _outside(model):
            note(told)


def images_of(model: Network, location: str, most: int, wanted: Wanted) -> Images:
    """Return images of a data set, from all over it: of its test part where it has one.

    Raises:
        DataError: none can be read, or with `--strict` not all.
    """
    source = datasets.open_source(location)
    part = next(part for part in (source.test, source.validation, source.unsplit, source.train) if part is not None)
    chosen = np.unique(np.linspace(0, len(part) - 1, most).astype(np.int64))
    size = ImageSize(*model.input_shape)
    batches = Batches(part, _BATCH, size, chosen, model.resize, workers=wanted.workers, on_error="skip")
    found: list[Any] = [images for images, _ in batches]
    datasets.list_unreadable(list(part.unreadable.values()), strict=wanted.flags["strict"])
    if not found:
        raise DataError(f"{location}: no image can be read", hint=f"see: neocog check {location}")
    images: Images = np.concatenate(found)
    return images


def _told(replayed: Replay) -> str:
    return (
        f"{count(replayed.images, 'image')} by ONNX Runtime; logits differ by at most {replayed.difference:.1e}, "
        f"of up to {replayed.size:.3g}"
    )


def _outside(model: Network) -> list[str]:
    """Say what the model does and the graph does not."""
    if model.reject_below is not None:
        return [f"answers below {model.reject_below:.4g} are unknown: who runs the file must say so; its metadata do"]
    if model.loss.several_labels:
        return ["above which probability each label is given is in the file's metadata, not in its graph"]
    return []
