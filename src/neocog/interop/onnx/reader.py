"""An ONNX file as a model: each node is a constant, a way to look at a value, or a layer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from neocog.data.resize import DEFAULT_RESIZE, ResizeRule
from neocog.engines.base import Engine
from neocog.engines.precision import Precision
from neocog.errors import FormatError, NeocogError, SettingError
from neocog.interop.onnx.call import NodeCall, Unsupported, Value
from neocog.interop.onnx.constants import FOLDS
from neocog.interop.onnx.document import Document, OnnxNode, ValueInfo, read_document
from neocog.interop.onnx.names import layer_names, names_from
from neocog.interop.onnx.own import own_output, restored, without_views
from neocog.interop.onnx.parts import Flow, LogSoftmax, Parts
from neocog.interop.onnx.pixels import normalisation, tell_of_range
from neocog.interop.onnx.reading import RULES
from neocog.interop.onnx.simplify import Simplified, simplified
from neocog.interop.onnx.tensors import AnyArray, type_name
from neocog.interop.onnx.views import image_view
from neocog.model.arguments import check_numbers
from neocog.model.json_values import listed, shown_value
from neocog.model.origin import MOST_TEXT, Origin
from neocog.nn.graph import Graph
from neocog.nn.layers import MaxPool2d, Sigmoid, Softmax
from neocog.nn.losses import BinaryCrossEntropy
from neocog.nn.shapes import ImageShape, VectorShape, checked_image_shape
from neocog.nn.wiring import IMAGE, Wiring
from neocog.train.model import Model

BATCH = (1 << 31) - 1
"""Stands for the number of images while a file is read that leaves it open: a prime, which no side of a tensor is, so
that it is found again in shapes that the file computes."""

MAX_FOLDED = 1 << 29
"""Bytes of all constants that are computed while a file is read."""

LISTED = 50
"""Nodes that a message lists."""

Layout: TypeAlias = Literal["NCHW", "NHWC"]


class _Unknown:
    """What a node gives that was refused."""


def from_onnx(
    path: str | Path,
    *,
    class_names: Sequence[str] | str | Path | None = None,
    value_range: float | None = None,
    mean: float | Sequence[float] = 0.0,
    std: float | Sequence[float] = 1.0,
    input_shape: tuple[int, int] | None = None,
    layout: Layout | None = None,
    output: str | None = None,
    resize: str | ResizeRule = DEFAULT_RESIZE,
    engine: str | Engine = "native",
    threads: int | None = None,
    precision: Precision = "float32",
    allow_nonfinite: bool = False,
) -> Model:
    """Read a convolutional network from an ONNX file, as a model that answers, is explained, and can be trained on.

    Nothing of the file is executed. Each BatchNormalization stays one, with its running averages. Arithmetic on the
    image at the head of the network becomes the model's normalisation. A Softmax at its end is left out, since
    `predict_proba` gives it; one of several labels, a Sigmoid at its end, makes BinaryCrossEntropy the model's loss.
    docs/onnx.md says which operators are read, and how. A file that neocog wrote brings back what the model had beside
    its layers, such as views, thresholds and calibration, where nothing but `engine`,
    `threads` and `precision` is given.

    Arguments:
        path: the file. Values that lie beside it, in the same folder, are read too.
        class_names: one for each output, or a text file with one a line; default: what the file says, or numbers.
        value_range: what the network takes for white: 1 or 255, for images in 0 to 1 or 0 to 255. Default: 255 where
            the file takes uint8, or where what it subtracts and divides by at its head says so; else 1.
        mean, std: what the network expects to be done to images, in the units of `value_range`, before they come to it:
            (image - mean) / std. One number, or one a channel.
        input_shape: (height, width), pixels, where the file leaves them open.
        layout: of the file's images; default: "NHWC" where it transposes them first, else "NCHW".
        output: which of the file's outputs is meant, where there are several.
        resize: how image files of another size are brought to the network's.
        engine, threads, precision: what the model shall run on and compute with, as for Model.
        allow_nonfinite: whether weights that are NaN or infinite are taken, to look at what they do.

    Returns:
        Model: with `class_names`; where the outputs of the file are those of a Flatten, in neocog's order, and so are
        the names.

    Raises:
        FormatError: there is no such file, it is damaged, or holds nodes that no layer can do: all of them are named.
        SettingError: an argument is out of its range, or needed.
        NeocogError: the package `onnx` is not installed.

    >>> model = from_onnx("resnet8.onnx", value_range=255)  # doctest: +SKIP
    >>> model.predict_proba("cat.jpg")  # doctest: +SKIP
    """
    document, views = without_views(read_document(path))
    try:
        reading = _Reading(document, input_shape, layout, output)
        answer = reading.answer()
        network = simplified(reading.parts, answer.value)
        reading.refuse(network.refusals)
        given = check_numbers("mean", mean), check_numbers("std", std)
        own_mean, own_std = normalisation(network, document.inputs, value_range, *given)
        model = Model(
            _graph(network, reading.parts.image),
            reading.parts.image,
            reading.class_names(answer, class_names),
            mean=own_mean,
            std=own_std,
            resize=resize,
            loss=BinaryCrossEntropy() if reading.several_labels else None,
            engine=engine,
            threads=threads,
        )
        names = [node.name for node in model.graph.nodes]
        values = {
            f"{name}.{key}": value
            for name, part in zip(names, network.parts, strict=True)
            for key, value in part.arrays.items()
        }
        model.load_parameters(values, allow_nonfinite=allow_nonfinite)
        model.origin, model.views = _origin(document), views
        if value_range is None and given == ((0.0,), (1.0,)):
            tell_of_range(document, network)
        if (class_names, value_range, output, resize, *given) == (None, None, None, DEFAULT_RESIZE, (0.0,), (1.0,)):
            model = restored(model, document, engine=engine, threads=threads, allow_nonfinite=allow_nonfinite)
        model.precision = precision
    except SettingError as error:
        raise SettingError(f"{path}: {error.message}", details=error.details, hint=error.hint) from None
    except FormatError:
        raise
    except NeocogError as error:
        raise FormatError(f"{path}: {error.message}", details=error.details, hint=error.hint) from None
    return model


class _Reading:
    """One pass over a file's nodes."""

    def __init__(
        self, document: Document, input_shape: tuple[int, int] | None, layout: Layout | None, output: str | None
    ) -> None:
        self.document = document
        self.several_labels = False
        self.output = _chosen(document.outputs, output)
        self.nodes = _needed(document.nodes, self.output)
        source = _image_input(document, self.nodes)
        layout = layout or _layout_of(source.name, self.nodes)
        batch, image = _image_shape(source, input_shape, layout)
        self.parts = Parts(image)
        view = image_view(batch, image.channels, image.height, image.width)
        if layout == "NHWC":
            view = (view[0], view[2], view[3], view[1])
        self.values: dict[str, Value | _Unknown] = dict(document.constants)
        self.values[source.name] = Flow(IMAGE, image, view)
        self._folded = 0
        refusals = []
        for node in self.nodes:
            try:
                results = self._results(node)
            except Unsupported as reason:
                refusals.append(f"{node.title}: {reason}")
                results = [_Unknown()] * len(node.outputs)
            self.values.update((name, result) for name, result in zip(node.outputs, results, strict=False) if name)
        self.refuse(refusals)

    def refuse(self, refusals: Sequence[str]) -> None:
        """Raise FormatError where there is something to be refused."""
        if refusals:
            raise FormatError(
                f"{self.document.path} holds {len(refusals)} {'node' if len(refusals) == 1 else 'nodes'} "
                f"that {'is' if len(refusals) == 1 else 'are'} not read",
                details=listed(refusals, LISTED),
                hint="docs/onnx.md lists the operators that are read, and how",
            )

    def _results(self, node: OnnxNode) -> Sequence[Value | _Unknown]:
        """Return what a node gives.

        Raises:
            Unsupported: nothing here does that.
        """
        if node.subgraph:
            raise Unsupported("it holds a graph of its own, and which of it is computed would depend on the images")
        rule, fold = RULES.get(node.operator), FOLDS.get(node.operator)
        if node.domain or (rule is None and fold is None):
            raise Unsupported("no layer does this")
        inputs = [self.values[name] if name else None for name in node.inputs]
        if any(isinstance(value, _Unknown) for value in inputs):
            return [_Unknown()] * len(node.outputs)
        known = [value for value in inputs if not isinstance(value, _Unknown)]
        call = NodeCall(node, known, self.parts, self.document.opset)
        flows = [value for value in known if isinstance(value, Flow)]
        try:
            if node.operator in ("Shape", "Size") and flows:
                given: object = FOLDS[node.operator](call, [_Sides(flows[0].dims)])  # type: ignore[list-item]
            elif not flows:
                if fold is None:
                    raise Unsupported("it does not depend on the image, and is not computed while a file is read")
                given = self._checked(fold(call, [value for value in known if value is not None]))  # type: ignore[misc]
            else:
                if rule is None:
                    raise Unsupported("no layer does this")
                given = rule(call)
        except NeocogError as error:  # a layer's own check
            raise Unsupported(error.message) from None
        except (ValueError, TypeError, IndexError, OverflowError, ZeroDivisionError, AttributeError) as error:
            if flows and not isinstance(error, ValueError):
                raise
            raise Unsupported(f"what it is given does not fit: {error}") from None
        return given if isinstance(given, list) else [given]  # type: ignore[list-item]

    def _checked(self, given: AnyArray | list[AnyArray]) -> list[AnyArray]:
        """Return constants that were computed, or raise Unsupported where all of them take too much memory."""
        arrays = given if isinstance(given, list) else [given]
        for array in arrays:
            filled = [side for side, step in zip(array.shape, array.strides, strict=True) if step]
            self._folded += int(np.prod(filled, dtype=object)) * array.itemsize
        if self._folded > MAX_FOLDED:
            raise Unsupported(f"the constants of this file take more than {MAX_FOLDED:,} bytes")
        return arrays

    def answer(self) -> Flow:
        """Return what the network answers: a vector, or an image."""
        flow = self.values[self.output.name]
        if not isinstance(flow, Flow):
            name = shown_value(self.output.name)
            raise FormatError(f"{self.document.path}: the output {name} does not depend on the image")
        answer = self._arranged(self._without_softmax(flow))
        if answer.value == IMAGE:  # a network needs a layer: here one that gives what it takes
            value = self.parts.arranged(IMAGE, MaxPool2d(1), "the output")
            return Flow(value, answer.shape, answer.view)
        return answer

    def _arranged(self, flow: Flow) -> Flow:
        """Return what the file gives as a network gives it: a vector, or an image with channels last."""
        node = next(node for node in reversed(self.nodes) if self.output.name in node.outputs)
        call = NodeCall(node, [flow], self.parts, self.document.opset)
        try:
            if flow.is_pixel:
                flat = tuple(factor for axis in flow.view[1:] for factor in axis)
                return call.vector(Flow(flow.value, flow.shape, (flow.view[0], flat), flow.order))
            if len(flow.view) == 2:
                return call.vector(flow)
            plain = flow.plain
            if flow.view == (plain[0], *plain[2:], plain[1]):
                return flow
            return call.image(flow)
        except Unsupported as reason:
            self.refuse([f"{node.title}: of its output, {reason}"])
            raise AssertionError from None

    def _without_softmax(self, flow: Flow) -> Flow:
        """Return what comes to the Softmax or Sigmoid that a network ends with, which probabilities are made by."""
        if flow.value == IMAGE or own_output([value.name for value in self.document.outputs]) == self.output.name:
            return flow
        part = self.parts.parts[flow.value]
        flattened = flow.is_pixel or len(flow.view) == 2  # so that a Flatten is left
        if part.inputs[0] == IMAGE and not flattened:
            return flow
        if isinstance(part.layer, Softmax | LogSoftmax):
            return Flow(part.inputs[0], flow.shape, flow.view, flow.order)
        if isinstance(part.layer, Sigmoid) and (flow.is_pixel or isinstance(flow.shape, VectorShape)):
            self.several_labels = True
            return Flow(part.inputs[0], flow.shape, flow.view, flow.order)
        return flow

    def class_names(self, answer: Flow, given: Sequence[str] | str | Path | None) -> list[str] | None:
        """Return the names of the outputs, in neocog's order."""
        count = answer.shape.channels if isinstance(answer.shape, ImageShape) else answer.shape.features
        names = names_from(given, self.document.metadata, count)
        if answer.order is None:
            return names
        names = [str(number) for number in range(count)] if names is None else names
        ordered = [""] * count
        for place, name in zip(answer.order.tolist(), names, strict=False):
            ordered[place] = name
        return ordered


class _Sides:
    """What Shape and Size know of a value that depends on the image."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.ndim = shape, len(shape)
        self.size = int(np.prod(shape, dtype=object))


def _origin(document: Document) -> Origin:
    """Return where the weights came from: this file, and what it says of itself."""
    licence = next((text for key in ("license", "licence") if (text := document.metadata.get(key))), None)
    return Origin(
        document.metadata.get("source", "")[:MOST_TEXT] or Path(document.path).name[:MOST_TEXT],
        licence[:MOST_TEXT] if licence else None,
        document.sha256,
        f"an ONNX file of {document.producer}"[:MOST_TEXT] if document.producer else None,
    )


def _graph(network: Simplified, image: ImageShape) -> Graph:
    wiring = Wiring(image)
    for part, name in zip(network.parts, layer_names([part.name for part in network.parts]), strict=True):
        wiring.add(part.layer, name, part.inputs)
    return Graph.of(wiring, len(network.parts) - 1)


def _chosen(outputs: Sequence[ValueInfo], wanted: str | None) -> ValueInfo:
    names = [value.name for value in outputs]
    wanted = own_output(names) if wanted is None else wanted
    if wanted is not None:
        found = next((value for value in outputs if value.name == wanted), None)
        if found is None:
            raise SettingError(f"output must be one of {', '.join(names)}, got {wanted!r}")
        return found
    if len(outputs) != 1:
        raise SettingError(
            f"a network has one output, this file gives {len(outputs)}: {', '.join(map(shown_value, names[:8]))}",
            hint="name one: output=...",
        )
    return outputs[0]


def _needed(nodes: Sequence[OnnxNode], output: ValueInfo) -> list[OnnxNode]:
    """Return the nodes that the output depends on, in order."""
    wanted, kept = {output.name}, []
    for node in reversed(nodes):
        if not wanted.isdisjoint(filter(None, node.outputs)):
            wanted.update(filter(None, node.inputs))
            kept.append(node)
    return kept[::-1]


def _image_input(document: Document, nodes: Sequence[OnnxNode]) -> ValueInfo:
    taken = {name for node in nodes for name in node.inputs}
    sources = [value for value in document.inputs if value.name in taken]
    if len(sources) != 1:
        raise FormatError(
            f"{document.path}: a network takes one input, its images; this one takes "
            f"{', '.join(shown_value(value.name) for value in sources[:8]) or 'none'}"
        )
    return sources[0]


def _layout_of(name: str, nodes: Sequence[OnnxNode]) -> Layout:
    """Return "NHWC" where the image is transposed before anything but arithmetic happens to it."""
    names = {name}
    for node in nodes:
        if names.isdisjoint(node.inputs):
            continue
        if node.operator == "Transpose":
            return "NHWC" if node.attributes.get("perm") == (0, 3, 1, 2) else "NCHW"
        if node.operator not in ("Add", "Cast", "Div", "Identity", "Mul", "Sub"):
            break
        names.update(node.outputs)
    return "NCHW"


def _image_shape(source: ValueInfo, given: tuple[int, int] | None, layout: Layout) -> tuple[int, ImageShape]:
    """Return how many images the file takes, BATCH where it leaves that open, and their shape."""
    if source.element not in (1, 2):
        raise FormatError(f"images must be float32 or uint8, this network takes {type_name(source.element)}")
    dims = source.dims
    if dims is None or len(dims) != 4:
        raise FormatError(
            f"images must come as (N, C, H, W), this network takes {'anything' if dims is None else list(dims)}"
        )
    batch = dims[0] if isinstance(dims[0], int) and dims[0] > 0 else BATCH
    places = (2, 3, 1) if layout == "NCHW" else (1, 2, 3)
    height, width, channels = (dims[place] for place in places)
    if given is not None:
        height, width = given
    if not isinstance(height, int) or not isinstance(width, int) or min(height, width) < 1:
        raise SettingError("the file leaves the size of its images open", hint="give it: input_shape=(224, 224)")
    if not isinstance(channels, int):
        raise FormatError("the file does not say how many channels its images have")
    return batch, checked_image_shape((height, width, channels))
