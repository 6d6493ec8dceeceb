"""config.json as timm writes it beside weights: which network they are of, and how pictures come to it.

Source of the keys: timm's documentation of `pretrained_cfg`, and the files on huggingface.co/timm.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neocog.data.resize import INTERPOLATIONS, ResizeRule
from neocog.errors import FormatError
from neocog.model.fields import check_integer, check_number
from neocog.model.files import shown_value

MOST_SIDE = 4096
"""Pixels a side of a network's input."""

MOST_CLASSES = 262_144
CENTRE, SQUASH = "center", "squash"


@dataclass(frozen=True, slots=True)
class Config:
    """What a config.json of timm's says.

    Arguments:
        architecture: the network, by timm's name.
        classes: outputs.
        side: pixels of a picture's height and width.
        resize: how pictures are brought to that.
        mean, std: of each channel, on values from 0 to 1.
        class_names: where the file has them.
    """

    architecture: str
    classes: int
    side: int
    resize: ResizeRule
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_names: tuple[str, ...] | None


def read_config(where: str, entries: Mapping[str, Any], known: Sequence[str]) -> Config:
    """Read a config.json of timm's.

    Arguments:
        where: what messages begin with.
        entries: the JSON object.
        known: the architectures that neocog has.

    Raises:
        FormatError: it is none of timm's, of a network that neocog does not have, or says of pictures what neocog
            cannot do.
    """
    architecture = _architecture(where, entries, known)
    # configs of before 2022 have on top what later ones have under this key
    pictures = entries.get("pretrained_cfg", entries)
    if not isinstance(pictures, Mapping):
        raise FormatError(f"{where}: pretrained_cfg must be an object, got {shown_value(pictures)}")
    try:
        if entries.get("model_args"):
            raise FormatError(
                f"it is no plain {architecture}: model_args is {shown_value(entries['model_args'])}",
                hint="neocog has the plain one alone",
            )
        classes = check_integer("num_classes", _either("num_classes", entries, pictures, 1000), 1)
        if classes > MOST_CLASSES:
            raise FormatError(f"num_classes must be at most {MOST_CLASSES:,}, got {classes:,}")
        side = _side(pictures.get("input_size", [3, 224, 224]))
        return Config(
            architecture,
            classes,
            side,
            _resize(side, pictures),
            _channels("mean", pictures),
            _channels("std", pictures),
            _names(_either("label_names", entries, pictures, None) or entries.get("labels"), classes),
        )
    except FormatError as error:
        raise FormatError(f"{where}: {error.message}", details=error.details, hint=error.hint) from None


def _architecture(where: str, entries: Mapping[str, Any], known: Sequence[str]) -> str:
    name = entries.get("architecture")
    if name in known:
        return str(name)
    if isinstance(name, str):
        said = f"{where}: neocog does not have the network {shown_value(name)}"
    elif isinstance(entries.get("architectures"), list):
        said = f"{where} is for transformers' {shown_value(entries['architectures'])}, which neocog does not have"
    else:
        said = f"{where} does not say which network the weights are of (its key architecture, as timm writes it)"
    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f"the nearest is {near[0]}" if near else None
    raise FormatError(said, details=(f"those of timm's that it has: {', '.join(known)}",), hint=hint)


def _either(key: str, first: Mapping[str, Any], second: Mapping[str, Any], default: object) -> object:
    return first[key] if first.get(key) is not None else second.get(key, default)


def _side(size: object) -> int:
    if not isinstance(size, list) or len(size) != 3 or size[0] != 3 or size[1] != size[2]:
        raise FormatError(f"input_size must be [3, side, side], got {shown_value(size)}")
    side = check_integer("input_size", size[1], 1)
    if side > MOST_SIDE:
        raise FormatError(f"input_size may be at most {MOST_SIDE:,} pixels, got {side:,}")
    return side


def _resize(side: int, pictures: Mapping[str, Any]) -> ResizeRule:
    """Return timm's rule: the shorter side becomes floor(side / crop_pct) pixels, and the centre is cut out."""
    interpolation = pictures.get("interpolation", "bilinear")
    if interpolation not in INTERPOLATIONS:
        raise FormatError(
            f"interpolation must be one of {', '.join(INTERPOLATIONS)}, got {shown_value(interpolation)}"
        )
    part = check_number("crop_pct", pictures.get("crop_pct", 0.875))
    if not 0.1 <= part <= 1:
        raise FormatError(f"crop_pct must be from 0.1 to 1, got {part:g}")
    mode = pictures.get("crop_mode", CENTRE)
    if mode == SQUASH and part == 1:
        return ResizeRule("stretch", interpolation)
    if mode != CENTRE:
        raise FormatError(f"crop_mode must be {CENTRE}, got {shown_value(mode)}")
    return ResizeRule("short", interpolation, side=math.floor(side / part))


def _channels(key: str, pictures: Mapping[str, Any]) -> tuple[float, ...]:
    values = pictures.get(key)
    if not isinstance(values, list) or len(values) != 3:
        raise FormatError(f"{key} must be a number for each of three channels, got {shown_value(values)}")
    return tuple(check_number(f"{key}[{place}]", value) for place, value in enumerate(values))


def _names(names: object, classes: int) -> tuple[str, ...] | None:
    """Return the names of classes, which are a list, or an object with their numbers as keys; else None."""
    if isinstance(names, Mapping):
        try:
            names = [names[str(place)] for place in range(classes)]
        except KeyError:
            return None
    if not isinstance(names, list) or len(names) != classes:
        return None
    if not all(isinstance(name, str) and name for name in names) or len(set(names)) != classes:
        return None
    return tuple(names)
