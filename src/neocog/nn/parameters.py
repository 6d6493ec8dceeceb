"""The parameters of a network: names, shapes, initial values, and the way to PyTorch's layout and back."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neocog.errors import SettingError, ShapeError
from neocog.nn.graph import Graph, Node
from neocog.nn.layer import Variable
from neocog.nn.shapes import ImageShape, Shape, VectorShape

Array = NDArray[np.float32]
Initialisation = Literal["he", "glorot"]
LAST_LAYER = 0.1
"""Share of Glorot's deviation that the last layer starts with."""

_SHOWN = 20  # parameters that a message lists
_LONGEST = 200  # characters of their names


@dataclass(frozen=True, slots=True)
class Parameter:
    """One array that a network stores: `name` as PyTorch writes it ("0.weight"), `shape` as it lies in memory."""

    name: str
    shape: tuple[int, ...]
    node: Node
    variable: Variable

    @property
    def trainable(self) -> bool:
        """Whether it follows a gradient; if not, it is a buffer, such as a running average."""
        return self.variable.trainable

    @property
    def is_vector(self) -> bool:
        """Whether it holds one value a channel: a bias, or what a normalization stores."""
        return len(self.shape) == 1

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


def variables_of(graph: Graph) -> tuple[Parameter, ...]:
    """List all arrays that a network stores, buffers too, in the order of its layers."""
    return tuple(
        Parameter(f"{node.name}.{variable.name}", variable.shape, node, variable)
        for node in graph.nodes
        for variable in node.layer.variables(*node.shapes)
    )


def parameters_of(graph: Graph) -> tuple[Parameter, ...]:
    """List what a network learns: its variables without the buffers."""
    return tuple(parameter for parameter in variables_of(graph) if parameter.trainable)


def initial_parameters(
    graph: Graph,
    seed: int = 0,
    initialisation: Initialisation = "he",
    known: Mapping[str, Array] | None = None,
) -> dict[str, Array]:
    """Draw the initial parameters: normal weights, zero biases.

    The last layer with weights starts near zero, with a tenth of Glorot's deviation: an untrained network then gives
    all classes nearly the same share, and its first steps are not spent on unlearning chance answers.

    Arguments:
        graph: the network.
        seed: same seed, same values; every parameter has a stream of its own, so adding a layer moves no other.
        initialisation: "he" has variance 2 / inputs (He et al. 2015), "glorot" 2 / (inputs + outputs) (Glorot and
            Bengio 2010), where inputs and outputs are counted as kernel area × channels of a filter's own group.
        known: name → array; where the shape is that of the network's, a copy is taken, and nothing drawn.

    Returns:
        name → float32 array, in memory layout, buffers included.
    """
    if initialisation not in ("he", "glorot"):
        raise SettingError(f'initialisation must be "he" or "glorot", got {initialisation!r}')
    if not 0 <= seed < 2**64:
        raise SettingError(f"seed must lie between 0 and 2^64 - 1, got {seed}")
    values: dict[str, Array] = {}
    last = _last_drawn(graph)
    for parameter in variables_of(graph):
        given = None if known is None else known.get(parameter.name)
        if given is not None and given.shape == parameter.shape:
            values[parameter.name] = given.copy()
            continue
        if parameter.variable.start is not None:
            values[parameter.name] = np.full(parameter.shape, parameter.variable.start, np.float32)
            continue
        *receptive, inputs, outputs = parameter.shape
        outputs //= getattr(parameter.node.layer, "groups", 1)
        area = math.prod(receptive)
        fan_in, fan_out = parameter.variable.fans or (area * inputs, area * outputs)
        is_last = parameter.node.index == last
        spread = fan_in if initialisation == "he" and not is_last else (fan_in + fan_out)
        stream = np.random.Generator(np.random.Philox(key=[seed, zlib.crc32(parameter.name.encode())]))
        deviation = math.sqrt(2.0 / spread) * (LAST_LAYER if is_last else 1.0)
        values[parameter.name] = (stream.standard_normal(parameter.shape) * deviation).astype(np.float32)
    return values


def _last_drawn(graph: Graph) -> int | None:
    """Return the index of the last layer with drawn weights, if it is not the only one."""
    drawn = [p.node.index for p in variables_of(graph) if p.variable.start is None]
    return drawn[-1] if len(drawn) > 1 else None


def to_pytorch(parameter: Parameter, value: NDArray[np.generic]) -> NDArray[np.generic]:
    """Convert one array from memory layout to PyTorch's: OIHW filters, (output, input) matrices.

    Behind a Flatten, what belongs to its values goes from (row, column, channel) to (channel, row, column) order: the
    inputs of a Linear, and the one value for each of them that a BatchNorm2d or a PReLU stores.
    """
    if parameter.is_vector:
        image = _image_behind(parameter.node.output)
        if image is None:
            return value
        return np.ascontiguousarray(value.reshape(image.height, image.width, image.channels).transpose(2, 0, 1)).ravel()
    if len(parameter.shape) == 4:
        return np.ascontiguousarray(value.transpose(3, 2, 0, 1))
    image = _image_behind(parameter.node.input)
    if image is not None:
        value = value.reshape(image.height, image.width, image.channels, -1).transpose(2, 0, 1, 3)
    return np.ascontiguousarray(value.reshape(parameter.shape).T)


def from_pytorch(parameter: Parameter, value: NDArray[np.generic]) -> NDArray[np.generic]:
    """Convert one array from PyTorch's layout to memory layout; the inverse of `to_pytorch`."""
    want = pytorch_shape(parameter)
    if value.shape != want:
        raise ShapeError(f"parameter {parameter.name} must have the shape {want}, got {value.shape}")
    if parameter.is_vector:
        image = _image_behind(parameter.node.output)
        if image is None:
            return value
        return np.ascontiguousarray(value.reshape(image.channels, image.height, image.width).transpose(1, 2, 0)).ravel()
    if len(parameter.shape) == 4:
        return np.ascontiguousarray(value.transpose(2, 3, 1, 0))
    value = value.T
    image = _image_behind(parameter.node.input)
    if image is not None:
        value = value.reshape(image.channels, image.height, image.width, -1).transpose(1, 2, 0, 3)
    return np.ascontiguousarray(value.reshape(parameter.shape))


def pytorch_shape(parameter: Parameter) -> tuple[int, ...]:
    """Return the shape that PyTorch holds a parameter in."""
    if parameter.is_vector:
        return parameter.shape
    if len(parameter.shape) == 4:
        r, s, c, k = parameter.shape
        return (k, c, r, s)
    return parameter.shape[::-1]


def check_parameters(graph: Graph, values: Mapping[str, NDArray[np.generic]]) -> None:
    """Raise ShapeError unless `values` holds exactly what the network stores, in memory layout."""
    wanted = {p.name: p.shape for p in variables_of(graph)}
    missing = [name for name in wanted if name not in values]
    extra = [name for name in values if name not in wanted]
    if missing or extra:
        faults = [f"missing: {name}" for name in missing] + [f"unknown: {name[:_LONGEST]}" for name in extra]
        left = [f"and {len(faults) - _SHOWN:,} more"] if len(faults) > _SHOWN else []
        raise ShapeError("the parameters must be those of the network", details=(*faults[:_SHOWN], *left))
    for name, shape in wanted.items():
        if values[name].shape != shape:
            raise ShapeError(f"parameter {name} must have the shape {shape}, got {values[name].shape}")


def _image_behind(shape: Shape) -> ImageShape | None:
    """Return the feature maps that a vector was laid out from, if it was."""
    return shape.image if isinstance(shape, VectorShape) else None
