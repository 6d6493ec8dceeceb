"""A network as an ONNX file, from pictures to probabilities: `neocog export MODEL --to onnx`.

    images         (N, height, width, channels) uint8: pictures of the network's size; or, if asked for, (N, channels,
                   height, width) float32 from 0 to 1
    probabilities  what `Network.predict_proba` gives, by the network's views and temperature
    logits         what `Network.logits` gives

N is free. What is withheld as unknown, and above which probability a label is given, is not part of the graph: the
metadata say it (metadata.py).
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from neocog.errors import NeocogError, NeocogWarning, SettingError
from neocog.interop.onnx.metadata import PREPROCESSING, metadata_of
from neocog.interop.onnx.operations import write_layers
from neocog.interop.onnx.replay import Replay, pictures_for, replay, runtime
from neocog.interop.onnx.writer import INPUT, LOGITS, PROBABILITIES, OnnxWriter, places
from neocog.interop.packages import install, require
from neocog.model.views import VIEWS
from neocog.model.writing import write_atomically
from neocog.nn.limits import shown

if TYPE_CHECKING:
    from neocog.model.network import Network
    from neocog.model.pictures import AnyImages

Input = Literal["uint8", "float"]
"""What a file takes: pictures as they are read, channels last, or numbers from 0 to 1, channels first."""

INPUTS: tuple[Input, ...] = get_args(Input)
OPSET = 17
"""Of 2022: every runtime of today reads it, and it has an operator for almost every layer."""

PRODUCER = "neocog"
MARK = bytes((2 << 3 | 2, len(PRODUCER))) + PRODUCER.encode()
"""What files that were written here hold at their beginning: the field producer_name of a ModelProto."""

MOST_BYTES = (1 << 31) - (1 << 20)
"""Bytes of weights that fit into an ONNX file, which may have 2 GiB."""

_IMAGES = "N"  # the name of the free axis


def to_onnx(
    network: Network,
    path: str | Path,
    *,
    input: Input = "uint8",
    opset: int | None = None,
    fold: bool = False,
    images: AnyImages | None = None,
    strict: bool = False,
) -> Replay | None:
    """Write a network as an ONNX file that takes pictures and gives probabilities, and that needs neocog no more.

    Before the file gets its name, ONNX Runtime answers at least 100 images with it. Where it does not answer as the
    network does, there is no file, and what was there before stays.

    Arguments:
        network: `neocog.Model` or `Network`.
        path: the file.
        input: "uint8": pictures (N, height, width, channels), as they are read; "float": (N, channels, height, width),
            float32 from 0 to 1. Normalising is part of the file either way; bringing a picture to the network's size
            is not: the metadata say how.
        opset: the version of ONNX's operators, from 17; None: that one.
        fold: whether normalizations, and branches of convolutions that are added up, become part of the convolutions'
            weights. Without, they stay what they are, so that the file can be trained on.
        images: what is answered, as `Network.predict` takes images; where they are fewer than 100, or none, random
            pictures are answered too.
        strict: whether it is an error that ONNX Runtime is not installed; else that is a warning.

    Returns:
        Replay: what was compared; None without ONNX Runtime.

    Raises:
        NeocogError: ONNX Runtime answers otherwise, or a package is missing; the file cannot be written.
        SettingError: an argument is out of its range.

    >>> import tempfile
    >>> from neocog.model.network import Network
    >>> from neocog.nn.blocks import Sequential
    >>> from neocog.nn.layers import Conv2d, Flatten, Linear, ReLU
    >>> network = Network(Sequential(Conv2d(2, 3), ReLU(), Flatten(), Linear(2)), (6, 6, 1), ["circle", "cross"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     to_onnx(network, f"{folder}/shapes.onnx", strict=True).images
    100
    """
    content = onnx_bytes(network, input=input, opset=opset, fold=fold)
    replayed = None
    if strict or runtime() is not None:
        replayed = replay(content, network, pictures_for(network, images, floating=input == "float"))
    else:
        warnings.warn(
            NeocogWarning(
                f"{path}: nothing was replayed, since ONNX Runtime is not installed",
                hint=install("onnx"),
            ),
            stacklevel=2,
        )
    write_atomically(path, content)
    return replayed


def onnx_bytes(network: Network, *, input: Input = "uint8", opset: int | None = None, fold: bool = False) -> bytes:
    """Return what `to_onnx` writes, checked by ONNX's own checker; same network, same bytes.

    Arguments, errors: those of `to_onnx`.
    """
    onnx = require("onnx", "onnx", "writing ONNX")
    opset, newest = OPSET if opset is None else opset, onnx.defs.onnx_opset_version()
    if input not in INPUTS:
        raise SettingError(f"input must be {' or '.join(INPUTS)}, got {shown(input)}")
    if isinstance(opset, bool) or not isinstance(opset, int) or not OPSET <= opset <= newest:
        raise SettingError(f"opset must be a whole number from {OPSET} to {newest}, got {shown(opset)}")
    network = network.folded() if fold else network
    state = network.state_dict()
    size = sum(value.nbytes for value in state.values())
    if size > MOST_BYTES:
        raise NeocogError(f"an ONNX file holds at most {MOST_BYTES:,} bytes of weights, this network has {size:,}")
    writer = OnnxWriter(state, opset)
    values = _with_views(writer, network, _images(writer, network, input))
    logits = _mean_of_views(writer, network, write_layers(writer, network.graph, values))
    _answers(writer, network, logits)
    model = _model(writer, network, input)
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _images(writer: OnnxWriter, network: Network, input: Input) -> str:
    """Write what happens to images before the first layer, by the same two operations as in compiled programs."""
    writer.begin("normalise")
    value, factor = INPUT, 1.0
    if input == "uint8":
        value = writer.add("Cast", writer.add("Transpose", value, perm=[0, 3, 1, 2]), to=writer.float32)
        factor = 1.0 / 255.0
    channels = network.graph.input.channels
    mean, std = (np.array(values) for values in network.graph.normalisation.per_channel(channels))
    scale, shift = factor / std, -mean / std
    if (scale != 1.0).any():
        value = writer.add("Mul", value, writer.constant(scale.reshape(channels, 1, 1)))
    if shift.any():
        value = writer.add("Add", value, writer.constant(shift.reshape(channels, 1, 1)))
    return value


def _with_views(writer: OnnxWriter, network: Network, value: str) -> str:
    """Write how each image is looked at: all views one behind another, as if they were more images."""
    views = VIEWS[network.views]
    if len(views) == 1:
        return value
    writer.begin("views")
    seen, (height, width, _) = [], network.input_shape
    for view in views:
        part = value
        for axis, side in ((2, height), (3, width)):
            shown_there = places(view, side, axis)
            if (shown_there != np.arange(side)).any():
                part = writer.add("Gather", part, writer.constant(shown_there, np.int64), axis=axis)
        seen.append(part)
    return writer.add("Concat", *seen, axis=0)


def _mean_of_views(writer: OnnxWriter, network: Network, logits: str) -> str:
    views = VIEWS[network.views]
    if len(views) == 1:
        return logits
    writer.begin("mean")
    (outputs,) = network.graph.answer_shape
    shares = writer.constant(np.reshape([view.share for view in views], (-1, 1, 1)))
    each = writer.add("Reshape", logits, writer.constant([len(views), -1, outputs], np.int64))
    return writer.add("ReduceSum", writer.add("Mul", each, shares), writer.constant([0], np.int64), keepdims=0)


def _answers(writer: OnnxWriter, network: Network, logits: str) -> None:
    writer.begin("answers")
    if network.loss.several_labels:
        writer.add("Sigmoid", logits, output=PROBABILITIES)
    else:
        tempered = logits
        if network.temperature != 1.0:
            tempered = writer.add("Div", logits, writer.constant(network.temperature))
        writer.add("Softmax", tempered, output=PROBABILITIES, axis=-1)
    writer.add("Identity", logits, output=LOGITS)


def _model(writer: OnnxWriter, network: Network, input: Input) -> Any:
    """Return the file as an onnx.ModelProto."""
    onnx = require("onnx", "onnx", "writing ONNX")
    from neocog import __version__

    helper, types = onnx.helper, onnx.TensorProto
    height, width, channels = network.input_shape
    shape = (height, width, channels) if input == "uint8" else (channels, height, width)
    kind = types.UINT8 if input == "uint8" else types.FLOAT
    answer = (_IMAGES, *network.graph.answer_shape)
    metadata = metadata_of(network, input)
    graph = helper.make_graph(
        writer.operations,
        "neocog",
        [helper.make_tensor_value_info(INPUT, kind, (_IMAGES, *shape), metadata[PREPROCESSING])],
        [helper.make_tensor_value_info(name, types.FLOAT, answer) for name in (PROBABILITIES, LOGITS)],
        list(writer.arrays.values()),
    )
    opsets = [helper.make_opsetid("", writer.opset)]
    model = helper.make_model(
        graph,
        opset_imports=opsets,
        ir_version=helper.find_min_ir_version_for(opsets),
        producer_name=PRODUCER,
        producer_version=__version__,
    )
    helper.set_model_props(model, metadata)
    return model
