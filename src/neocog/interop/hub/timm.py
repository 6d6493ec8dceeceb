"""config.json as timm writes it beside weights: which network they are of, and how pictures come to it.

Source of the keys: timm's documentation of `pretrained_cfg`, and the files on huggingface.co/timm.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from neocog.errors import FormatError, SettingError
from neocog.interop.architectures import Architecture
from neocog.interop.preprocessing import Preprocessing
from neocog.model.fields import check_integer
from neocog.model.json_values import shown_value
from neocog.nn.limits import MAX_CLASSES
from neocog.nn.zoo.names import IMAGENET

MOST_SIDE = 4096
"""Pixels a side of a network's input."""

KNOWN = (
    *("convnext_atto", "densenet121", "efficientnet_b0", "efficientnet_lite0", "mobilenetv1_100", "mobilenetv2_100"),
    *("mobilenetv3_large_100", "mobilenetv3_small_100", "repvgg_a0", "resnet18", "resnet34", "resnet50"),
    *("tf_efficientnet_b0", "tf_efficientnet_lite0", "tf_mobilenetv3_large_100", "tf_mobilenetv3_small_100"),
    *("vgg11", "vgg11_bn", "vgg16", "vgg16_bn"),
)
"""Networks of timm's that neocog has, by timm's names."""


@dataclass(frozen=True, slots=True)
class Config:
    """What a config.json of timm's says.

    Arguments:
        name: of the network, timm's.
        architecture: the same, of the zoo.
        classes: outputs.
        image: (height, width, channels) of a picture.
        preprocessing: how pictures are brought to that.
        class_names: where the file has them.
    """

    name: str
    architecture: Architecture
    classes: int
    image: tuple[int, int, int]
    preprocessing: Preprocessing
    class_names: tuple[str, ...] | None


def read_config(where: str, entries: Mapping[str, Any]) -> Config:
    """Read a config.json of timm's.

    Arguments:
        where: what messages begin with.
        entries: the JSON object.

    Raises:
        FormatError: it is none of timm's, of a network that neocog does not have, or asks for pictures what neocog
            cannot do.
    """
    try:
        architecture = _architecture(entries)
        if entries.get("model_args"):
            raise FormatError(
                f"it is no plain {entries['architecture']}: model_args is {shown_value(entries['model_args'])}",
                hint="neocog has the plain one alone",
            )
        preprocessing, image = Preprocessing.from_timm(entries)
        if image[2] != 3 or max(image) > MOST_SIDE:
            raise FormatError(f"input_size must be 3 channels of at most {MOST_SIDE:,} pixels a side, got {image}")
        # files of before 2022 have on top what later ones have under "pretrained_cfg"
        pictures = entries.get("pretrained_cfg", entries)
        classes = check_integer("num_classes", _either("num_classes", entries, pictures, IMAGENET), 1, MAX_CLASSES)
        names = _names(_either("label_names", entries, pictures, entries.get("labels")), classes)
        return Config(str(entries["architecture"]), architecture, classes, image, preprocessing, names)
    except (FormatError, SettingError) as error:
        raise FormatError(f"{where}: {error.message}", details=error.details, hint=error.hint) from None


def _architecture(entries: Mapping[str, Any]) -> Architecture:
    name = entries.get("architecture")
    if isinstance(name, str):
        try:
            return Architecture.named(name)
        except SettingError:
            said = f"neocog does not have the network {shown_value(name)}"
    elif isinstance(entries.get("architectures"), list):
        said = f"it is for transformers' {shown_value(entries['architectures'])}, which neocog does not have"
    else:
        said = "it does not say which network the weights are of, as timm does under the key architecture"
    near = difflib.get_close_matches(str(name), KNOWN, n=1)
    hint = f"the nearest is {near[0]}" if near else None
    raise FormatError(said, details=(f"those of timm's that it has: {', '.join(KNOWN)}",), hint=hint)


def _either(key: str, first: Mapping[str, Any], second: Mapping[str, Any], default: object) -> object:
    return first[key] if first.get(key) is not None else second.get(key, default)


def _names(names: object, classes: int) -> tuple[str, ...] | None:
    """Return the names of classes, which are a list, or an object with their numbers as keys; else None."""
    if isinstance(names, Mapping):
        names = [names.get(str(place)) for place in range(classes)]
    if not isinstance(names, list) or len(names) != classes:
        return None
    if not all(isinstance(name, str) and name for name in names) or len(set(names)) != classes:
        return None
    return tuple(names)
