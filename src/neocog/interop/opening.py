"""Opening a model, whatever kind of file it is: one of neocog's, or an ONNX file."""

from __future__ import annotations

from pathlib import Path

from neocog.engines.base import Engine
from neocog.engines.precision import Precision
from neocog.model.modelfile import load_network
from neocog.model.network import Network
from neocog.reading import expanded
from neocog.train.model import Model, load

ONNX = ".onnx"


def open_network(
    path: str | Path,
    *,
    engine: str | Engine = "native",
    threads: int | None = None,
    allow_nonfinite: bool = False,
) -> Network:
    """Read a model file, or an ONNX file as `neocog.from_onnx` does where it is told nothing; see there.

    Arguments:
        path: the file; an ONNX file's name ends in .onnx.
        engine, threads: what the network shall run on, as for Network.
        allow_nonfinite: whether weights that are NaN or infinite are taken, to look at what they do.

    Raises:
        FormatError: there is no such file, it is damaged, or of another kind.
        NeocogError: a package is missing.
    """
    path = expanded(path)
    if path.suffix.lower() == ONNX:
        from neocog.interop.onnx.reader import from_onnx

        return from_onnx(path, engine=engine, threads=threads, allow_nonfinite=allow_nonfinite)
    return load_network(path, Network, engine=engine, threads=threads, allow_nonfinite=allow_nonfinite)


def open_model(
    path: str | Path,
    *,
    engine: str | Engine = "native",
    threads: int | None = None,
    precision: Precision = "float32",
) -> Model:
    """Read a file as `open_network` does, as a Model, which can be trained."""
    path = expanded(path)
    if path.suffix.lower() == ONNX:
        from neocog.interop.onnx.reader import from_onnx

        return from_onnx(path, engine=engine, threads=threads, precision=precision)
    return load(path, engine=engine, threads=threads, precision=precision)
