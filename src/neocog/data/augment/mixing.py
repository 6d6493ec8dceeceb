"""One image of two, and one target of both of theirs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from neocog.data.augment.draws import Draws
from neocog.data.augment.transform import Mix, Pictures, Targets, check_real

LEVELS = 256
"""Shares of an image are multiples of 1/256, so that mixed bytes and targets agree exactly."""


@dataclass(frozen=True, slots=True)
class MixUp(Mix):
    """Blend images: each with the next one of the batch (Zhang et al. 2018, mixup: beyond empirical risk minimization).

    Arguments:
        alpha: the share of the first image follows Beta(alpha, alpha): the larger, the more are mixed half and half.
        share: how many images are mixed, from 0 to 1.
    """

    word: ClassVar[str] = "mixup"
    main: ClassVar[tuple[str, ...]] = ("alpha",)

    alpha: float = 0.2
    share: float = 1.0

    def __post_init__(self) -> None:
        check_real(self, 0.01, 100, alpha=self.alpha)
        check_real(self, 0, 1, share=self.share)

    def mix(self, images: Pictures, targets: Targets, draws: Draws) -> tuple[Pictures, Targets]:
        kept = np.where(draws.chosen(0, self.share), beta_levels(draws, 1, self.alpha), LEVELS)
        mixed = np.empty_like(images)
        own, other = np.empty((2, *images.shape[1:]), np.uint16)
        for place, level in enumerate(kept.tolist()):
            np.multiply(images[place], np.uint16(level), out=own)
            np.multiply(images[(place + 1) % len(images)], np.uint16(LEVELS - level), out=other)
            own += other
            own += np.uint16(LEVELS // 2 - 1)  # 255 · 256 + 127 is still 16 bits
            np.right_shift(own, 8, out=mixed[place], casting="unsafe")
        shares = (kept / np.float32(LEVELS)).astype(np.float32)[:, None]
        return mixed, shares * targets + (1 - shares) * np.roll(targets, -1, axis=0)


@dataclass(frozen=True, slots=True)
class CutMix(Mix):
    """Put a rectangle of the next image of the batch over each (Yun et al. 2019, CutMix).

    Targets follow the pixels that are there, where the rectangle reaches over the edge too.

    Arguments:
        alpha: the share of the first image's area follows Beta(alpha, alpha).
        share: how many images are mixed, from 0 to 1.
    """

    word: ClassVar[str] = "cutmix"
    main: ClassVar[tuple[str, ...]] = ("alpha",)

    alpha: float = 1.0
    share: float = 0.5

    def __post_init__(self) -> None:
        check_real(self, 0.01, 100, alpha=self.alpha)
        check_real(self, 0, 1, share=self.share)

    def mix(self, images: Pictures, targets: Targets, draws: Draws) -> tuple[Pictures, Targets]:
        height, width = images.shape[1:3]
        side = np.sqrt((LEVELS - beta_levels(draws, 1, self.alpha)) / LEVELS)
        tops, bottoms = _ends(draws.below(2, height), side, height)
        lefts, rights = _ends(draws.below(3, width), side, width)
        mixed, shares = images.copy(), np.ones(len(images), np.float32)
        for place in map(int, np.flatnonzero(draws.chosen(0, self.share))):
            part = np.s_[tops[place] : bottoms[place], lefts[place] : rights[place]]
            mixed[place][part] = images[(place + 1) % len(images)][part]
            area = (bottoms[place] - tops[place]) * (rights[place] - lefts[place])
            shares[place] = 1 - area / (height * width)
        shares = shares[:, None]
        return mixed, shares * targets + (1 - shares) * np.roll(targets, -1, axis=0)


def _ends(
    centres: NDArray[np.int64], side: NDArray[np.float64], length: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where rectangles begin and end along an axis of so many pixels: their sides, shares of it, about centres,
    each end cut off at the edge by itself.
    """
    half = np.rint(side * length / 2).astype(np.int64)
    return np.maximum(centres - half, 0), np.minimum(centres + half, length)


def beta_levels(draws: Draws, number: int, alpha: float) -> NDArray[np.int64]:
    """Return (n,) numbers from 0 to 256 that follow 256 · Beta(alpha, alpha), rounded."""
    levels: NDArray[np.int64] = np.searchsorted(_beta(alpha), draws.uniform(number), side="right").astype(np.int64)
    return levels


@cache
def _beta(alpha: float) -> NDArray[np.float64]:
    """Return (256,) the probability that a level is at most k, for k below 256.

    Level k stands for shares from (k - 1/2)/256 to (k + 1/2)/256. The density x^(α-1) (1-x)^(α-1) is symmetric, and
    infinite at 0 for α < 1; so its first factor is integrated exactly, up to the middle, and the second taken as it is
    in the middle of the cell.
    """
    edges = [0.0, *((level + 0.5) / LEVELS for level in range(LEVELS // 2)), 0.5]
    lower = [(high**alpha - low**alpha) * (1 - (low + high) / 2) ** (alpha - 1) for low, high in pairwise(edges)]
    lower[-1] *= 2  # the middle cell, of which a half is beyond
    weights = np.array([*lower, *lower[-2::-1]])
    below: NDArray[np.float64] = np.cumsum(weights)
    below /= below[-1]
    return below[:-1]
