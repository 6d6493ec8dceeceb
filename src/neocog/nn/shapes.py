"""The two shapes that flow between layers: images and vectors."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImageShape:
    """Feature maps: `height` × `width` pixels of `channels` values each."""

    height: int
    width: int
    channels: int

    @property
    def size(self) -> int:
        """Number of values of one image."""
        return self.height * self.width * self.channels

    def __str__(self) -> str:
        plural = "channel" if self.channels == 1 else "channels"
        return f"{self.channels} {plural} of {self.height} x {self.width} pixels"


@dataclass(frozen=True, slots=True)
class VectorShape:
    """A row of `features` values.

    `image` remembers the feature maps that a Flatten laid out as this row, in (row, column, channel) order. PyTorch
    lays them out as (channel, row, column); exchanging weights with it needs to know.
    """

    features: int
    image: ImageShape | None = None

    @property
    def size(self) -> int:
        """Number of values of one vector."""
        return self.features

    def __str__(self) -> str:
        return f"a vector of {self.features} values"


Shape = ImageShape | VectorShape
