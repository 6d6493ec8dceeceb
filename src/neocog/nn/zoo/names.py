"""The known networks by name."""

from __future__ import annotations

from collections.abc import Callable

from neocog.errors import SettingError
from neocog.nn.layer import Layer
from neocog.nn.shapes import ImageShape
from neocog.nn.zoo.article import article
from neocog.nn.zoo.default import default_net
from neocog.nn.zoo.lenet import lenet5
from neocog.nn.zoo.photo import photo
from neocog.nn.zoo.resnet import resnet18, resnet20
from neocog.nn.zoo.vgg import vgg

MODELS: dict[str, Callable[[int], Layer]] = {
    "article": article,
    "lenet5": lenet5,
    "photo": photo,
    "resnet18": resnet18,
    "resnet20": resnet20,
    "vgg": vgg,
}


def make_net(name: str, image: ImageShape, classes: int) -> Layer:
    """Make the network called `name`; "auto" is `default_net`.

    Raises:
        SettingError: there is no such network.
    """
    if name == "auto":
        return default_net(image, classes)
    if name not in MODELS:
        raise SettingError(f"unknown model {name!r}", hint=f"known models: auto, {', '.join(sorted(MODELS))}")
    return MODELS[name](classes)
