"""What a Dropout keeps, computed on the device by the counter-based generator that all engines share (nn/random.py)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from neocog.engines.torch.vectors import image_of
from neocog.nn.graph import Node
from neocog.nn.layers import Dropout, Dropout2d, DropPath
from neocog.nn.random import MULTIPLIERS, SHIFTS, dropout_key, dropout_threshold

_SIGN = 1 << 31

Draw = Sequence[tuple[int, int]]
"""Of the images of a step, in order: the number of a slice, and how many of them it has."""


class SharedDropout(torch.nn.Module):  # type: ignore[misc]
    """Drops values, maps or images: the same as every other engine once it is told the step, by PyTorch's generator
    else.

    What a step changes lies in buffers, so that a compiled network, or a captured one, needs nothing new for it.
    """

    def __init__(self, layer: Dropout | Dropout2d | DropPath, node: Node) -> None:
        super().__init__()
        self.layer = layer
        self.node = node
        self.shared = False
        self.register_buffer("keys", None, persistent=False)  # (images,), of the slice that an image is in
        self.register_buffer("places", None, persistent=False)  # (images,), among those of its slice

    def share(self, images: int, device: str) -> None:
        """Have it drop as other engines do, in steps of at most so many images."""
        self.shared = True
        self.keys = torch.zeros(images, dtype=torch.int32, device=device)
        self.places = torch.zeros(images, dtype=torch.int32, device=device)

    def drawn(self, seed: int, step: int, slices: Draw) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return the keys and places of the images of a step; those who hold them put them into the buffers."""
        keys = [np.full(count, dropout_key(seed, step, self.node.stream, one), np.uint32) for one, count in slices]
        places = [np.arange(count, dtype=np.int32) for _, count in slices]
        return np.concatenate(keys).view(np.int32), np.concatenate(places)

    def forward(self, x: Any) -> Any:
        """Drop while training; give x as it is otherwise."""
        if not self.training:
            return x
        kept = self._kept_by_all(x) if self.shared else self._kept_by_pytorch(x)
        return torch.where(kept, x * (1.0 / (1.0 - self.layer.rate)), 0.0)

    def _units(self, x: Any) -> tuple[int, ...]:
        """Return how many units there are along each axis; the values of a unit are dropped as one."""
        count, channels, *sides = x.shape
        if isinstance(self.layer, Dropout):
            return (count, channels, *sides)
        return (count, channels if isinstance(self.layer, Dropout2d) else 1, *(1,) * len(sides))

    def _kept_by_pytorch(self, x: Any) -> Any:
        return torch.rand(self._units(x), device=x.device) >= self.layer.rate

    def _kept_by_all(self, x: Any) -> Any:
        count, *rest = units = self._units(x)
        of_image = math.prod(rest)
        numbers = torch.arange(of_image, dtype=torch.int32, device=x.device)
        kept = _at_least(
            _bits(self.keys[:count, None], self.places[:count, None] * of_image + numbers),
            dropout_threshold(self.layer.rate),
        )
        # The bits run in (row, column, channel) order, PyTorch's tensors in (channel, row, column) order.
        if len(units) == 4:
            channels, height, width = rest
            return kept.view(count, height, width, channels).permute(0, 3, 1, 2)
        image = image_of(self.node.input) if isinstance(self.layer, Dropout) else None
        if image is None:
            return kept
        return kept.view(-1, image.height, image.width, image.channels).permute(0, 3, 1, 2).flatten(1)


def _bits(keys: Any, numbers: Any) -> Any:
    """Return `nn.random.dropout_bits` as int32: PyTorch computes little with uint32, and products wrap alike."""
    word = numbers ^ keys
    for salt in (0, keys):
        word = word + salt
        word = word ^ _shifted(word, SHIFTS[0])
        word = word * _signed(MULTIPLIERS[0])
        word = word ^ _shifted(word, SHIFTS[1])
        word = word * _signed(MULTIPLIERS[1])
        word = word ^ _shifted(word, SHIFTS[2])
    return word


def _shifted(word: Any, by: int) -> Any:
    """Shift right without the sign, which `>>` copies."""
    return (word >> by) & ((1 << (32 - by)) - 1)


def _at_least(word: Any, threshold: int) -> Any:
    """Whether words are at least that, as they are without a sign."""
    return (word ^ -_SIGN) >= threshold - _SIGN


def _signed(word: int) -> int:
    return word - (1 << 32) if word >= _SIGN else word
