"""What the peers do to a batch of images before a step, on tensors (N, C, H, W) of values in [0, 1].

Crops, turns and mirror images are one map from each pixel to where it comes from, so that a batch is resampled once.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch.nn import functional

Change = Callable[[torch.Tensor, bool], torch.Tensor]
"""Takes images, and whether they may be mirrored."""


def as_they_are(images: torch.Tensor, mirrors: bool) -> torch.Tensor:
    """Change nothing."""
    return images


def resized_crops(low: float) -> Change:
    """Return crops of a share of the image from `low` to 1, and of 3:4 to 4:3, mirrored half of the time."""

    def change(images: torch.Tensor, mirrors: bool) -> torch.Tensor:
        count = len(images)
        area = low + (1 - low) * torch.rand(count)
        ratio = torch.exp((2 * torch.rand(count) - 1) * math.log(4 / 3))
        width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
        right, down = ((2 * torch.rand(count) - 1) * (1 - side) for side in (width, height))
        return resampled(
            images, width * _mirrored(count, mirrors), torch.zeros(count), torch.zeros(count), height, right, down
        )

    return change


def padded_crops(padding: int) -> Change:
    """Return images shifted by up to so many pixels, reflected at the border, and mirrored half of the time."""

    def change(images: torch.Tensor, mirrors: bool) -> torch.Tensor:
        count, side = len(images), images.shape[-1]
        right, down = (torch.randint(-padding, padding + 1, (count,)) * 2 / side for _ in range(2))
        zero, one = torch.zeros(count), torch.ones(count)
        return resampled(images, one * _mirrored(count, mirrors), zero, zero, one, right, down)

    return change


def turns(degrees: float, zoom: float, light: float = 0.0, share: float = 1.0) -> Change:
    """Return images turned and zoomed by up to so much, a share of them, lighter or darker, and mirrored half of the
    time.
    """

    def change(images: torch.Tensor, mirrors: bool) -> torch.Tensor:
        count = len(images)
        chosen = (torch.rand(count) < share).float()
        angle = chosen * math.radians(degrees) * (2 * torch.rand(count) - 1)
        scale = 1 + chosen * zoom * (2 * torch.rand(count) - 1)
        flip = _mirrored(count, mirrors)
        cosine, sine, zero = angle.cos() * scale, angle.sin() * scale, torch.zeros(count)
        images = resampled(images, cosine * flip, -sine, sine * flip, cosine, zero, zero)
        return lit(images, light) if light else images

    return change


def then(*changes: Change) -> Change:
    """Return one change after the other."""

    def change(images: torch.Tensor, mirrors: bool) -> torch.Tensor:
        for each in changes:
            images = each(images, mirrors)
        return images

    return change


def jitter(amount: float) -> Change:
    """Return images lighter or darker, of more or less contrast, and of more or less colour, by up to so much."""

    def change(images: torch.Tensor, mirrors: bool) -> torch.Tensor:
        images = lit(images, amount)
        factor = 1 + amount * (2 * torch.rand(len(images), 1, 1, 1) - 1)
        grey = images.mean(1, keepdim=True)
        return (grey + factor * (images - grey)).clamp(0, 1)

    return change


def lit(images: torch.Tensor, amount: float) -> torch.Tensor:
    """Return images lighter or darker, and of more or less contrast."""
    light, contrast = (1 + amount * (2 * torch.rand(len(images), 1, 1, 1) - 1) for _ in range(2))
    images = images * light
    mean = images.mean((1, 2, 3), keepdim=True)
    return (mean + contrast * (images - mean)).clamp(0, 1)


def resampled(images: torch.Tensor, *entries: torch.Tensor) -> torch.Tensor:
    """Return images of which the pixel at (x, y) comes from (a x + b y + right, c x + d y + down), -1 to 1 being the
    image; entries: a, b, c, d, right, down.
    """
    a, b, c, d, right, down = entries
    maps = torch.stack([torch.stack([a, b, right], 1), torch.stack([c, d, down], 1)], 1)
    grid = functional.affine_grid(maps, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def _mirrored(count: int, mirrors: bool) -> torch.Tensor:
    return 1 - 2 * (torch.rand(count) < 0.5).float() if mirrors else torch.ones(count)
