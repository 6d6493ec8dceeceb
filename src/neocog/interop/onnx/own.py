"""Files that neocog wrote: read back with all that the model had, and not its layers alone.

What is in the graph is found there, whatever the metadata say. What only the metadata know (thresholds, how pictures
are resized, calibration) is taken from them where the graph agrees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from neocog.engines.base import Engine
from neocog.errors import FormatError
from neocog.interop.onnx.document import Document, OnnxNode
from neocog.interop.onnx.metadata import NEOCOG
from neocog.interop.onnx.tensors import AnyArray
from neocog.interop.onnx.writer import LOGITS, PROBABILITIES, places
from neocog.model.files import TensorFile
from neocog.model.json_values import parse_json
from neocog.model.modelfile import network_from
from neocog.model.nodes import nodes_to_json
from neocog.model.views import PLAIN, VIEWS, View, Views
from neocog.train.model import Model

_CLOSE = 1e-5  # of a deviation: scale and shift are float32 in the graph


def own_output(names: Sequence[str]) -> str | None:
    """Return which of a file's outputs are the logits, if these are the outputs of one of ours."""
    return LOGITS if sorted(names) == sorted((PROBABILITIES, LOGITS)) else None


def without_views(document: Document) -> tuple[Document, Views]:
    """Return a file that looks at each image once, and how it looked at images, if it is one of ours; else itself."""
    makers = {name: node for node in document.nodes for name in node.outputs}
    tail = _back(makers, LOGITS, ("Identity", "ReduceSum", "Mul", "Reshape"))
    joins = [node for node in document.nodes if node.operator == "Concat" and node.attributes.get("axis") == 0]
    if tail is None or len(joins) != 1:
        return document, PLAIN
    (join,), (_, total, weighed, apart) = joins, tail
    looks = [_look(makers, document.constants, value) for value in join.inputs]
    sources = {source for source, _ in looks}
    shares = document.constants.get(weighed.inputs[1])
    for name, views in VIEWS.items():
        if len(views) == len(looks) and len(sources) == 1 and shares is not None:
            alike = all(_is(view, indices) for view, (_, indices) in zip(views, looks, strict=True))
            if alike and np.array_equal(shares.ravel(), np.array([view.share for view in views], np.float32)):
                aliases = {join.outputs[0]: sources.pop(), total.outputs[0]: apart.inputs[0]}
                gone = {join.index, *(node.index for node in tail[1:])}
                nodes = tuple(_renamed(node, aliases) for node in document.nodes if node.index not in gone)
                return replace(document, nodes=nodes), name
    return document, PLAIN


def _back(makers: Mapping[str, OnnxNode], value: str, operators: Sequence[str]) -> list[OnnxNode] | None:
    """Return the nodes of these operators that a value comes from, each by the first input of the one before."""
    found = []
    for operator in operators:
        node = makers.get(value)
        if node is None or node.operator != operator:
            return None
        found.append(node)
        value = node.inputs[0]
    return found


def _look(
    makers: Mapping[str, OnnxNode], constants: Mapping[str, AnyArray], value: str
) -> tuple[str, dict[int, AnyArray]]:
    """Return the value that others were gathered from, and which rows (axis 2) and columns (3)."""
    indices: dict[int, AnyArray] = {}
    while (node := makers.get(value)) is not None and node.operator == "Gather":
        axis, taken = node.attributes.get("axis", 0), constants.get(node.inputs[1])
        if axis not in (2, 3) or axis in indices or taken is None:
            break
        indices[axis] = taken
        value = node.inputs[0]
    return value, indices


def _is(view: View, indices: Mapping[int, AnyArray]) -> bool:
    """Whether these rows and columns are those that a view shows; where there are none, all in order."""
    return all(
        np.array_equal(taken, places(view, len(taken), axis)) if taken is not None and taken.ndim == 1 else plain
        for axis, taken, plain in (
            (2, indices.get(2), view.shift == 0),
            (3, indices.get(3), view.shift == 0 and not view.mirrored),
        )
    )


def _renamed(node: OnnxNode, aliases: Mapping[str, str]) -> OnnxNode:
    return replace(node, inputs=tuple(aliases.get(name, name) for name in node.inputs))


def restored(
    model: Model, document: Document, *, engine: str | Engine, threads: int | None, allow_nonfinite: bool
) -> Model:
    """Return a model that was read from a file, with what the file's metadata say of it, if it is one of ours.

    Raises:
        FormatError: the metadata are damaged, or of another network than the graph.
    """
    text = document.metadata.get(NEOCOG)
    if text is None:
        return model
    where = f"{document.path}: the metadata entry {NEOCOG!r}"
    facts = parse_json(text, where) | {"nodes": nodes_to_json(model.graph)}
    facts.pop("views", None)
    facts.pop("scales", None)  # which files had before: by names of layers that are others here
    if model.views != PLAIN:
        facts["views"] = model.views
    found = network_from(
        where,
        TensorFile(facts, model.state_dict()),
        Model,
        engine=engine,
        threads=threads,
        allow_nonfinite=allow_nonfinite,
    )
    normalisations = (found.graph.normalisation, model.graph.normalisation)
    said, computed = (np.array(each.per_channel(model.graph.input.channels)) for each in normalisations)
    if found.input_shape != model.input_shape or not (np.abs(said - computed) <= _CLOSE * said[1]).all():
        raise FormatError(
            f"{where} is of another network than the graph",
            hint="somebody has changed one of them: without the entry, the file is read as the graph has it",
        )
    return found
