"""What happens to a result in registers before it is stored: an epilogue, as steps of plan/ops/pointwise.py.

An op that ends in an epilogue says of it what it says of its own operands, with the functions here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

from neocog.nn.layers import ReLU
from neocog.plan.layout import Operand, Tensor
from neocog.plan.ops.op import Part, Reach
from neocog.plan.ops.pointwise import (
    Activate,
    Dequantise,
    Expression,
    Pointwise,
    Round,
    scalars_of,
    tensors_of,
    vectors_of,
)

Epilogue = tuple[Pointwise, ...]
"""Steps that are applied to each value of a result, in order."""

CLAMPED: Epilogue = (Activate(ReLU()),)
"""A ReLU and nothing else: the largest of a window may be found before it; a mask says where it stops that."""


def read_by(epilogue: Epilogue) -> tuple[Part, ...]:
    """Return the memory that an epilogue reads."""
    return (*tensors_of(epilogue), *vectors_of(epilogue), *scalars_of(epilogue))


def vectors_reached(epilogue: Epilogue, size: int) -> Iterator[Reach]:
    """Yield the reach of the vectors of an epilogue, which hold `size` values, and of its scalars."""
    for vector in vectors_of(epilogue):
        yield Reach("epilogue", vector, 0, size - 1)
    for scalar in scalars_of(epilogue):
        yield Reach("epilogue", scalar, 0, 0, aligned=False)


def steps_beside(tensor: Tensor | None) -> tuple[int, int, int]:
    """Return how far what lies beside an output moves from image to image, row to row, and pixel to pixel."""
    return (tensor.image_step, tensor.row_step, tensor.pitch) if tensor else (0, 0, 0)


def beside(epilogue: Epilogue) -> Tensor | None:
    """Return a tensor with the layout of all those that lie beside an output."""
    return next(tensors_of(epilogue), None)


def faults_beside(name: str, epilogue: Epilogue) -> Iterator[str]:
    """Yield what an epilogue cannot do that knows its place in memory and nothing else."""
    for step in epilogue:
        nested = (inner for other in step.others() for inner in other.steps)
        if any(part.needs_pixel for part in (step, *nested)):
            yield f"{name}: {step.label} needs to know the pixel, which is not known where a tile is stored"
    if len({steps_beside(tensor) for tensor in tensors_of(epilogue)}) > 1:
        yield f"{name}: the tensors of the epilogue are laid out in several ways"


def moved(epilogue: Epilogue, channels: int) -> Epilogue:
    """Return an epilogue whose first channel is another one: where what it is for begins so many channels later.

    Tensors are left alone: an op that ends in an epilogue says where it begins beside them.
    """
    return tuple(_moved(step, channels) for step in epilogue) if channels else epilogue


def _moved(value: Any, channels: int) -> Any:
    match value:
        case Dequantise() | Round():
            return value  # one number for all channels
        case Operand():
            return replace(value, start=value.start + channels)
        case Pointwise() | Expression():
            return replace(value, **{f.name: _moved(getattr(value, f.name), channels) for f in fields(value)})
        case tuple():
            return tuple(_moved(part, channels) for part in value)
        case _:
            return value


def labels(epilogue: Sequence[Pointwise]) -> Iterator[str]:
    """Yield how plans name the steps."""
    yield from (step.label for step in epilogue)
