"""Constants and padding put where layers have a place for them, once a network is known as a whole.

Files say a bias as Add, a scale as Mul, TensorFlow's padding as Pad. Where one layer alone is concerned, these belong
to it: to a convolution's filters and bias, to a BatchNorm2d's scale and shift, to the normalisation of the image. What
no layer has a place for becomes a LayerScale, or a depthwise convolution of 1 × 1. The network stays the same function.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from neocog.interop.onnx.parts import Erf, Floats, LogSoftmax, Pad, Part, Parts, Rescale
from neocog.interop.onnx.reading.windows import tidy
from neocog.nn.layer import channels_of
from neocog.nn.layers import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    Flatten,
    GlobalAvgPool2d,
    GroupNorm,
    Hardsigmoid,
    LayerNorm2d,
    LayerScale,
    Linear,
    MaxPool2d,
    ReLU,
    ReLU6,
    Sigmoid,
    Softmax,
)
from neocog.nn.shapes import ImageShape
from neocog.nn.window import Sides, pair, sides_of
from neocog.nn.wiring import IMAGE

_NOT_NEGATIVE = (ReLU, ReLU6, Sigmoid, Hardsigmoid, Softmax)


@dataclass(frozen=True, slots=True)
class Simplified:
    """A network of layers alone.

    Arguments:
        parts: in order; the last gives the answer.
        scale, shift: what happens to the image first, x · scale + shift, one each a channel.
        refusals: what no layer could take, as messages say it.
    """

    parts: tuple[Part, ...]
    scale: Floats
    shift: Floats
    refusals: tuple[str, ...] = ()


def simplified(parts: Parts, output: int) -> Simplified:
    """Return what leads to a value, without Rescale and Pad."""
    work = _Work(parts, output)
    for value in work.needed:
        work.take(value)
    return work.result()


def needed_for(parts: Sequence[Part], output: int) -> list[int]:
    """Return the numbers of the parts that a value depends on, itself included, in order."""
    found, waiting = set(), [output]
    while waiting:
        value = waiting.pop()
        if value != IMAGE and value not in found:
            found.add(value)
            waiting += parts[value].inputs
    return sorted(found)


class _Work:
    def __init__(self, parts: Parts, output: int) -> None:
        self.given = parts.parts
        self.output = output
        self.needed = needed_for(self.given, output)
        self.users = Counter(value for number in self.needed for value in self.given[number].inputs)
        self.now: dict[int, int] = {IMAGE: IMAGE}  # number in the file → number here
        self.parts: list[Part] = []
        self.alone: set[int] = set()  # numbers here of what one layer alone takes
        channels = parts.image.channels
        self.scale, self.shift = np.ones(channels), np.zeros(channels)

    def take(self, value: int) -> None:
        part = self.given[value]
        source = part.inputs[0]
        part = replace(part, inputs=tuple(self.now[x] for x in part.inputs))
        alone = self.users[source] == 1
        if alone and part.inputs[0] != IMAGE:
            self.alone.add(part.inputs[0])
        match part.layer:
            case Rescale():
                merged = (alone and self._rescale(part)) or _does_nothing(part)
            case Flatten() if alone and self._layer(part.inputs[0]) == AdaptiveAvgPool2d(1):
                pool = self.parts[part.inputs[0]]
                self.parts[part.inputs[0]] = replace(pool, layer=GlobalAvgPool2d(), output=part.output)
                merged = True
            case Linear() if alone and isinstance(self._layer(part.inputs[0]), Rescale):
                part = self._linear_after(part)
                merged = False
            case Conv2d() | AvgPool2d() | MaxPool2d() if isinstance(self._layer(part.inputs[0]), Pad):
                part = self._padded(part)
                merged = False
            case _:
                merged = False
        if merged:
            self.now[value] = part.inputs[0]
        else:
            self.parts.append(part)
            self.now[value] = len(self.parts) - 1

    def _layer(self, value: int) -> object:
        return None if value == IMAGE else self.parts[value].layer

    def _rescale(self, part: Part) -> bool:
        """Put a Rescale into the one layer before it; tell whether that went."""
        place = part.inputs[0]
        scale, shift = part.arrays.get("scale"), part.arrays.get("shift")
        if place == IMAGE:
            times = 1.0 if scale is None else scale
            if not (np.isfinite(times).all() and np.min(self.scale * times) > 0):
                return False
            self.scale, self.shift = self.scale * times, self.shift * times + (0.0 if shift is None else shift)
            return True
        before = self.parts[place]
        match before.layer:
            case Rescale():
                arrays = _combined(before.arrays, scale, shift, "scale", "shift")
                self.parts[place] = replace(before, arrays=arrays)
            case BatchNorm2d() | GroupNorm() | LayerNorm2d() if before.layer.affine:
                self.parts[place] = replace(before, arrays=_combined(before.arrays, scale, shift, "weight", "bias"))
            case Conv2d() | ConvTranspose2d() | Linear() if scale is None:
                self.parts[place] = _weighted(before, scale, shift)
            case _:
                return False
        return True

    def _into_weights(self) -> None:
        """Put what is multiplied and added behind a layer with weights into those. What is only multiplied stays."""
        moved = {IMAGE: IMAGE}
        for value, part in enumerate(self.parts):
            moved[value] = value
            part = replace(part, inputs=tuple(moved[x] for x in part.inputs))
            self.parts[value] = part
            if not isinstance(part.layer, Rescale):
                continue
            place = part.inputs[0]
            if _does_nothing(part):
                moved[value] = place
            elif place in self.alone and place != IMAGE and "shift" in part.arrays:
                before = self.parts[place]
                if isinstance(before.layer, Conv2d | ConvTranspose2d | Linear):
                    self.parts[place] = _weighted(before, part.arrays.get("scale"), part.arrays["shift"])
                    moved[value] = place
        output = self.now[self.output]
        self.now[self.output] = moved[output]

    def _linear_after(self, part: Part) -> Part:
        """Return a Linear that does what a Rescale before it did."""
        before = self.parts[part.inputs[0]]
        weight = part.arrays["weight"].astype(np.float64)
        scale, shift = before.arrays.get("scale"), before.arrays.get("shift")
        arrays = dict(part.arrays)
        layer = part.layer
        assert isinstance(layer, Linear)
        if shift is not None:
            arrays["bias"] = arrays.get("bias", np.zeros(layer.features)) + shift @ weight
            layer = replace(layer, bias=True)
        if scale is not None:
            arrays["weight"] = weight * scale[:, None]
        return replace(part, layer=layer, arrays=arrays, inputs=before.inputs)

    def _padded(self, part: Part) -> Part:
        """Return a layer that pads by itself, where it can; else as it is."""
        pad = self.parts[part.inputs[0]]
        layer = part.layer
        assert isinstance(pad.layer, Pad)
        assert isinstance(layer, Conv2d | AvgPool2d | MaxPool2d)
        if layer.padding == "same":
            walk = layer.window_over(self._shape(part.inputs[0]))
            own: Sides = ((walk.vertical.before, walk.vertical.after), (walk.horizontal.before, walk.horizontal.after))
        else:
            own = sides_of(layer.padding)
        down, across = (
            (less + more, rest + added) for (less, rest), (more, added) in zip(own, pad.layer.sides, strict=True)
        )
        padding = tidy((down, across))
        if isinstance(layer, Conv2d):
            return replace(part, layer=replace(layer, padding=padding), inputs=pad.inputs)
        fits = all(max(sides) < side for sides, side in zip((down, across), pair(layer.window), strict=True))
        if isinstance(layer, MaxPool2d):
            takes_zeros = own == ((0, 0), (0, 0)) and isinstance(self._layer(pad.inputs[0]), _NOT_NEGATIVE)
        else:
            takes_zeros = own == ((0, 0), (0, 0)) or layer.count_include_pad
        if not (fits and takes_zeros and not layer.ceil_mode):
            return part
        if isinstance(layer, AvgPool2d):
            return replace(part, layer=replace(layer, padding=padding, count_include_pad=True), inputs=pad.inputs)
        return replace(part, layer=replace(layer, padding=padding), inputs=pad.inputs)

    def _shape(self, value: int) -> ImageShape:
        shape = self.parts[value].output
        assert isinstance(shape, ImageShape)
        return shape

    def result(self) -> Simplified:
        """Return what is left, with layers for constants and padding that found no other place."""
        self._into_weights()
        output = self.now[self.output]
        numbers = {value: place for place, value in enumerate(needed_for(self.parts, output))}
        refusals, kept = [], []
        for value in numbers:
            part = self.parts[value]
            inputs = tuple(IMAGE if x == IMAGE else numbers[x] for x in part.inputs)
            if isinstance(part.layer, Erf | LogSoftmax):
                where = "within a GELU" if isinstance(part.layer, Erf) else "at the end of a network"
                refusals.append(f"{part.origin}: it is read {where}, not here")
            if isinstance(part.layer, Rescale | Pad):
                if not isinstance(part.output, ImageShape) and "shift" in part.arrays:
                    refusals.append(f"{part.origin}: a constant is added to a vector that comes of no matrix product")
                part = _standing(part)
            kept.append(replace(part, inputs=inputs))
        return Simplified(tuple(kept), self.scale, self.shift, tuple(refusals))


def _does_nothing(part: Part) -> bool:
    """Tell whether a Rescale gives what it takes."""
    scale, shift = part.arrays.get("scale"), part.arrays.get("shift")
    return (scale is None or bool(np.all(scale == 1.0))) and (shift is None or not np.any(shift))


def _combined(
    arrays: Mapping[str, Floats], scale: Floats | None, shift: Floats | None, times: str, plus: str
) -> dict[str, Floats]:
    """Return the arrays of what multiplies and adds, once all of it is multiplied and added to once more."""
    result: dict[str, Floats] = {name: value.astype(np.float64) for name, value in arrays.items()}
    if scale is not None:
        for name in (times, plus):
            if name in result:
                result[name] = result[name] * scale
        result.setdefault(times, scale.astype(np.float64))
    if shift is not None:
        result[plus] = result.get(plus, 0.0) + shift.astype(np.float64)
    return result


def _weighted(part: Part, scale: Floats | None, shift: Floats | None) -> Part:
    """Return a layer with weights whose results are multiplied and added to."""
    arrays, layer = dict(part.arrays), part.layer
    assert isinstance(layer, Conv2d | ConvTranspose2d | Linear)
    if scale is not None:
        by = scale[:, None] if isinstance(layer, ConvTranspose2d) else scale
        arrays["weight"] = arrays["weight"].astype(np.float64) * by
        if "bias" in arrays:
            arrays["bias"] = arrays["bias"].astype(np.float64) * scale
    if shift is not None:
        arrays["bias"] = arrays["bias"].astype(np.float64) + shift if "bias" in arrays else shift
        layer = replace(layer, bias=True)
    return replace(part, layer=layer, arrays=arrays)


def _standing(part: Part) -> Part:
    """Return a Rescale or Pad as a layer of its own."""
    channels = channels_of(part.output)
    scale, shift = part.arrays.get("scale"), part.arrays.get("shift")
    if isinstance(part.layer, Rescale) and shift is None and scale is not None:
        return replace(part, layer=LayerScale(1.0), arrays={"weight": scale})
    padding = tidy(part.layer.sides) if isinstance(part.layer, Pad) else 0
    weight = np.ones(channels, np.float32) if scale is None else scale
    layer = Conv2d(channels, 1, padding=padding, bias=shift is not None, groups=channels)
    arrays = {"weight": weight[None, None, None], **({} if shift is None else {"bias": shift})}
    return replace(part, layer=layer, arrays=arrays)
