"""An ONNX file as plain data: nodes in order, constants, inputs, outputs. Nothing of it is executed.

What this refuses: nodes that take what no earlier node gives (so, cycles), two values of one name, graphs within nodes,
functions of the file's own, tensors that are not what their dims say, values in files elsewhere; see `tensors.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from neocog.engines.room import lacking
from neocog.errors import FormatError
from neocog.interop.onnx.tensors import AnyArray, array_of
from neocog.interop.packages import require
from neocog.model.json_values import shown_value
from neocog.reading import cause_of, expanded, read_file

MAX_FILE = (1 << 31) - 1
"""Bytes: what the format's encoding can hold. Larger models have their values in files beside."""

MAX_NODES = 50_000
MAX_EDGES = 500_000
MAX_METADATA = 1 << 24
"""Characters of one entry."""

OLDEST_OPSET = 7

COPIES = 3
"""Of a file's bytes that are in memory while it is read: the file, its messages, arrays."""


@dataclass(frozen=True, slots=True)
class OnnxNode:
    """One operation of a file.

    Arguments:
        index: its place in the file.
        name: which may be empty.
        operator: such as "Conv".
        domain: whose operator it is; "" is ONNX's own.
        inputs, outputs: names of values; "" is an input that is left out.
        attributes: name → int, float, text, array, or a tuple of these.
        subgraph: whether it holds a graph of its own, as If and Loop do.
    """

    index: int
    name: str
    operator: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(repr=False)
    subgraph: bool = False

    @property
    def title(self) -> str:
        """How messages name it."""
        operator = f"{self.domain}.{self.operator}" if self.domain else self.operator
        return (
            f"node {self.index}, {shown_value(self.name)} ({operator})"
            if self.name
            else f"node {self.index} ({operator})"
        )


@dataclass(frozen=True, slots=True)
class ValueInfo:
    """What a file says of an input or output: its name, the number of its element type, and its sides, of which some
    may be names or unknown; `dims` is None where it says nothing.
    """

    name: str
    element: int
    dims: tuple[int | str | None, ...] | None


@dataclass(frozen=True, slots=True)
class Document:
    """An ONNX file as plain data.

    Arguments:
        path: how messages call the file.
        opset: version of ONNX's operators.
        nodes: in an order in which each comes behind what it takes.
        constants: name → array, of what the file stores.
        inputs: without those that are constants.
        outputs: what it gives.
        metadata: key → text.
        producer: what wrote it.
        sha256: of the file.
    """

    path: str
    opset: int
    nodes: tuple[OnnxNode, ...] = field(repr=False)
    constants: Mapping[str, AnyArray] = field(repr=False)
    inputs: tuple[ValueInfo, ...]
    outputs: tuple[ValueInfo, ...]
    metadata: Mapping[str, str] = field(repr=False)
    producer: str = ""
    sha256: str = ""


def read_document(path: str | Path) -> Document:
    """Read an ONNX file.

    Raises:
        FormatError: there is no such file, or it is not what this file's first lines say.
        NeocogError: the package `onnx` is not installed.
    """
    path = expanded(path)
    try:
        size = path.stat().st_size
        left = lacking(COPIES * size)
        if left is not None:
            raise FormatError(f"{path} cannot be read: that takes {COPIES * size / 1e9:,.1f} GB of memory")
        content = read_file(path, MAX_FILE)
    except FileNotFoundError:
        raise FormatError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise FormatError(f"{path} is a folder, not an ONNX file") from None
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {cause_of(error)}") from None
    return document_of(content, str(path), path.parent)


def document_of(content: bytes, where: str, folder: Path | None = None) -> Document:
    """Read what an ONNX file holds; messages begin with `where`. See `read_document`.

    Arguments:
        content: the file's bytes.
        where: what messages call the file.
        folder: in which further files with values may lie; None: nowhere.
    """
    onnx = require("onnx", "onnx", "reading an ONNX file")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
        if not model.HasField("graph") or not model.graph.node:
            raise FormatError(f"{where} is not an ONNX file, or holds no network")
        return _document(model, where, folder, hashlib.sha256(content).hexdigest(), onnx.defs.onnx_opset_version())
    except FormatError:
        raise
    except UnicodeDecodeError:
        raise FormatError(f"{where}: a name is not valid Unicode") from None
    except Exception as error:  # protobuf's DecodeError, which lies elsewhere in each of its versions
        if type(error).__name__ != "DecodeError":
            raise
        raise FormatError(f"{where} is not an ONNX file, or is damaged", details=(str(error)[:200],)) from None


def _document(model: Any, where: str, folder: Path | None, sha256: str, newest: int) -> Document:
    graph = model.graph
    if model.functions:
        raise FormatError(
            f"{where} brings functions of its own, such as {shown_value(model.functions[0].name)}",
            hint="onnx.inliner.inline_local_functions(model) writes them out",
        )
    if len(graph.node) > MAX_NODES:
        raise FormatError(f"{where} may have at most {MAX_NODES:,} nodes, got {len(graph.node):,}")
    if graph.sparse_initializer:
        raise FormatError(f"{where} holds sparse tensors, which are not read")
    constants = {}
    for tensor in graph.initializer:
        if tensor.name in constants:
            raise FormatError(f"{where}: two tensors are called {shown_value(tensor.name)}")
        constants[tensor.name] = array_of(tensor, folder, f"{where}: tensor {shown_value(tensor.name)}")
    nodes = tuple(_node(index, node, where, folder) for index, node in enumerate(graph.node))
    inputs = tuple(_value(value, where) for value in graph.input if value.name not in constants)
    outputs = tuple(_value(value, where) for value in graph.output)
    _check_order(nodes, {*constants, *(value.name for value in inputs)}, outputs, where)
    return Document(
        where,
        _opset(model, where, newest),
        nodes,
        constants,
        inputs,
        outputs,
        {entry.key: entry.value[:MAX_METADATA] for entry in model.metadata_props},
        f"{model.producer_name} {model.producer_version}".strip(),
        sha256,
    )


def _opset(model: Any, where: str, newest: int) -> int:
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if len(versions) != 1:
        raise FormatError(f"{where} must say one version of ONNX's operators, got {shown_value(versions)}")
    if not OLDEST_OPSET <= versions[0] <= newest:
        raise FormatError(
            f"{where} is of opset {versions[0]}, {OLDEST_OPSET} to {newest} are read",
            hint="pip install -U onnx" if versions[0] > newest else "onnx.version_converter makes it newer",
        )
    return int(versions[0])


def _node(index: int, node: Any, where: str, folder: Path | None) -> OnnxNode:
    attributes: dict[str, Any] = {}
    subgraph = False
    for entry in node.attribute:
        if entry.name in attributes:
            raise FormatError(f"{where}: node {index} has two attributes {shown_value(entry.name)}")
        match entry.type:
            case 1:
                attributes[entry.name] = _decimal(entry.f)
            case 2:
                attributes[entry.name] = entry.i
            case 3:
                attributes[entry.name] = entry.s.decode()
            case 4:
                attributes[entry.name] = array_of(entry.t, folder, f"{where}: node {index}: {entry.name}")
            case 6:
                attributes[entry.name] = tuple(map(_decimal, entry.floats))
            case 7:
                attributes[entry.name] = tuple(entry.ints)
            case 8:
                attributes[entry.name] = tuple(text.decode() for text in entry.strings)
            case 5 | 10:
                subgraph = True
            case _:
                attributes[entry.name] = None
    domain = "" if node.domain == "ai.onnx" else node.domain
    return OnnxNode(index, node.name, node.op_type, domain, tuple(node.input), tuple(node.output), attributes, subgraph)


def _decimal(value: float) -> float:
    """Return the shortest decimal number that a float32 stands for: what somebody wrote.

    >>> _decimal(9.999999747378752e-06)
    1e-05
    """
    return float(str(np.float32(value)))


def _value(value: Any, where: str) -> ValueInfo:
    if not value.type.HasField("tensor_type"):
        raise FormatError(f"{where}: {shown_value(value.name)} must be a tensor")
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return ValueInfo(value.name, tensor.elem_type, None)
    dims: list[int | str | None] = []
    for side in tensor.shape.dim:
        if side.HasField("dim_value"):
            if side.dim_value < 0:
                raise FormatError(f"{where}: {shown_value(value.name)} has a side of {side.dim_value}")
            dims.append(side.dim_value)
        else:
            dims.append(side.dim_param or None)
    return ValueInfo(value.name, tensor.elem_type, tuple(dims))


def _check_order(nodes: tuple[OnnxNode, ...], known: set[str], outputs: tuple[ValueInfo, ...], where: str) -> None:
    """Raise FormatError unless each value is given once, and before it is taken."""
    if sum(len(node.inputs) + len(node.outputs) for node in nodes) > MAX_EDGES:
        raise FormatError(f"{where} may have at most {MAX_EDGES:,} inputs and outputs of nodes in all")
    for node in nodes:
        for name in node.inputs:
            if name and name not in known:
                raise FormatError(
                    f"{where}: {node.title} takes {shown_value(name)}, which nothing before it gives",
                    hint="nodes must stand in order, and a network has no cycles",
                )
        for name in filter(None, node.outputs):
            if name in known:
                raise FormatError(f"{where}: {node.title} gives {shown_value(name)}, which there is already")
            known.add(name)
    for value in outputs:
        if value.name not in known:
            raise FormatError(f"{where}: nothing gives the output {shown_value(value.name)}")
