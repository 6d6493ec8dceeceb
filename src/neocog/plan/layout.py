"""How images and weights lie in memory. All lengths and positions are counted in elements, not bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum


class Space(Enum):
    """The blocks of memory that a program runs on."""

    STATE = "state"  # parameters and the optimizer's memory: outlives programs
    ARENA = "arena"  # activations and gradients: belongs to one program
    SCRATCH = "scratch"  # what one work item needs for itself: belongs to one thread


Name = tuple[Space, str]
"""What an allocation is called: unique within its block."""


@dataclass(frozen=True, slots=True)
class Halo:
    """Pixels of zeros around an image, so that windows may look past its edge. Memory is made with them."""

    top: int = 0
    left: int = 0
    bottom: int = 0
    right: int = 0

    def union(self, other: Halo) -> Halo:
        """Return the halo that holds both."""
        return Halo(
            max(self.top, other.top),
            max(self.left, other.left),
            max(self.bottom, other.bottom),
            max(self.right, other.right),
        )


@dataclass(frozen=True, slots=True)
class Operand:
    """Where an operand begins: a named allocation, and elements into it.

    Inside a chain, which runs for a few images at a time, it moves `image` elements for every image before them, and
    `slice` elements for every slice of the batch.
    """

    space: Space
    name: str
    start: int
    image: int = 0
    slice: int = 0
    bytes_each: int = 4  # size of one element

    @property
    def memory(self) -> Name:
        """The allocation that it lies in."""
        return self.space, self.name


@dataclass(frozen=True, slots=True)
class Frame:
    """Where the halo of a batch of images lies: tensors with equal frames in one place leave the same zeros alone."""

    images: int
    height: int
    width: int
    pitch: int
    halo: Halo
    bytes_each: int


@dataclass(frozen=True, slots=True)
class Tensor:
    """A batch of images as it lies in memory: [image][row][column][channel], rows and columns inside a halo.

    Arguments:
        name: unique within a program; the memory plan gives each name its place.
        images, height, width, channels: extents of what is meant.
        pitch: elements from one pixel to the next; channels rounded up to whole vectors, except for program inputs.
        halo: zeros around each image.
        bytes_each: size of one element.
    """

    name: str
    images: int
    height: int
    width: int
    channels: int
    pitch: int
    halo: Halo = Halo()
    bytes_each: int = 4
    space: Space = Space.ARENA

    @property
    def memory(self) -> Name:
        """The allocation that it lies in."""
        return self.space, self.name

    @property
    def row_step(self) -> int:
        """Elements from one row to the next."""
        return (self.halo.left + self.width + self.halo.right) * self.pitch

    @property
    def image_step(self) -> int:
        """Elements from one image to the next."""
        return (self.halo.top + self.height + self.halo.bottom) * self.row_step

    @property
    def size(self) -> int:
        """Elements in all."""
        return self.images * self.image_step

    @property
    def origin(self) -> int:
        """Position of the first pixel that is not halo."""
        return self.halo.top * self.row_step + self.halo.left * self.pitch

    @property
    def has_halo(self) -> bool:
        """Whether there are zeros around its images."""
        return self.halo != Halo()

    @property
    def frame(self) -> Frame:
        """Where its halo lies."""
        return Frame(self.images, self.height, self.width, self.pitch, self.halo, self.bytes_each)

    @property
    def compact(self) -> bool:
        """Whether the values of an image lie side by side."""
        return self.pitch == self.channels and not self.has_halo

    def as_vectors(self) -> Tensor:
        """Read each image of a compact tensor as one pixel of many channels: what Flatten does, at no cost."""
        features = self.height * self.width * self.channels
        return replace(self, height=1, width=1, channels=features, pitch=features)


def operand(tensor: Tensor, start: int) -> Operand:
    """Return a tensor as an operand that begins at an element of it."""
    return Operand(tensor.space, tensor.name, start, image=tensor.image_step, bytes_each=tensor.bytes_each)


@dataclass(frozen=True, slots=True)
class Panels:
    """A matrix cut into panels of `width` columns, so that a register tile reads its weights in one sequence.

    Element (row, column) lies at `(column // width) * panel_step + row * width + column % width`; columns are padded
    with zeros to whole panels. Where panels suit one batch, `usual` is how wide they are where they must suit any.
    """

    name: str
    rows: int
    columns: int
    width: int
    offset: int = 0  # elements, from the beginning of the named memory
    space: Space = Space.ARENA
    bytes_each: int = 4  # size of one element
    usual: int = 0

    @property
    def memory(self) -> Name:
        """The allocation that it lies in."""
        return self.space, self.name

    @property
    def begin(self) -> Operand:
        """Where it begins."""
        return Operand(self.space, self.name, self.offset, bytes_each=self.bytes_each)

    @property
    def count(self) -> int:
        """Number of panels."""
        return -(-self.columns // self.width)

    @property
    def panel_step(self) -> int:
        """Elements from one panel to the next."""
        return self.rows * self.width

    @property
    def size(self) -> int:
        """Elements in all."""
        return self.count * self.panel_step


@dataclass(frozen=True, slots=True)
class Vectors:
    """One value for each channel, such as biases, padded with zeros to whole vectors.

    A panel of `width` columns finds its values `width` elements behind those of the panel before it.
    """

    name: str
    channels: int
    size: int  # channels, rounded up to whole vectors
    offset: int = 0  # elements, from the beginning of the named memory
    space: Space = Space.ARENA

    @property
    def memory(self) -> Name:
        """The allocation that it lies in."""
        return self.space, self.name

    @property
    def begin(self) -> Operand:
        """Where it begins."""
        return Operand(self.space, self.name, self.offset)
