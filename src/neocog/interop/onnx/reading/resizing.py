"""Resize and Upsample, as networks use them: by whole numbers."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from neocog.interop.onnx.call import NodeCall, Unsupported
from neocog.interop.onnx.parts import Flow
from neocog.nn.layer import Layer
from neocog.nn.layers import AvgPool2d, MaxPool2d, Upsample
from neocog.nn.shapes import ImageShape

Matrix = NDArray[np.float64]

MOST_WEIGHTS = 1 << 24
"""Of a matrix from input to output pixels: 4096 of each."""


def upsample(call: NodeCall) -> Flow:
    """Read an Upsample, which ended with opset 9: Resize with other words."""
    scales = call.attribute("scales", ()) if call.opset < 9 else _numbers(call, 1)
    return _resized(call, scales, None, call.attribute("mode", "nearest"), "asymmetric", "floor", None)


def resize(call: NodeCall) -> Flow:
    """Read a Resize that comes to what a layer does: see `_ENLARGING` and `_SHRINKING`."""
    if call.opset < 11:
        return _resized(call, _numbers(call, 1), None, call.attribute("mode", "nearest"), "asymmetric", "floor", None)
    if call.attribute("antialias", 0) or call.attribute("exclude_outside", 0):
        raise Unsupported("resizing with antialias or exclude_outside is not read")
    if call.attribute("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise Unsupported("resizing that keeps the aspect ratio is not read")
    scales, wanted = _numbers(call, 2) or None, call.integers(3) or None
    return _resized(
        call,
        scales,
        wanted,
        call.attribute("mode", "nearest"),
        call.attribute("coordinate_transformation_mode", "half_pixel"),
        call.attribute("nearest_mode", "round_prefer_floor"),
        call.attribute("axes", None),
    )


def _numbers(call: NodeCall, place: int) -> tuple[float, ...]:
    value = call.optional(place, "scales")
    return () if value is None else tuple(float(number) for number in value.reshape(-1))


def _resized(
    call: NodeCall,
    scales: tuple[float, ...] | None,
    wanted: tuple[int, ...] | None,
    mode: str,
    coordinates: str,
    nearest: str,
    axes: tuple[int, ...] | None,
) -> Flow:
    x = call.image(call.flow())
    assert isinstance(x.shape, ImageShape)
    places = [call.axis(axis, 4) for axis in axes or range(4)]
    given = wanted if wanted is not None else scales
    if given is None or len(given) != len(places):
        raise Unsupported("it must say how large the image becomes, as a constant")
    sides, factors = list(x.dims), [1.0] * 4
    for axis, number in zip(places, given, strict=True):
        if not math.isfinite(number) or number <= 0:
            raise Unsupported(f"it makes {number:g} of an axis")
        sides[axis] = int(number) if wanted is not None else math.floor(x.dims[axis] * number)
        factors[axis] = sides[axis] / x.dims[axis] if wanted is not None else number
    if sides[:2] != list(x.dims[:2]):
        raise Unsupported("it resizes other axes than rows and columns")
    if min(sides[2:]) < 1:
        raise Unsupported(f"an image of {sides[2]} x {sides[3]} pixels is not possible")
    if sides == list(x.dims) and factors == [1.0] * 4:
        return x
    if mode not in ("nearest", "linear", "bilinear"):
        raise Unsupported(f"resizing of mode {mode!r} is not read")
    if max(side * wanted for side, wanted in zip(x.dims[2:], sides[2:], strict=True)) > MOST_WEIGHTS:
        raise Unsupported(f"an image of {sides[2]} x {sides[3]} pixels is not possible")
    rows, columns = (_weights(x.dims[axis], sides[axis], factors[axis], mode, coordinates, nearest) for axis in (2, 3))
    for enlarges, kinds in ((True, _ENLARGING), (False, _SHRINKING)):
        pairs = [(x.dims[axis], sides[axis]) for axis in (2, 3)]
        whole = [divmod(wanted, side) if enlarges else divmod(side, wanted) for side, wanted in pairs]
        steps = (whole[0][0], whole[1][0])
        if min(steps) < 1 or any(rest for _, rest in whole):
            continue
        for matrix, layer in kinds:
            found = [matrix(side, step) for (side, _), step in zip(pairs, steps, strict=True)]
            if all(np.allclose(a, b, atol=1e-6) for a, b in zip(found, (rows, columns), strict=True)):
                return call.add(layer(steps), x)
    raise Unsupported(
        f"resizing of {list(x.dims[2:])} pixels to {sides[2:]} ({mode}, {coordinates}) is none of those by whole "
        "numbers that layers do"
    )


def _weights(side: int, wanted: int, factor: float, mode: str, coordinates: str, nearest: str) -> Matrix:
    """Return how much of each input pixel is in each output pixel, along one axis, as ONNX defines it."""
    p = np.arange(wanted, dtype=np.float64)
    match coordinates:
        case "half_pixel":
            at = (p + 0.5) / factor - 0.5
        case "pytorch_half_pixel":
            at = (p + 0.5) / factor - 0.5 if wanted > 1 else np.zeros(1)
        case "half_pixel_symmetric":
            exact = side * factor
            at = side / 2 * (1 - wanted / exact) + (p + 0.5) / factor - 0.5
        case "asymmetric":
            at = p / factor
        case "align_corners":
            at = p * (side - 1) / (wanted - 1) if wanted > 1 else np.zeros(1)
        case _:
            raise Unsupported(f"resizing with coordinates {coordinates!r} is not read")
    matrix = np.zeros((wanted, side))
    if mode == "nearest":
        near = {
            "floor": np.floor(at),
            "ceil": np.ceil(at),
            "round_prefer_floor": np.ceil(at - 0.5),
            "round_prefer_ceil": np.floor(at + 0.5),
        }
        if nearest not in near:
            raise Unsupported(f"nearest_mode {nearest!r} is not known")
        matrix[np.arange(wanted), np.clip(near[nearest], 0, side - 1).astype(int)] = 1.0
        return matrix
    low = np.floor(at)
    share = at - low
    for place, weight in ((low, 1 - share), (low + 1, share)):
        np.add.at(matrix, (np.arange(wanted), np.clip(place, 0, side - 1).astype(int)), weight)
    return matrix


def _repeated(side: int, step: int) -> Matrix:
    return np.repeat(np.eye(side), step, axis=0)


def _interpolated(side: int, step: int) -> Matrix:
    return _weights(side, side * step, step, "linear", "half_pixel", "")


def _thinned(side: int, step: int) -> Matrix:
    return np.eye(side)[::step]


def _averaged(side: int, step: int) -> Matrix:
    return np.repeat(np.eye(side // step), step, axis=1) / step


_Kinds = tuple[tuple[Callable[[int, int], Matrix], Callable[[tuple[int, int]], Layer]], ...]

_ENLARGING: _Kinds = (
    (_repeated, lambda steps: Upsample(steps)),
    (_interpolated, lambda steps: Upsample(steps, "bilinear")),
)
_SHRINKING: _Kinds = ((_thinned, lambda steps: MaxPool2d(1, steps)), (_averaged, lambda steps: AvgPool2d(steps)))
"""Which layers weigh the pixels along each axis as a Resize does."""

RULES = {"Resize": resize, "Upsample": upsample}
