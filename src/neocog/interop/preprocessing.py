"""How a picture becomes the input of a network from elsewhere: its size, how it is brought to that, mean and deviation.

Weights answer best to pictures that come as those that they were trained on did. timm keeps this in config.json beside
them; of others it is known by where they come from, and has a name here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict

from neocog.data.resize import DEFAULT_RESIZE, INTERPOLATIONS, ResizeRule
from neocog.errors import FormatError, SettingError
from neocog.nn.limits import shown

Numbers = tuple[float, ...]

_SIDE = 224  # pixels that `NAMED` is written for
_CROP_PCT = 0.875  # timm's, where a configuration does not say


class Arguments(TypedDict):
    """What `neocog.Network` takes of a preprocessing."""

    resize: ResizeRule
    mean: Numbers
    std: Numbers


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What is done to a picture before a network sees it.

    Arguments:
        resize: how it is brought to the network's size.
        mean, std: a value from 0 to 1 becomes (value - mean) / std; one number, or one for each channel.

    >>> Preprocessing.named("torchvision", 224).resize
    ResizeRule(kind='short', interpolation='bilinear', part=1.0, side=256)
    """

    resize: ResizeRule = DEFAULT_RESIZE
    mean: Numbers = (0.0,)
    std: Numbers = (1.0,)

    @classmethod
    def named(cls, name: str, side: int) -> Preprocessing:
        """Return that of a family of weights, for images of `side` × `side` pixels; see `NAMED`.

        Raises:
            SettingError: there is none of this name.
        """
        if name not in NAMED:
            raise SettingError(f"preprocessing must be one of {', '.join(NAMED)}, got {shown(name)}")
        found = NAMED[name]
        if found.resize.side is None:
            return found
        return replace(found, resize=replace(found.resize, side=side * found.resize.side // _SIDE))

    @classmethod
    def from_timm(cls, config: Mapping[str, Any]) -> tuple[Preprocessing, tuple[int, int, int]]:
        """Return what timm's config.json says (its "pretrained_cfg", or that alone), and the size of an image, as
        (height, width, channels).

        Raises:
            FormatError: it is none, or asks for what is not known here.
        """
        entry = config.get("pretrained_cfg", config)
        if not isinstance(entry, Mapping):
            raise FormatError(f"pretrained_cfg must be an object, got {shown(entry)}")
        size = entry.get("input_size")
        if not (isinstance(size, list | tuple) and len(size) == 3 and all(type(n) is int and n > 0 for n in size)):
            raise FormatError(f"input_size must be three whole numbers, channels first, got {shown(size)}")
        channels, height, width = size
        crop, mode = entry.get("crop_pct", _CROP_PCT), entry.get("crop_mode", "center")
        interpolation = entry.get("interpolation", "bicubic")
        if not isinstance(crop, int | float) or isinstance(crop, bool) or not 0 < crop <= 1:
            raise FormatError(f"crop_pct must be a number above 0, and at most 1, got {shown(crop)}")
        if interpolation not in INTERPOLATIONS:
            raise FormatError(f"interpolation must be one of {', '.join(INTERPOLATIONS)}, got {shown(interpolation)}")
        if mode == "squash" and crop == 1:
            resize = ResizeRule("stretch", interpolation)
        elif mode == "center" and height == width:
            resize = ResizeRule("short", interpolation, side=math.floor(height / crop))
        elif mode == "center":
            resize = ResizeRule("crop", interpolation, part=float(crop))
        else:
            raise FormatError(f"crop_mode must be center, or squash with a crop_pct of 1, got {shown(mode)}")
        return cls(resize, _numbers("mean", entry), _numbers("std", entry)), (height, width, channels)

    @property
    def arguments(self) -> Arguments:
        """What `neocog.Network` and `neocog.Model` take of it: `nc.Model(net, shape, names, **it.arguments)`."""
        return {"resize": self.resize, "mean": self.mean, "std": self.std}

    def __str__(self) -> str:
        mean, std = (", ".join(f"{value:.4g}" for value in values) for values in (self.mean, self.std))
        return f"resized by {self.resize}, mean {mean}, std {std} of values in [0, 1]"


IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

NAMED = {
    "plain": Preprocessing(),
    "torchvision": Preprocessing(ResizeRule("short", side=256), IMAGENET_MEAN, IMAGENET_STD),
    "timm": Preprocessing(ResizeRule("short", "bicubic", side=256), IMAGENET_MEAN, IMAGENET_STD),
    "tensorflow": Preprocessing(ResizeRule("crop"), (0.5,), (0.5,)),
    "lite": Preprocessing(ResizeRule("crop", "bicubic", 0.875), (127 / 255,), (128 / 255,)),
    "caffe": Preprocessing(ResizeRule("crop", part=0.887), (123 / 255, 117 / 255, 104 / 255), (1 / 255,)),
}
"""Families of weights → theirs, for 224 × 224 pixels. `plain`: stretched, values from 0 to 1. `torchvision` and `timm`:
the shorter side to 256, the centre cut out, ImageNet's mean and deviation. `tensorflow`: x / 127.5 - 1, as MobileNet's.
`lite`: (x - 127) / 128, EfficientNet-Lite's. `caffe`: x - (123, 117, 104), with x from 0 to 255."""


def _numbers(name: str, entry: Mapping[str, Any]) -> Numbers:
    values = entry.get(name)
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        raise FormatError(f"{name} must be a list of numbers, got {shown(values)}")
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        raise FormatError(f"{name} must be a list of numbers, got {shown(values)}")
    return tuple(map(float, values))
