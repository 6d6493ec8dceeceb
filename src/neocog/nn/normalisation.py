"""What happens to an image before the first layer."""

from __future__ import annotations

from dataclasses import dataclass

from neocog.errors import SettingError
from neocog.nn.limits import is_number, shown

UNKNOWN_LIMIT = 32.0  # images in units of their standard deviation stay far below, those in 0 to 255 reach beyond
HALF_A_LEVEL = 0.5 / 255  # of 8 bits: what arithmetic may leave below 0 in an image in [0, 1]
BRIGHTEST = 2.0  # white, brightened: images divided by their standard deviation reach beyond


@dataclass(frozen=True, slots=True)
class Normalisation:
    """What happens to an image before the first layer: (value - mean) / std, per channel, on values in [0, 1].

    uint8 images are divided by 255 first. One number stands for all channels.
    """

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if not all(map(is_number, self.mean)):
            raise SettingError(f"mean must be finite, got {shown(self.mean)}")
        if not all(is_number(s) and s > 0 for s in self.std):
            raise SettingError(f"std must be finite and above 0, got {shown(self.std)}")

    @property
    def is_identity(self) -> bool:
        """Whether nothing happens: images that somebody normalised already are welcome."""
        return not any(self.mean) and all(value == 1.0 for value in self.std)

    @property
    def value_limits(self) -> tuple[float, float]:
        """Between which numbers floating-point images must lie to mean something.

        Images that are normalised here must be in [0, 1], with a little room: for rounding below 0, for brightened
        ones above 1, and for the mean itself, wherever it is. Images beyond that are normalised already, and would be
        twice. Where nothing is normalised, only those in 0 to 255 are told apart.
        """
        if self.is_identity:
            return -UNKNOWN_LIMIT, UNKNOWN_LIMIT
        return min(-HALF_A_LEVEL, *self.mean), max(BRIGHTEST, *self.mean)

    def per_channel(self, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and std with one entry for each of `channels`."""
        entries = []
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, channels):
                raise SettingError(f"{name} must hold 1 or {channels} numbers, got {len(values)}")
            entries.append(values * channels if len(values) == 1 else values)
        return entries[0], entries[1]
