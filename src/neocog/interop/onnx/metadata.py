"""What an ONNX file says of itself beside its graph: classes, preprocessing, thresholds, licence.

    class_names     a JSON list, one name for each output
    preprocessing   a sentence: how a picture becomes an input
    answers         a sentence: above or below which probability what is answered
    license         the terms of the weights that the network began with, where they are known
    source          where those weights were to be had
    neocog          a JSON object: the metadata of a model file (docs/formats.md) without its nodes and scales

The last one is for neocog, which reads a file back by it; the others are for people and for other programs.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from neocog.model.modelfile import document_of

if TYPE_CHECKING:
    from neocog.model.network import Network

CLASS_NAMES, PREPROCESSING, ANSWERS = "class_names", "preprocessing", "answers"
LICENSE, SOURCE, NEOCOG = "license", "source", "neocog"
_COLOURS = {"L": "grey", "RGB": "red, green, blue", "RGBA": "red, green, blue, alpha"}


def metadata_of(network: Network, input: str) -> dict[str, str]:
    """Return the metadata of a network's file, which takes `input`: name → text."""
    document = document_of(network)
    del document["nodes"]
    document.pop("scales", None)  # by the names of layers, which a reader of the graph names anew
    origin = network.origin
    known = {} if origin is None else {LICENSE: origin.licence, SOURCE: origin.source}
    return {
        CLASS_NAMES: _json(list(network.class_names)),
        PREPROCESSING: _preprocessing(network, input),
        ANSWERS: _answers(network),
        **{name: text for name, text in known.items() if text is not None},
        NEOCOG: _json(document),
    }


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _preprocessing(network: Network, input: str) -> str:
    height, width, channels = network.input_shape
    order = network.color_order
    colours = f"{channels} channels" if order is None else _COLOURS[order]
    form = (
        f"uint8 (N, {height}, {width}, {channels}), from 0 to 255"
        if input == "uint8"
        else f"float32 (N, {channels}, {height}, {width}), from 0 to 1"
    )
    return (
        f"{form}; channels: {colours}. Pictures of another size are resized by {network.resize!s}, with Pillow's "
        "filters. Mean and deviation are part of the graph: do not normalise."
    )


def _answers(network: Network) -> str:
    if network.loss.several_labels:
        thresholds = network.thresholds or (0.5,) * len(network.class_names)
        return f"A label is given where its probability is above: {', '.join(f'{value:.9g}' for value in thresholds)}."
    told = "The class is that of the largest probability"
    if network.reject_below is None:
        return f"{told}."
    return f"{told}; where that is below {network.reject_below:.9g}, the answer is unknown."
