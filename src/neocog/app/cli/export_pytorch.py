"""`neocog export MODEL --to pytorch`: see `neocog.interop.pytorch.export`."""

from __future__ import annotations

from importlib.util import find_spec

from neocog.app.cli.compiling import told_of_compiling
from neocog.app.cli.export import Wanted
from neocog.app.cli.output import emit, format_table, print_json
from neocog.app.cli.replacing import check_replaces
from neocog.interop.pytorch.export import UNMARKED_WEIGHTS, WEIGHTS_MARK, check, to_pytorch
from neocog.interop.pytorch.source import MARK
from neocog.model.network import Network
from neocog.text import printable


def write(model: Network, wanted: Wanted) -> None:
    """Write the source of a module, and its weights beside it, after PyTorch answered images with both."""
    check_replaces(wanted.path, MARK.encode())
    exported = wanted.path.is_file() and wanted.path.stat().st_size > 0
    weights = wanted.path.with_name(f"{wanted.path.stem}_weights.safetensors")
    check_replaces(weights, WEIGHTS_MARK, *([UNMARKED_WEIGHTS] if exported else []))
    made = to_pytorch(model, weights=weights.name)
    off = None
    if find_spec("torch") is not None:
        with told_of_compiling(quiet=wanted.quiet):
            off = check(model, made)
    beside = made.save(wanted.path)
    if wanted.as_json:
        print_json(
            {"file": str(wanted.path), "weights": str(beside), "bytes": beside.stat().st_size, "difference": off}
        )
        return
    answered = (
        "PyTorch is not installed here, so that nobody compared" if off is None else f"within {off:.1e} by PyTorch"
    )
    emit(
        format_table(
            [
                ("wrote", f"{printable(str(wanted.path))}, a module for PyTorch; it does not need neocog"),
                ("weights", f"{printable(str(beside))} ({beside.stat().st_size:,} bytes)"),
                ("answers", answered),
            ]
        )
    )
