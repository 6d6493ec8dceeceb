"""From images to vectors, and from vectors to vectors."""

from __future__ import annotations

from dataclasses import dataclass

from neocog.errors import ShapeError
from neocog.nn.layer import Layer, Variable, image_input
from neocog.nn.limits import check_count, check_flag
from neocog.nn.shapes import Shape, VectorShape

__all__ = ["Flatten", "Linear"]


@dataclass(frozen=True, slots=True)
class Flatten(Layer):
    """Lay an image out as a vector, in (row, column, channel) order."""

    def output_shape(self, *inputs: Shape) -> VectorShape:
        image = image_input(self, inputs[0])
        return VectorShape(image.size, image)


@dataclass(frozen=True, slots=True)
class Linear(Layer):
    """Fully connected: every output is a weighted sum of every input.

    Arguments:
        features: number of outputs.
        bias: whether each output adds a learned constant.

    Weights lie in memory as (input, output).
    """

    features: int
    bias: bool = True

    def __post_init__(self) -> None:
        check_count("Linear", "features", self.features)
        check_flag("Linear", "bias", self.bias)

    def output_shape(self, *inputs: Shape) -> VectorShape:
        self.variables(*inputs)
        return VectorShape(self.features)

    def variables(self, *inputs: Shape) -> tuple[Variable, ...]:
        x = inputs[0]
        if not isinstance(x, VectorShape):
            raise ShapeError(f"Linear needs a vector, got {x}", hint="put a Flatten() before it")
        bias = (Variable("bias", (self.features,), 0.0, decay=False),) if self.bias else ()
        return (Variable("weight", (x.features, self.features)), *bias)
