"""One node of an ONNX file while it is read: its attributes, its inputs, and the network so far."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neocog.interop.onnx.document import OnnxNode
from neocog.interop.onnx.parts import Floats, Flow, Parts, plain_view
from neocog.interop.onnx.tensors import AnyArray
from neocog.interop.onnx.views import Axis, Factor, View, is_whole, without
from neocog.nn.layer import Layer, channels_of
from neocog.nn.layers import ChannelShuffle, Conv2d, Flatten, Linear, PixelShuffle
from neocog.nn.shapes import ImageShape, VectorShape

Value: TypeAlias = Flow | AnyArray | None
"""What a node takes: something that depends on the image, a constant, or nothing."""


class Unsupported(Exception):  # noqa: N818 - a reason, which is collected and never leaves this room
    """A node, or what it is set to, that no layer can do; its text says why."""


class NodeCall:
    """A node with what it takes.

    Arguments:
        node: the node.
        inputs: what it takes.
        parts: the network so far.
        opset: version of the file's operators.
    """

    def __init__(self, node: OnnxNode, inputs: Sequence[Value], parts: Parts, opset: int) -> None:
        self.node, self.inputs, self.parts, self.opset = node, inputs, parts, opset

    # -- what the node says -------------------------------------------------------------------------------------------

    def attribute(self, name: str, default: Any) -> Any:
        """Return an attribute, or what it is where the node does not say.

        Raises:
            Unsupported: it is of another type than its default.
        """
        value = self.node.attributes.get(name, default)
        if default is not None and not isinstance(value, type(default)):
            raise Unsupported(f"{name} must be a {type(default).__name__}")
        return value

    def input(self, place: int) -> Value:
        """Return an input, None where it is left out."""
        return self.inputs[place] if place < len(self.inputs) else None

    def flow(self, place: int = 0) -> Flow:
        """Return an input that must depend on the image."""
        value = self.input(place)
        if not isinstance(value, Flow):
            raise Unsupported(f"input {place + 1} must depend on the image")
        return value

    def constant(self, place: int, name: str) -> AnyArray:
        """Return an input that must be a constant."""
        value = self.input(place)
        if not isinstance(value, np.ndarray):
            raise Unsupported(f"its {name} must be {'given' if value is None else 'a constant'}")
        return value

    def optional(self, place: int, name: str) -> AnyArray | None:
        """Return an input that must be a constant, or be left out."""
        return None if self.input(place) is None else self.constant(place, name)

    def integers(self, place: int) -> tuple[int, ...] | None:
        """Return an input of whole numbers, or None where it is left out."""
        value = self.optional(place, f"input {place + 1}")
        if value is None:
            return None
        if value.ndim > 1 or not np.issubdtype(value.dtype, np.integer):
            raise Unsupported(f"input {place + 1} must be a row of whole numbers")
        return tuple(int(number) for number in value.reshape(-1))

    def axis(self, axis: int, rank: int) -> int:
        """Return an axis counted from 0."""
        if not -rank <= axis < rank:
            raise Unsupported(f"axis {axis} is none of the {rank} that there are")
        return axis % rank

    def reshape_target(self, shape: Sequence[int], target: Sequence[int]) -> tuple[int, ...]:
        """Return the sides that a Reshape asks for, with -1 and 0 resolved."""
        zero = bool(self.attribute("allowzero", 0))
        if not zero and any(side == 0 and place >= len(shape) for place, side in enumerate(target)):
            raise Unsupported(f"it cannot reshape {list(shape)} to {list(target)}")
        sides = [shape[place] if side == 0 and not zero else side for place, side in enumerate(target)]
        known = math.prod(side for side in sides if side != -1)
        if sides.count(-1) == 1 and known > 0 and math.prod(shape) % known == 0:
            sides[sides.index(-1)] = math.prod(shape) // known
        if any(side < 0 for side in sides) or math.prod(sides) != math.prod(shape):
            raise Unsupported(f"it cannot reshape {list(shape)} to {list(target)}")
        return tuple(sides)

    def shape_span(self, rank: int) -> slice:
        """Return which sides a Shape asks for."""
        return slice(self.attribute("start", 0), self.node.attributes.get("end", rank))

    def slices(self, shape: Sequence[int]) -> list[tuple[int, int | None, int]]:
        """Return for each axis where a Slice begins and ends, and its step."""
        rank = len(shape)
        if self.opset >= 10:
            starts, ends, axes, steps = (self.integers(place) for place in (1, 2, 3, 4))
        else:
            starts, ends = self.attribute("starts", ()), self.attribute("ends", ())
            axes, steps = self.attribute("axes", None), None
        if starts is None or ends is None:
            raise Unsupported("its starts and ends must be constants")
        axes = tuple(range(len(starts))) if axes is None else axes
        steps = (1,) * len(starts) if steps is None else steps
        if not len(starts) == len(ends) == len(axes) == len(steps):
            raise Unsupported("it needs as many starts as ends, axes and steps")
        bounds: list[tuple[int, int | None, int]] = [(0, side, 1) for side in shape]
        for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
            if step == 0:
                raise Unsupported("a step must not be 0")
            axis = self.axis(axis, rank)
            whole = slice(start, None if step < 0 and end < -shape[axis] else end, step)
            first, behind, step = whole.indices(shape[axis])
            bounds[axis] = (first, None if behind < 0 else behind, step)
        return bounds

    def split_sizes(self, side: int) -> list[int]:
        """Return how long the parts of a Split are."""
        given = self.integers(1) if self.opset >= 13 else self.attribute("split", None)
        if given is not None:
            if sum(given) != side or any(size < 1 for size in given):
                raise Unsupported(f"it cannot cut {side} into {list(given)}")
            return list(given)
        count = self.attribute("num_outputs", len(self.node.outputs))
        size = -(-side // max(1, count))
        sizes = [min(size, side - size * place) for place in range(count)]
        if not sizes or min(sizes) < 1:
            raise Unsupported(f"it cannot cut {side} into {count}")
        return sizes

    def limits(self) -> tuple[float, float]:
        """Return between which numbers a Clip keeps values."""
        if self.opset < 11:
            return float(self.attribute("min", -np.inf)), float(self.attribute("max", np.inf))
        bounds = []
        for place, name, default in ((1, "min", -np.inf), (2, "max", np.inf)):
            value = self.optional(place, name)
            if value is not None and value.size != 1:
                raise Unsupported(f"its {name} must be one number")
            bounds.append(default if value is None else float(value.reshape(-1)[0]))
        return bounds[0], bounds[1]

    # -- what becomes of it -------------------------------------------------------------------------------------------

    def add(self, layer: Layer, *flows: Flow, view: View | None = None, **arrays: Floats | None) -> Flow:
        """Add a layer and return what it gives.

        Arguments:
            layer: whose first input is `flows[0]`.
            flows: what it takes.
            view: how ONNX sees what it gives; None: plainly, or, where the shape stays as it is, as it saw the first.
            arrays: what it stores, in memory layout.
        """
        stored = {name: value for name, value in arrays.items() if value is not None}
        inputs = tuple(flow.value for flow in flows)
        value = self.parts.add(self.name(), layer, inputs, stored, self.node.title)
        shape, first = self.parts.shape(value), flows[0]
        same = shape == first.shape and view is None
        if same:
            return Flow(value, shape, first.view, first.order)
        return Flow(value, shape, plain_view(shape, first.view) if view is None else view)

    def name(self) -> str:
        """Return what the node's layer is to be called: as its weights are, or as the node, with dots for slashes."""
        for value in self.node.inputs[1:]:
            head, dot, tail = value.rpartition(".")
            if dot and tail == "weight":
                return head
        return self.node.name.strip("/").replace("/", ".") or f"{self.node.operator.lower()}_{self.node.index}"

    def image(self, flow: Flow) -> Flow:
        """Return a flow as ONNX's (N, C, H, W): shuffles and such, which were only looked at, become layers.

        Raises:
            Unsupported: it is no such thing, or no layer brings it there.
        """
        if isinstance(flow.shape, VectorShape):
            flow = self._pixel(flow)
        if flow.view == flow.plain:
            return flow
        shape = flow.shape
        assert isinstance(shape, ImageShape)
        if len(flow.view) == 4 and flow.view[0] == flow.plain[0]:
            _, channels, rows, columns = flow.view
            if is_whole(rows, "H", shape.height) and is_whole(columns, "W", shape.width):
                shuffled = self._shuffled(flow, channels)
                if shuffled is not None:
                    return shuffled
            spread = self._spread(flow)
            if spread is not None:
                return spread
        raise Unsupported(
            f"it needs images as (N, C, H, W), and what comes to it, {list(flow.dims)}, is arranged otherwise"
        )

    def _shuffled(self, flow: Flow, channels: Axis) -> Flow | None:
        """Return channels of which two factors changed places, as a ChannelShuffle leaves them."""
        if len(channels) != 2 or {factor.axis for factor in channels} != {"C"}:
            return None
        inner, outer = channels
        assert isinstance(flow.shape, ImageShape)
        if inner.stride != 1 or outer.stride != inner.size or inner.size * outer.size != flow.shape.channels:
            return None
        return self._arranged(ChannelShuffle(outer.size), flow)

    def _arranged(self, layer: Layer, flow: Flow) -> Flow:
        value = self.parts.arranged(flow.value, layer, self.node.title)
        shape = self.parts.shape(value)
        return Flow(value, shape, plain_view(shape, flow.view))

    def _spread(self, flow: Flow) -> Flow | None:
        """Return channels that lie in rows and columns, as a PixelShuffle leaves them."""
        shape = flow.shape
        assert isinstance(shape, ImageShape)
        _, channels, rows, columns = flow.view
        down, across = rows[-1:], columns[-1:]
        if not (down and across and down[0].axis == across[0].axis == "C" and down[0].size == across[0].size):
            return None
        if not (is_whole(rows[:-1], "H", shape.height) and is_whole(columns[:-1], "W", shape.width)):
            return None
        factor, block = down[0].size, down[0].size ** 2
        kept = shape.channels // block
        if (across[0].stride, down[0].stride) == (1, factor):
            if not _is_run(channels, kept, block):
                return None
        elif (across[0].stride, down[0].stride) == (kept, kept * factor):
            if not _is_run(channels, kept, 1):
                return None
            if kept > 1:
                flow = self._arranged(ChannelShuffle(block), flow)
        else:
            return None
        return self._arranged(PixelShuffle(factor), flow)

    def _pixel(self, flow: Flow) -> Flow:
        """Return a vector as an image of one pixel, by computing what led to it on images of one pixel."""
        value = self._pixel_of(flow.value)
        shape = self.parts.shape(value)
        assert isinstance(shape, ImageShape)
        if flow.order is not None or shape.channels != channels_of(flow.shape):
            raise Unsupported("it needs an image, and a vector comes to it")
        view = tuple(tuple(_renamed(factor) for factor in axis) for axis in flow.view)
        return Flow(value, shape, view)

    def _pixel_of(self, value: int) -> int:
        part = self.parts.parts[value]
        source = part.inputs[0]
        match part.layer:
            case Flatten():
                shape = self.parts.shape(source)
                if isinstance(shape, ImageShape) and shape.height == shape.width == 1:
                    return source
            case Linear(features, bias):
                weight = part.arrays["weight"][None, None]
                inside = self._pixel_of(source)
                return self.parts.add(
                    part.name, Conv2d(features, 1, bias=bias), (inside,), {**part.arrays, "weight": weight}, part.origin
                )
            case _ if len(part.inputs) == 1 and isinstance(part.output, VectorShape):
                if self.parts.shape(source) == part.output:
                    inside = self._pixel_of(source)
                    return self.parts.add(part.name, part.layer, (inside,), part.arrays, part.origin)
        raise Unsupported("it needs an image, and a vector comes to it")

    def vector(self, flow: Flow) -> Flow:
        """Return a flow as ONNX's (N, F); an image is laid out by a Flatten.

        Raises:
            Unsupported: it is no such thing.
        """
        batch = flow.plain[0]
        if len(flow.view) != 2 or flow.view[0] != batch:
            raise Unsupported(f"it needs vectors as (N, F), got {list(flow.dims)}")
        places = _places(flow)
        if isinstance(flow.shape, ImageShape):
            value = self.parts.arranged(flow.value, Flatten(), self.node.title)
        else:
            value = flow.value
            places = places if flow.order is None else flow.order[places]
        shape = self.parts.shape(value)
        order = None if (places == np.arange(shape.size)).all() else places
        return Flow(value, shape, plain_view(shape, flow.view), order)

    def channel_axis(self, flow: Flow) -> int:
        """Return which of ONNX's axes holds all channels of an image, or all values of a vector, in order.

        Raises:
            Unsupported: none does.
        """
        name = "C" if isinstance(flow.shape, ImageShape) else "F"
        count = channels_of(flow.shape)
        plain = next((place for place, axis in enumerate(flow.view) if axis and is_whole(axis, name, count)), None)
        if plain is None and count == 1 and len(flow.view) > 1:  # of one channel nothing is left to be seen
            plain = 1 if flow.view == flow.plain else len(flow.view) - 1
        if plain is None:
            raise Unsupported(f"the channels of what comes to it, {list(flow.dims)}, do not lie on one axis")
        return plain

    def settled(self, flow: Flow) -> Flow:
        """Return a flow whose channels lie on one axis: as it is, or as images plainly.

        Raises:
            Unsupported: it cannot be arranged so.
        """
        try:
            self.channel_axis(flow)
        except Unsupported:
            return self.image(flow) if len(flow.view) == 4 else flow
        return flow

    def ordered(self, flow: Flow, values: NDArray[Any]) -> Floats:
        """Return one value a channel, in ONNX's order, as neocog has them."""
        values = np.asarray(values, np.float64) if values.dtype == np.float64 else np.asarray(values, np.float32)
        if flow.order is None:
            return values
        placed = np.empty_like(values)
        placed[flow.order] = values
        return placed

    def per_channel(self, flow: Flow, values: AnyArray) -> Floats:
        """Return a constant that is combined with a flow as one value a channel, as neocog has them.

        Raises:
            Unsupported: it is not the same for all pixels.
        """
        count = channels_of(flow.shape)
        if values.size == 1:
            return np.full(count, values.reshape(-1)[0], np.float32)
        axis = self.channel_axis(flow)
        if values.ndim > len(flow.view):
            raise Unsupported(f"a constant of the shape {list(values.shape)} gives it more axes than {list(flow.dims)}")
        sides = (1,) * (len(flow.view) - values.ndim) + values.shape
        if sides[axis] not in (1, count) or any(side != 1 for place, side in enumerate(sides) if place != axis):
            raise Unsupported(
                f"a constant of the shape {list(values.shape)} is not one value a channel of {list(flow.dims)}"
            )
        return self.ordered(flow, values.reshape(-1))


def _places(flow: Flow) -> NDArray[np.intp]:
    """Return where neocog has each value of ONNX's last axis in a row of all values."""
    shape = flow.shape
    steps: Mapping[str, int] = (
        {"H": shape.width * shape.channels, "W": shape.channels, "C": 1} if isinstance(shape, ImageShape) else {"F": 1}
    )
    places = np.zeros(1, np.intp)
    for factor in flow.view[1]:
        moves = np.arange(factor.size, dtype=np.intp) * (factor.stride * steps[factor.axis])
        places = (places[:, None] + moves).reshape(-1)
    return places


def _is_run(axis: Axis, size: int, stride: int) -> bool:
    """Tell whether an axis is one run of channels, so far apart."""
    if size == 1:
        return axis == ()
    return len(axis) == 1 and (axis[0].axis, axis[0].size, axis[0].stride) == ("C", size, stride)


def _renamed(factor: Factor) -> Factor:
    return replace(factor, axis="C") if factor.axis == "F" else factor


def shrunk(flow: Flow) -> View:
    """Return how ONNX sees an image of one pixel that came of another, which it saw so."""
    return without(flow.view, "HW")
