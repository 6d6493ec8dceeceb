"""How images of bfloat16 values lie in memory: in planes of 32 channels, as tiles of a matrix are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from neocog.nn.shapes import ImageShape
from neocog.plan.layout import Halo, Space, Tensor

Precision = Literal["float32", "bfloat16", "int8"]
"""What activations and the factors of products are kept in. Sums are float32, those of integers 32 bits."""

PLANE = 32  # channels of a plane: 64 bytes, a row of a tile
TILE_ROWS = 16
TILE_WIDTH = 64  # bytes of a row of a tile
BLOCK_ROWS = 2 * TILE_ROWS  # rows of a block of tiles, two below each other
PANEL = 32  # filters of a panel: two tiles side by side


@dataclass(frozen=True, slots=True)
class Blocked(Tensor):
    """A batch of images of bfloat16 values: [image][channel // 32][row][column][channel % 32].

    The zeros right of a row are also those left of the next one, so that a window moves over a whole plane in steps of
    one length. Channels are filled up with zeros to whole planes. Who writes an image writes its zeros too.

    Arguments:
        spare: elements behind the last image, which are read and count for nothing.
    """

    pitch: int = PLANE
    bytes_each: int = 2
    spare: int = 0

    @property
    def planes(self) -> int:
        """Planes of an image."""
        return -(-self.channels // PLANE)

    @property
    def line(self) -> int:
        """Positions from one row to the next."""
        return self.width + max(self.halo.left, self.halo.right)

    @property
    def row_step(self) -> int:
        """Elements from one row to the next."""
        return self.line * PLANE

    @property
    def lead(self) -> int:
        """Positions of a plane before its first pixel that is not halo."""
        return self.halo.top * self.line + self.halo.left

    @property
    def behind(self) -> int:
        """Positions of a plane from its first pixel that is not halo to its end."""
        return (self.height - 1 + self.halo.bottom) * self.line + self.width + self.halo.right

    @property
    def plane_step(self) -> int:
        """Elements from one plane to the next."""
        return (self.lead + self.behind) * PLANE

    @property
    def image_step(self) -> int:
        """Elements from one image to the next."""
        return self.planes * self.plane_step

    @property
    def size(self) -> int:
        """Elements in all."""
        return self.images * self.image_step + self.spare

    @property
    def origin(self) -> int:
        """Position of the first pixel that is not halo."""
        return self.lead * PLANE

    @property
    def has_halo(self) -> bool:
        """Whether it relies on zeros that nobody writes: it never does."""
        return False

    @property
    def compact(self) -> bool:
        """Whether the values of an image lie side by side, pixel by pixel: they do not."""
        return False


def blocked(
    name: str, images: int, shape: ImageShape, halo: Halo, spare: int = 0, space: Space = Space.ARENA
) -> Blocked:
    """Return how a batch of images lies as bfloat16 values."""
    return Blocked(name, images, shape.height, shape.width, shape.channels, halo=halo, space=space, spare=spare)
