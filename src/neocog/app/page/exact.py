"""Questions about one image's arithmetic: layers, windows, edges, poolings, gradients, terms."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neocog.app.page.describe import counts_facts, describe_layer, session_facts
from neocog.app.page.message import Answer
from neocog.app.page.question import Question
from neocog.app.page.session import Session
from neocog.app.page.translate import in_all_languages
from neocog.errors import SettingError
from neocog.explain.gradient import conserved, finite_difference, route
from neocog.explain.lens import windows_of_row
from neocog.explain.output import flatten_places, flattened_image, terms_of
from neocog.explain.pooling import pooling_of, sent_back
from neocog.explain.rules import rule_of
from neocog.explain.subject import Array, ProgressListener, check_index, image_output, layer_node
from neocog.explain.tied import as_fully_connected, cut
from neocog.explain.trace import by_class, problems, trace, zero_channels
from neocog.nn.graph import Node
from neocog.nn.layers import AvgPool2d, Conv2d, Flatten, Linear, MaxPool2d
from neocog.nn.shapes import ImageShape
from neocog.nn.summary import weight_counts

MOST_EDGES = 1_000_000  # that are listed one by one
LISTED_TERMS = 64  # of a route; the rest is told as a number


def model(session: Session, question: Question, progress: ProgressListener) -> Answer:
    """The network, layer by layer."""
    return Answer(session_facts(session))


def weights(session: Session, question: Question, progress: ProgressListener) -> Answer:
    """A layer's parameters."""
    node = layer_node(session.model, question.whole("layer"), Conv2d, Linear)
    values = {
        kind: session.model.parameters[f"{node.name}.{kind}"]
        for kind in ("weight", "bias")
        if f"{node.name}.{kind}" in session.model.parameters
    }
    weight = values["weight"]
    bad = int((~np.isfinite(weight)).sum())
    found = [f"{node.title} has {bad} values that are NaN or infinite"] if bad else []
    return Answer({"minimum": _least(weight), "maximum": _most(weight), "problems": found}, values)


def run(session: Session, question: Question, progress: ProgressListener) -> Answer:
    """The network's answer for an image, and what is wrong with it."""
    name = question.text("input")
    item, traced = session.input(name), session.trace(name)
    logits = traced.logits
    finite = bool(np.isfinite(logits).all())
    prediction = int(traced.probabilities.argmax()) if finite else None
    with np.errstate(all="ignore"):
        probabilities = traced.probabilities
    return Answer(
        {
            "prediction": prediction,
            "predicted": list(traced.predicted) if finite else [],
            "probability": float(probabilities[prediction]) if prediction is not None else None,
            "probability_sum": float(probabilities.sum()),
            "labels": list(item.labels),
            "name": item.name,
            "note": in_all_languages(item.note),
            "engine": session.engine,
            "problems": [
                {
                    "layer": None if found.layer is None else session.model.graph.nodes[found.layer].name,
                    "kind": found.kind,
                    "text": found.text,
                    "channels": list(found.channels),
                }
                for found in problems(traced)
            ],
        },
        {
            "image": traced.image,
            "normalised": traced.normalised,
            "logits": traced.class_logits,
            "mean_logits": by_class(traced.mean_logits),
            "probabilities": probabilities,
        },
    )


def check(session: Session, question: Question, progress: ProgressListener) -> Answer:
    """How far the engine's values for an image are from the reference's in float64."""
    name = question.text("input")
    traced, exact = session.trace(name), trace(session.model, session.input(name).image)
    apart = [
        relative_difference(traced.output(node.index), exact.output(node.index)) for node in session.model.graph.nodes
    ]
    return Answer({"engine": session.engine, "logits": apart[-1], "largest": max(apart)})


def activation(session: Session, question: Question, progress: ProgressListener) -> Answer:
    """What a layer gave."""
    node = layer_node(session.model, question.whole("layer"))
    output = session.trace(question.text("input")).output(node.index)
    facts = {"minimum": _least(output), "maximum": _most(output), "zero": list(zero_channels(output))}
    return Answer(facts, {"output": output, **_limits(output)})


def lens(session: Session, question: Question, progress: ProgressListener) -> Answer:
    """The windows of one output row of a convolution, down to each multiplication."""
    node = layer_node(session.model, question.whole("layer"), Conv2d)
    shape = image_output(node)
    filter = check_index("filter", question.whole("filter"), shape.channels)
    row = check_index("row", question.whole("row"), shape.height)
    seen = windows_of_row(session.trace(question.text("input")), node.index, filter, row)
    with np.errstate(all="ignore"):
        # What a reader who adds up the numbers as shown, in float32, is left with.
        shown = seen.products.astype(np.float32).astype(np.float64).sum(axis=(1, 2, 3))
        residue = seen.total.astype(np.float32).astype(np.float64) - (shown + float(np.float32(seen.bias)))
    return Answer(
        {"bias": seen.bias, "activation": _kind(session, seen.activation), "flipped": False},
        {
            "window": seen.window,
            "inside": seen.inside,
            "rows": seen.rows,
            "columns": seen.columns,
            "filter": seen.filter,
            "products": seen.products,
            "channel_sums": seen.channel_sums,
            "running": seen.running,
            "total": seen.total,
            "activated": seen.activated,
            "residue": residue,
        },
    )


def edges(session: Session, question: Question, progress: ProgressListener) -> Answer:
    """A piece of a convolution as a network of tied edges, one of its weights replaced if asked for."""
    node = layer_node(session.model, question.whole("layer"), Conv2d)
    shape = image_output(node)
    tap = question.whole("tap") if "tap" in question.arguments else None
    piece = cut(
        session.trace(question.text("input")),
        node.index,
        check_index("filter", question.whole("filter"), shape.channels),
        question.whole("channel"),
        check_index("row", question.whole("row"), shape.height),
        check_index("column", question.whole("column"), shape.width),
        tap=tap,
        value=question.real("value") if tap is not None else 0.0,
    )
    described = describe_layer(session.model.graph, node)
    weight = piece.weights.ravel()[piece.edges[:, 2]]
    with np.errstate(all="ignore"):
        products = piece.inputs.ravel()[piece.edges[:, 1]] * weight + 0.0  # which makes 0 of -0
    arrays: dict[str, NDArray[Any]] = {
        "edges": np.column_stack([piece.edges, weight]),
        "products": products,
        "weights": piece.weights,
        "inputs": piece.inputs,
        "inputs_inside": piece.inputs_inside,
        "outputs": piece.outputs,
    }
    if tap is not None:
        arrays |= {"original": piece.original, "original_outputs": piece.original_outputs}
    return Answer(
        {
            "input_box": piece.input_box,
            "output_box": piece.output_box,
            "counts": counts_facts(piece.counts),
            "counts_with_bias": counts_facts(piece.counts_with_bias),
            "layer_counts": described["counts"],
            "layer_counts_with_bias": described["counts"] if described["bias"] else None,
            "layer_counts_without_bias": described["counts_without_bias"],
            "enumerated": _enumerated(session, node),
            "whole": piece.whole,
        },
        arrays,
    )


def pooling(session: Session, question: Question, progress: ProgressListener) -> Answer:
    """One channel of a pooling, or of the other kind in its place: winners, ties, means; what goes back through it."""
    node = layer_node(session.model, question.whole("layer"), MaxPool2d, AvgPool2d)
    traced, channel = session.trace(question.text("input")), question.whole("channel")
    kind = question.arguments.get("kind")
    seen = pooling_of(traced, node.index, channel, kind)
    arrays: dict[str, NDArray[Any]] = {"input": seen.input, "output": seen.output}
    if seen.kind == "max":
        arrays |= {
            "winner": seen.winner,
            "winner_row": seen.winner_row,
            "winner_column": seen.winner_column,
            "ties": seen.ties,
        }
    else:
        arrays |= {"sum": seen.sum, "counted": seen.counted}
    if "target" in question.arguments:
        back = session.flow(question.text("input"), question.text("target")).outputs[node.index][..., channel]
        with np.errstate(all="ignore"):
            share = back / seen.counted if seen.kind == "average" else back
        sent = sent_back(traced, node.index, channel, back, kind)
        arrays |= {"gradient": back, "share": share, "sent": sent}
    facts = {"kind": seen.kind, "cells": seen.cells, "padding_counts": seen.padding_counts, "rule": seen.rule}
    return Answer(facts, arrays)


def gradient(session: Session, question: Question, progress: ProgressListener) -> Answer:
    """The gradient of a target at a layer's output, or at the image (layer -1)."""
    flow = session.flow(question.text("input"), question.text("target"))
    index = question.whole("layer")
    facts: dict[str, Any] = {"value": flow.value, "sum_of_input": None, "conserved": None, "finite_difference": None}
    if index == -1:
        found = finite_difference(flow)
        with np.errstate(all="ignore"):
            facts["sum"] = float(flow.image.sum())
        facts["finite_difference"] = {
            "checked": found.checked,
            "largest": found.largest,
            "skipped": found.skipped,
        }
        return Answer(facts, {"gradient": flow.image, "normalised": flow.normalised, **_limits(flow.image)})
    node = layer_node(session.model, index)
    with np.errstate(all="ignore"):
        out, into = float(flow.outputs[index].sum()), float(flow.sent(index).sum())
        size = float(np.abs(flow.outputs[index]).sum())
    facts["sum"], facts["sum_of_input"] = out, into
    promised = conserved(node)
    facts["conserved"] = promised if promised is None else bool(promised and abs(out - into) <= 1e-9 * size)
    return Answer(facts, {"gradient": flow.outputs[index], **_limits(flow.outputs[index])})


def gradient_route(session: Session, question: Question, progress: ProgressListener) -> Answer:
    """Where the gradient of one input cell of a layer comes from."""
    flow = session.flow(question.text("input"), question.text("target"))
    node = layer_node(session.model, question.whole("layer"))
    row, column, channel = (question.whole(name) for name in ("row", "column", "channel"))
    found = route(flow, node.index, row, column, channel, question.whole("position", 0))
    listed = slice(0, LISTED_TERMS)
    won = [[int(p), int(q)] for (p, q, _), factor in zip(found.places, found.factors, strict=True) if factor]
    return Answer(
        {
            "total": found.total,
            "gradient": found.gradient,
            "listed_sum": float(found.contributions[listed].sum()),
            "count": len(found.places),
            "kind": type(node.layer).__name__,
            "slope": float(found.factors[0]) if rule_of(node).view == "activation" else None,
            "winner_of": won if isinstance(node.layer, MaxPool2d) else [],
        },
        {
            "terms": np.column_stack([found.places[listed], found.factors[listed], found.gradients[listed]]),
            "contributions": found.contributions[listed],
        },
    )


def linear_terms(session: Session, question: Question, progress: ProgressListener) -> Answer:
    """One output of a fully connected layer, term by term."""
    node = layer_node(session.model, question.whole("layer"), Linear)
    seen = terms_of(session.trace(question.text("input")), node.index, question.whole("output"))
    arrays: dict[str, NDArray[Any]] = {
        "input": seen.input,
        "weight": seen.weight,
        "products": seen.products,
        "order": seen.order,
    }
    if seen.image is not None:
        arrays["place"] = flatten_places(seen.image)
    with np.errstate(all="ignore"):
        shown = float(seen.products.astype(np.float32).astype(np.float64).sum())
        residue = float(np.float32(seen.total)) - (shown + float(np.float32(seen.bias)))
        products_sum = float(seen.products.sum())
    last = node.index == len(session.model.graph.nodes) - 1
    return Answer(
        {
            "bias": seen.bias,
            "total": seen.total,
            "products_sum": products_sum,
            "residue": residue,
            "image": _sides(seen.image),
            "name": session.model.class_names[question.whole("output")] if last else None,
        },
        arrays,
    )


def flatten(session: Session, question: Question, progress: ProgressListener) -> Answer:
    """What each place of a flattened vector was."""
    node: Node = layer_node(session.model, question.whole("layer"))
    shape = node.input if isinstance(node.layer, Flatten) else flattened_image(session.model.graph, node.index)
    if not isinstance(shape, ImageShape):
        raise SettingError(f"{node.title} reads no flattened image")
    return Answer({"image": _sides(shape)}, {"place": flatten_places(shape)})


EXACT = {
    "model": model,
    "weights": weights,
    "run": run,
    "check": check,
    "activation": activation,
    "lens": lens,
    "edges": edges,
    "pooling": pooling,
    "gradient": gradient,
    "route": gradient_route,
    "terms": linear_terms,
    "flatten": flatten,
}


def _enumerated(session: Session, node: Node) -> bool | None:
    """Whether a layer's counts, which follow from its shapes, were found again by listing its edges; None: too many."""
    counts = weight_counts(node)
    if counts is None or counts.local > MOST_EDGES:
        return None
    return session.remember(
        ("counted", node.index), lambda: as_fully_connected(session.model, node.index).counts() == counts
    )


def _sides(shape: ImageShape | None) -> list[int] | None:
    return None if shape is None else [shape.height, shape.width, shape.channels]


def _kind(session: Session, index: int | None) -> str | None:
    return None if index is None else type(session.model.graph.nodes[index].layer).__name__


def relative_difference(values: Array, exact: Array) -> float:
    """Return the largest difference, relative to the largest exact value; NaN where values are not finite."""
    with np.errstate(all="ignore"):
        scale, apart = float(np.abs(exact).max()), float(np.abs(values - exact).max())
        return apart / scale if scale else apart


def _least(values: NDArray[Any]) -> float:
    return float(values.min())


def _most(values: NDArray[Any]) -> float:
    return float(values.max())


def _limits(values: Array) -> dict[str, Array]:
    """Return the smallest and the largest value of each map; of a vector, of the whole."""
    flat = values.reshape(-1, values.shape[-1] if values.ndim == 3 else 1)
    return {"minimum": flat.min(axis=0), "maximum": flat.max(axis=0)}
