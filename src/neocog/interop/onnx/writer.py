"""An ONNX graph under construction: operations, and the arrays that they take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neocog.interop.packages import require
from neocog.model.views import View
from neocog.nn.graph import Node
from neocog.nn.shapes import Shape, VectorShape

AnyArray = NDArray[Any]

INPUT, PROBABILITIES, LOGITS = "images", "probabilities", "logits"
"""What goes in, and what comes out."""


def places(view: View, side: int, axis: int) -> NDArray[np.int64]:
    """Return which rows (axis 2) or columns (axis 3) of an image a view shows, in order: what numbered ones become.

    >>> places(View(0.5, mirrored=True), 4, 3), places(View(0.5, shift=1), 4, 2)
    (array([3, 2, 1, 0]), array([1, 0, 1, 2]))
    """
    numbers = np.arange(side, dtype=np.float32).reshape(1, *((side, 1) if axis == 2 else (1, side)), 1)
    return view.of(numbers).ravel().astype(np.int64)


class OnnxWriter:
    """Collects operations, each of which has one output.

    An operation, and the value that it gives, bear the name of the layer that it is. Where a layer takes several, what
    each does stands behind that, as in "act/Erf". Arrays that a layer stores are called as in PyTorch.

    Arguments:
        parameters: name → array, in PyTorch's layout, which is ONNX's.
        opset: the version of ONNX's operators that may be used.
    """

    def __init__(self, parameters: Mapping[str, AnyArray], opset: int) -> None:
        self.opset = opset
        self.operations: list[Any] = []
        self.arrays: dict[str, Any] = {}
        self._parameters = parameters
        self._onnx = require("onnx", "onnx", "writing ONNX")
        self.float32: int = self._onnx.TensorProto.FLOAT
        self._constants: dict[tuple[object, ...], str] = {}
        self._scope, self._first = "", 0
        self._taken = {INPUT, PROBABILITIES, LOGITS, *parameters}

    def begin(self, scope: str) -> None:
        """Name what follows after a layer, or after another part of the graph."""
        self._scope, self._first = scope, len(self.operations)

    def add(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Add an operation and return the name of what it gives."""
        name = self._free(kind)
        output = output or name
        self.operations.append(self._onnx.helper.make_node(kind, inputs, [output], name=name, **attributes))
        return output

    def named(self, value: str, name: str) -> str:
        """Return what a value is called: `name`, and its operation with it, if that is the only one since `begin` and
        the name is free; else what it was called before.
        """
        if len(self.operations) != self._first + 1 or name in self._taken:
            return value
        self._taken.add(name)
        (operation,) = self.operations[self._first :]
        operation.name, operation.output[0] = name, name
        return name

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        """Return the name of a constant; equal ones are one."""
        array = np.array(value, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = self._store(self._free("constant"), array)
        return self._constants[key]

    def stored(self, node: Node, name: str, *shape: int) -> str:
        """Return the name of an array that a layer stores.

        Arguments:
            node: the layer.
            name: the layer's own, such as "weight".
            shape: another one for the same values, in order.
        """
        full = f"{node.name}.{name}"
        array = self._parameters[full]
        return self._store(full, array.reshape(shape) if shape else array)

    def reshape(self, value: str, *shape: int) -> str:
        """Return what there is for each image in another shape."""
        return self.add("Reshape", value, self.constant((0, *shape), np.int64))  # 0: as many images as there are

    def in_our_order(self, value: str, shape: Shape) -> str:
        """Return an image with its channels last, or a vector that was one laid out so; ONNX has the channels first."""
        if not isinstance(shape, VectorShape):
            return self.add("Transpose", value, perm=[0, 2, 3, 1])
        image = shape.image
        if image is None or image.channels == 1 or image.height * image.width == 1:
            return value
        value = self.reshape(value, image.channels, image.height, image.width)
        return self.reshape(self.add("Transpose", value, perm=[0, 2, 3, 1]), image.size)

    def in_order_of(self, value: str, shape: Shape, wanted: Shape) -> str:
        """Return a vector of one shape in the order that vectors of another shape have; images stay as they are."""
        have, want = (s.image if isinstance(s, VectorShape) else None for s in (shape, wanted))
        if have == want or not isinstance(shape, VectorShape):
            return value
        value = self.in_our_order(value, shape)
        if want is None or want.channels == 1 or want.height * want.width == 1:
            return value
        value = self.reshape(value, want.height, want.width, want.channels)
        return self.reshape(self.add("Transpose", value, perm=[0, 3, 1, 2]), want.size)

    def _store(self, name: str, array: AnyArray) -> str:
        self.arrays[name] = self._onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def _free(self, kind: str) -> str:
        base = f"{self._scope}/{kind}"
        name, number = base, 1
        while name in self._taken:
            number += 1
            name = f"{base}_{number}"
        self._taken.add(name)
        return name
