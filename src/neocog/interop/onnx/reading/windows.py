"""Windows as ONNX sets them: kernels, strides, and padding that may follow from the size of the image."""

from __future__ import annotations

from typing import Any

from neocog.interop.onnx.call import NodeCall, Unsupported
from neocog.nn.shapes import ImageShape
from neocog.nn.window import Sides, resolve_window


def pair_of(call: NodeCall, name: str, default: int) -> tuple[int, int]:
    """Return an attribute of two numbers, vertical and horizontal."""
    values = call.attribute(name, ()) or (default, default)
    if len(values) != 2:
        raise Unsupported(f"windows of 2 dimensions are read, its {name} are {list(values)}")
    return values[0], values[1]


def pads_of(
    call: NodeCall, x: ImageShape, kernel: tuple[int, ...], stride: tuple[int, int], dilation: tuple[int, int]
) -> Sides:
    """Return the padding of a window, ((top, bottom), (left, right)), pixels."""
    automatic = call.attribute("auto_pad", "NOTSET")
    if automatic == "VALID":
        return (0, 0), (0, 0)
    if automatic in ("SAME_UPPER", "SAME_LOWER"):
        walk = resolve_window(
            x.height, x.width, kernel=(kernel[0], kernel[1]), stride=stride, padding="same", dilation=dilation
        )
        down, across = ((axis.before, axis.after) for axis in (walk.vertical, walk.horizontal))
        return (down, across) if automatic == "SAME_UPPER" else (down[::-1], across[::-1])
    if automatic != "NOTSET":
        raise Unsupported(f"auto_pad {automatic!r} is not known")
    pads = call.attribute("pads", ()) or (0, 0, 0, 0)
    if len(pads) != 4:
        raise Unsupported(f"windows of 2 dimensions are read, its pads are {list(pads)}")
    return (pads[0], pads[2]), (pads[1], pads[3])


def tidy(value: Any) -> Any:
    """Return a pair, or pairs of pairs, as the shortest that means the same.

    >>> tidy((3, 3)), tidy((1, 2)), tidy(((1, 1), (1, 1))), tidy(((0, 1), (0, 1)))
    (3, (1, 2), 1, ((0, 1), (0, 1)))
    """
    first, second = value
    if isinstance(first, tuple):
        if first[0] == first[1] and second[0] == second[1]:
            return tidy((first[0], second[0]))
        return value
    return first if first == second else (first, second)
