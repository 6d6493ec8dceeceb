"""Local response normalization: each value is divided by what the channels beside its own hold in the same pixel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from neocog.nn.layers import LocalResponseNorm
from neocog.plan.layout import Name, Operand, Tensor
from neocog.plan.ops.op import Op, Part, Reach, off_vectors, other_channels, other_size, walked


@dataclass(frozen=True, slots=True)
class Spaced:
    """A row of pixels in scratch memory with zeros between them, so that windows may look past the channels.

    Arguments:
        place: where it begins, with zeros.
        pixels: how many.
        pitch: elements of each.
        margin: zeros before, between and after them: whole vectors.
    """

    place: Operand
    pixels: int
    pitch: int
    margin: int

    @property
    def step(self) -> int:
        """Elements from one pixel to the next."""
        return self.pitch + self.margin

    @property
    def size(self) -> int:
        """Elements in all."""
        return self.margin + self.pixels * self.step

    def reach(self, what: str) -> Reach:
        """Return how far it reaches."""
        return Reach(what, self.place, 0, self.size - 1)


@dataclass(frozen=True, slots=True)
class LocalResponse(Op):
    """y = x / (k + α / size · Σ x²)^β, the sum being that of a window over the channels.

    Arguments:
        x, y: images.
        layer: the settings.
        squares: of a row.
    """

    x: Tensor
    y: Tensor
    layer: LocalResponseNorm
    squares: Spaced

    @property
    def items(self) -> int:
        """One row of one image each."""
        return self.y.images * self.y.height

    def reads(self) -> tuple[Part, ...]:
        """Return x."""
        return (self.x,)

    def writes(self) -> tuple[Part, ...]:
        """Return y, and the squares."""
        return (self.y, self.squares.place)

    def scratch(self) -> dict[Name, int]:
        """Return the size of a row of squares."""
        return {self.squares.place.memory: self.squares.size}

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all pixels, and the row."""
        yield from walked("x", self.x)
        yield from walked("y", self.y)
        yield self.squares.reach("squares")

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield sizes that differ, pixels off whole vectors, and a row that does not hold what is walked."""
        yield from _faults(self.name, lanes, self.layer, (self.y, self.x), (self.squares,))


@dataclass(frozen=True, slots=True)
class LocalResponseGradient(Op):
    """dx = dy / s^β - 2αβ / size · x · Σ dy · x / s^(β + 1), with s = k + α / size · Σ x².

    The first sum is that of the mirrored window: of all outputs that see the channel. s is computed again, which takes
    less than reading it would.

    Arguments:
        x, dy, dx: what went in, the gradient of what came out, and that of what went in.
        layer: the settings.
        squares, shares: of a row: x², and dy · x / s^(β + 1).
    """

    x: Tensor
    dy: Tensor
    dx: Tensor
    layer: LocalResponseNorm
    squares: Spaced
    shares: Spaced

    @property
    def items(self) -> int:
        """One row of one image each."""
        return self.dx.images * self.dx.height

    def reads(self) -> tuple[Part, ...]:
        """Return what went in, and the gradient of what came out."""
        return (self.x, self.dy)

    def writes(self) -> tuple[Part, ...]:
        """Return the gradient of what went in, and the rows."""
        return (self.dx, self.squares.place, self.shares.place)

    def scratch(self) -> dict[Name, int]:
        """Return the sizes of the rows."""
        return {row.place.memory: row.size for row in (self.squares, self.shares)}

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all pixels, and the rows."""
        for what, tensor in (("x", self.x), ("dy", self.dy), ("dx", self.dx)):
            yield from walked(what, tensor)
        yield self.squares.reach("squares")
        yield self.shares.reach("shares")

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield sizes that differ, pixels off whole vectors, and rows that do not hold what is walked."""
        yield from _faults(self.name, lanes, self.layer, (self.dx, self.x, self.dy), (self.squares, self.shares))


def _faults(
    name: str, lanes: int, layer: LocalResponseNorm, images: tuple[Tensor, ...], rows: tuple[Spaced, ...]
) -> Iterator[str]:
    walked_over, *others = images
    for tensor in others:
        yield from other_size(name, tensor, walked_over.height, walked_over.width)
        yield from other_channels(name, tensor, walked_over.channels)
    yield from off_vectors(name, lanes, *images)
    for row in rows:
        short = row.margin < max(layer.beside(walked_over.channels)) or row.pitch < walked_over.channels
        if short or row.pixels != walked_over.width or row.margin % lanes or row.pitch % lanes:
            yield f"{name}: {row.place.name!r} does not hold a row of {walked_over.name!r} and zeros between"
