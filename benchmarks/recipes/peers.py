"""Trainings as users of other libraries have them by default, and one as experienced people write it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from benchmarks.recipes import pictures
from benchmarks.recipes.networks import KerasNet, ResNet9, SmallResNet

Parameters = list[dict[str, Any]]


@dataclass(frozen=True)
class Peer:
    """A training.

    Arguments:
        network: takes the channels of an image, classes, and pixels of a side.
        change: what is done to photographs. small: to images of 32 pixels or less.
        optimizer: takes the parameters.
        factor: on the learning rate, for the share of the training that is over.
        momentum: likewise, where it moves.
        normalised: whether images get mean 0 and deviation 1.
    """

    network: Callable[[int, int, int], nn.Module]
    change: pictures.Change
    small: pictures.Change
    optimizer: Callable[[Parameters], torch.optim.Optimizer]
    factor: Callable[[float], float]
    batch: int
    smoothing: float = 0.0
    momentum: Callable[[float], float] | None = None
    normalised: bool = True


def cosine(warmup: float, final: float = 0.0) -> Callable[[float], float]:
    """Return a factor that rises over a share of the training, then falls along half a cosine."""

    def factor(share: float) -> float:
        if share < warmup:
            return share / warmup
        return final + (1 - final) * (1 + math.cos(math.pi * (share - warmup) / (1 - warmup))) / 2

    return factor


def cycle(share: float) -> float:
    """Return fastai's one-cycle factor: from 1/25 up to 1 over a quarter of the training, then down to nothing."""
    if share < 0.25:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * share / 0.25)) / 2
    return 1e-5 + (1 - 1e-5) * (1 + math.cos(math.pi * (share - 0.25) / 0.75)) / 2


def opposite(share: float) -> float:
    """Return fastai's momentum: down from 0.95 to 0.85, and up again."""
    if share < 0.25:
        return 0.95 - 0.1 * (1 - math.cos(math.pi * share / 0.25)) / 2
    return 0.85 + 0.1 * (1 - math.cos(math.pi * (share - 0.25) / 0.75)) / 2


def constant(share: float) -> float:
    """Return 1."""
    return 1.0


PEERS: dict[str, Peer] = {
    # as experienced people write it for a small photo set: crops, smoothing, decay, cosine
    "resnet9": Peer(
        ResNet9,
        pictures.resized_crops(0.35),
        pictures.padded_crops(4),
        lambda parameters: torch.optim.AdamW(parameters, lr=0.003, weight_decay=0.05),
        cosine(0.05),
        batch=64,
        smoothing=0.1,
    ),
    # vision_learner without pretrained weights: aug_transforms(), fit_one_cycle at 3e-3, AdamW with decay 0.01
    "fastai": Peer(
        SmallResNet,
        pictures.turns(10.0, 0.1, light=0.2, share=0.75),
        pictures.turns(10.0, 0.1, light=0.2, share=0.75),
        lambda parameters: torch.optim.AdamW(parameters, lr=0.003, weight_decay=0.01, betas=(0.95, 0.99), eps=1e-5),
        cycle,
        batch=64,
        momentum=opposite,
    ),
    # the tutorial "Image classification": RandomFlip, RandomRotation(0.1), RandomZoom(0.1), Adam as it comes
    "keras": Peer(
        KerasNet,
        pictures.turns(36.0, 0.1),
        pictures.turns(36.0, 0.1),
        lambda parameters: torch.optim.Adam(parameters, lr=0.001, eps=1e-7),
        constant,
        batch=32,
        normalised=False,
    ),
    # train.py's defaults: SGD at 0.1 for 256 images, decay 2e-5, cosine with warm-up, crops of 8 % and more, jitter 0.4
    "timm": Peer(
        SmallResNet,
        pictures.then(pictures.resized_crops(0.08), pictures.jitter(0.4)),
        pictures.then(pictures.resized_crops(0.08), pictures.jitter(0.4)),
        lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9, nesterov=True, weight_decay=2e-5),
        cosine(0.05),
        batch=128,
        smoothing=0.1,
    ),
}
