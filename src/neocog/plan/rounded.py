"""How images of 8-bit integers lie in memory, and where what one step of them is worth lies.

They lie as images of float32 do, pixel by pixel, but in single bytes: four neighbouring channels are one word of 32
bits, which products take at a time. Images that a network starts from lie value by value, without room between pixels,
where all that take them can read words across pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from neocog.nn.graph import IMAGE, Graph
from neocog.nn.layers import Conv2d, Flatten, Linear
from neocog.nn.scales import source_of
from neocog.plan.blocked import TILE_WIDTH
from neocog.plan.layout import Operand, Tensor
from neocog.target.processor import Target

TOGETHER = 4
"""Products that one word takes: of four bytes of an image and four weights of a filter."""


LOW_BIAS = 1 << 12
"""Sums of products in float32 begin with a bias below this one, and so many fewer may be added to stay exact."""

Factors = Literal["float32", "bytes", "signed bytes"]
"""What is multiplied: float32, or words of four bytes of images and four of weights, whose sums have 32 bits."""


@dataclass(frozen=True, slots=True)
class Rounded(Tensor):
    """A batch of images of 8-bit integers.

    Arguments:
        signed: whether integers have a sign.
        spare: elements behind the last image, which are read and count for nothing.
    """

    bytes_each: int = 1
    signed: bool = False
    spare: int = TOGETHER - 1

    @property
    def size(self) -> int:
        """Elements in all."""
        return self.images * self.image_step + self.spare

    @property
    def planes(self) -> int:
        """Rows of tiles that hold the channels of a pixel. What lies behind the last channel meets weights of zero."""
        return -(-self.channels // TILE_WIDTH)

    @property
    def plane_step(self) -> int:
        """Elements from one of them to the next."""
        return TILE_WIDTH

    @property
    def line(self) -> int:
        """Positions from one row to the next."""
        return self.halo.left + self.width + self.halo.right

    @property
    def factors(self) -> Factors:
        """What products of it multiply."""
        return "signed bytes" if self.signed else "bytes"

    @property
    def words(self) -> int:
        """Words that hold the channels of a pixel."""
        return words_of(self.channels)


@dataclass(frozen=True, slots=True)
class Rounding:
    """How a value is rounded.

    Arguments:
        scale: where lies what a step of the integer is worth.
        inverse: where one by that lies.
        signed: whether integers have a sign.
    """

    scale: Operand
    inverse: Operand
    signed: bool


def words_of(channels: int) -> int:
    """Return how many words so many integers fill."""
    return -(-channels // TOGETHER)


def pitch_of(channels: int, target: Target) -> int:
    """Return the bytes of a pixel: whole words, and whole vectors of channels."""
    return target.round_up(TOGETHER * words_of(channels))


def reads_across(graph: Graph) -> bool:
    """Whether all that take the images of a network read them in words across pixels: convolutions without groups and
    without holes in their windows, and fully connected layers.
    """
    takers = [node for node in graph.nodes if any(source_of(graph, value) == IMAGE for value in node.inputs)]
    moving = [node for node in takers if source_of(graph, node.index) == IMAGE]
    if any(not (node.layer.training_only or isinstance(node.layer, Flatten)) for node in moving):
        return False
    return all(_is_dense(node.layer) for node in takers if node not in moving)


def _is_dense(layer: object) -> bool:
    if isinstance(layer, Linear):
        return True
    return isinstance(layer, Conv2d) and layer.groups == 1 and layer.dilation in (1, (1, 1))
