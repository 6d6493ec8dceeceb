"""The network as the page lists it: layers, shapes, counts, windows, receptive fields."""

from __future__ import annotations

import math
from importlib.metadata import version
from typing import Any

from neocog.app.page.kernels import kernel_defaults
from neocog.app.page.session import FIRST, MOST_BYTES, Session
from neocog.explain.judgement import Judgement
from neocog.explain.receptive import Field, receptive_fields
from neocog.explain.rules import RULES
from neocog.model.views import PLAIN
from neocog.nn.answer import activation_behind
from neocog.nn.graph import Graph, Node
from neocog.nn.layers import Conv2d, ConvTranspose2d, Linear
from neocog.nn.shapes import ImageShape, Shape
from neocog.nn.summary import WeightCounts, multiply_adds, weight_counts

COLORS = {1: "L", 3: "RGB", 4: "RGBA"}


def session_facts(session: Session) -> dict[str, Any]:
    """Return the facts of the question `model`."""
    model, graph = session.model, session.model.graph
    fields = receptive_fields(graph)
    layers = [describe_layer(graph, node, fields[node.index]) for node in graph.nodes]
    counts = [layer["counts"] for layer in layers if layer["counts"]]
    judgement = Judgement.of(model)
    mean, std = graph.normalisation.per_channel(graph.input.channels)
    return {
        "title": session.title,
        "version": version("neocog"),
        "lesson": session.lesson,
        "live": True,
        "notebook": session.notebook,
        "classes": list(model.class_names),
        "by_pixel": isinstance(graph.output, ImageShape),
        "loss": {
            "kind": type(model.loss).__name__,
            "several_labels": model.loss.several_labels,
            "plain": model.loss == type(model.loss)(),
        },
        "answers": {
            "temperature": judgement.temperature,
            "reject_below": judgement.reject_below,
            "views": getattr(model, "views", PLAIN),
        },
        "has_data": session.gallery is not None,
        "data_name": session.gallery.name if session.gallery else None,
        "data_count": len(session.gallery) if session.gallery else 0,
        "has_learning": session.run is not None or session.lesson,
        "input": {
            "height": graph.input.height,
            "width": graph.input.width,
            "channels": graph.input.channels,
            "color": COLORS.get(graph.input.channels),
            "mean": list(mean),
            "std": list(std),
            "resize": str(session.resize),
            "most_bytes": MOST_BYTES,
        },
        "first": FIRST if FIRST in session.inputs else None,
        "totals": {
            "parameters": sum(layer["parameters"] for layer in layers),
            "multiply_adds": sum(layer["multiply_adds"] for layer in layers),
            **{name: sum(count[name] for count in counts) for name in ("fully_connected", "local", "shared")},
        },
        "layers": layers,
        "defaults": {**defaults(graph.input), "control": session.control, "kernel": kernel_defaults(graph)},
        "recorded": None,
    }


def defaults(image: ImageShape) -> dict[str, Any]:
    """Return the arguments that views begin with, for a size of image."""
    side = min(image.height, image.width)
    patch = max(1, side // 6)
    step = max(1, side // 7)
    return {
        "occlusion": {"baseline": "black", "patch": patch, "stride": max(1, patch // 2)},
        "shift": {"most": min(2 * step, side), "step": step},
        "seed": 0,
    }


def describe_layer(graph: Graph, node: Node, field: Field | None = None) -> dict[str, Any]:
    """Return what the page lists of one layer, with its receptive field, if that is asked for."""
    counts = weight_counts(node)
    layer = node.layer
    shape = node.weight_shape
    rule = RULES.get(type(layer))
    return {
        "index": node.index,
        "name": node.name,
        "kind": type(layer).__name__,
        "title": node.title,
        "inputs": list(node.inputs),
        "input": _sides(node.input),
        "output": _sides(node.output),
        "groups": layer.groups if isinstance(layer, Conv2d) else 1,
        "parameters": sum(variable.size for variable in layer.variables(*node.shapes) if variable.trainable),
        "multiply_adds": multiply_adds(node),
        "counts": counts_facts(counts),
        "counts_without_bias": counts_facts(without_bias(node, counts, math.prod(shape) if shape else 0)),
        "window": _window(node),
        "bias": layer.bias if isinstance(layer, Conv2d | ConvTranspose2d | Linear) else None,
        "activation": activation_behind(graph, node.index)
        if isinstance(layer, Conv2d | ConvTranspose2d | Linear)
        else None,
        "field": _field(field),
        "view": rule.view if rule else None,
        "steps": rule is not None and rule.steps is not None,
    }


def counts_facts(counts: WeightCounts | None) -> dict[str, int] | None:
    """Return the three counts by name."""
    if counts is None:
        return None
    return {"fully_connected": counts.fully_connected, "local": counts.local, "shared": counts.shared}


def without_bias(node: Node, counts: WeightCounts | None, weights: int) -> WeightCounts | None:
    """Return the three counts of a layer's weights alone."""
    if counts is None or not isinstance(node.layer, Conv2d | ConvTranspose2d | Linear) or not node.layer.bias:
        return counts
    outputs = node.output.size
    return WeightCounts(counts.fully_connected - outputs, counts.local - outputs, weights)


def _sides(shape: Shape) -> list[int]:
    return [shape.height, shape.width, shape.channels] if isinstance(shape, ImageShape) else [shape.size]


def _window(node: Node) -> dict[str, list[int]] | None:
    if not isinstance(node.input, ImageShape):
        return None
    walk = node.layer.window_over(node.input)
    if walk is None:
        return None
    axes = (walk.vertical, walk.horizontal)
    return {
        name: [getattr(axis, name) for axis in axes] for name in ("kernel", "stride", "dilation", "before", "after")
    }


def _field(field: Field | None) -> dict[str, list[int]] | None:
    if field is None:
        return None
    return {"size": list(field.size), "stride": list(field.stride), "start": list(field.start)}
