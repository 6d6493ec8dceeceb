"""How ONNX's axes lie in a value of neocog's: which reshapes and transposes only look at it another way.

ONNX keeps images as (N, C, H, W), and says with Reshape and Transpose what neocog has layers for: Flatten,
ChannelShuffle, PixelShuffle. So each axis of ONNX's is kept as a product of parts of the value's own axes; such nodes
cost nothing until something needs to know.

>>> image = image_view(2, 6, 4, 5)
>>> sizes(reshaped(image, (2, 3, 2, 4, 5)))
(2, 3, 2, 4, 5)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, order=True)
class Factor:
    """Part of an axis: the position on the axis is the sum over its factors of index · stride.

    Arguments:
        axis: "N" for the images of a batch; "C", "H", "W" of an image; "F" for the values of a vector.
        size: how many indices.
        stride: how far each is from the next, along the axis.
    """

    axis: str
    size: int
    stride: int = 1


Axis = tuple[Factor, ...]
View = tuple[Axis, ...]


def image_view(batch: int, channels: int, height: int, width: int) -> View:
    """Return the view of images as ONNX has them."""
    return ((Factor("N", batch),), *(_whole(*part) for part in (("C", channels), ("H", height), ("W", width))))


def vector_view(batch: int, features: int) -> View:
    """Return the view of vectors."""
    return ((Factor("N", batch),), _whole("F", features))


def _whole(axis: str, size: int) -> Axis:
    return (Factor(axis, size),) if size > 1 else ()


def sizes(view: View) -> tuple[int, ...]:
    """Return ONNX's shape."""
    return tuple(math.prod(factor.size for factor in axis) for axis in view)


def is_whole(axis: Axis, name: str, size: int) -> bool:
    """Tell whether an axis is all of one of the value's own, in order; of one index, it may be nothing."""
    return axis == _whole(name, size)


def reshaped(view: View, shape: Sequence[int]) -> View | None:
    """Return the view after a Reshape, or None where that cuts an axis in a way that no factors describe."""
    queue = [factor for axis in view for factor in axis]
    queue.reverse()
    axes = []
    for need in shape:
        axis: list[Factor] = []
        while queue and (need > 1 or (queue[-1].axis == "N" and queue[-1].size == 1)):
            factor = queue.pop()
            if need % factor.size == 0:
                axis.append(factor)
                need //= factor.size
            elif factor.size % need == 0 and factor.axis != "N":
                inner = factor.size // need
                axis.append(replace(factor, size=need, stride=factor.stride * inner))
                queue.append(replace(factor, size=inner))
                need = 1
            else:
                return None
        if need != 1:
            return None
        axes.append(_merged(axis))
    return None if queue else tuple(axes)


def _merged(axis: Iterable[Factor]) -> Axis:
    """Return an axis with neighbouring factors joined that follow each other."""
    merged: list[Factor] = []
    for factor in axis:
        last = merged[-1] if merged else None
        if last is not None and last.axis == factor.axis and last.stride == factor.stride * factor.size:
            merged[-1] = Factor(factor.axis, last.size * factor.size, factor.stride)
        else:
            merged.append(factor)
    return tuple(merged)


def mixes_batch(view: View) -> bool:
    """Tell whether an axis holds images of a batch and something else."""
    return any(len(axis) > 1 and any(factor.axis == "N" for factor in axis) for axis in view)


def without(view: View, names: str) -> View:
    """Return the view of what is left when some of the value's own axes have shrunk to one index."""
    return tuple(tuple(factor for factor in axis if factor.axis not in names) for axis in view)
