"""Channels of a pixel that begin or end amid a vector, and sums over all of them.

A pixel has whole vectors; the lanes past its channels hold zeros. What begins amid a vector is read and written where
it lies, off alignment, but never outside the pixel's vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from llvmlite import ir

from neocog.emit.addresses import Addresses, pixel
from neocog.emit.builder import I16, I32, Builder, Index, IrValue
from neocog.emit.half import load_half, vector_of
from neocog.plan.blocked import Blocked
from neocog.plan.layout import Tensor

Place = tuple[Index, Index, Index]
"""Image, row and column of a pixel."""


@contextmanager
def each_pixel(b: Builder, tensor: Tensor, low: IrValue, high: IrValue) -> Iterator[Place]:
    """Loop over the pixels of rows low ≤ item < high of all images: image, row and column."""
    with b.loop(low, high) as (item, _):
        image, row = b.divmod(item, tensor.height)
        with b.loop(0, tensor.width) as (column, _):
            yield image, row, column


@dataclass(frozen=True, slots=True)
class Pixel:
    """The channels of one pixel of a tensor of float32: where they begin, and how many there are."""

    b: Builder
    address: IrValue
    channels: int

    @classmethod
    def of(cls, b: Builder, addresses: Addresses, tensor: Tensor, place: Place) -> Pixel:
        """Return the pixel of a tensor at an image, a row and a column."""
        return cls(b, b.at(addresses.tensor(tensor), pixel(b, tensor, *place)), tensor.channels)

    @property
    def last(self) -> int:
        """The channel at which its last vector begins."""
        return (self.channels - 1) // self.b.lanes * self.b.lanes

    def load(self, first: Index, count: int) -> IrValue:
        """Return `count` channels, at most a vector of them, from `first` on; the other lanes are 0.

        `first` may be an IR value only where it counts whole vectors from a constant on, and all lanes are wanted.
        """
        b, lanes = self.b, self.b.lanes
        if not isinstance(first, int):
            assert count == lanes
            return b.load(self.address, first, aligned=False)
        start = min(first, self.last)
        vector = b.load(self.address, start, aligned=start % lanes == 0)
        if count == lanes:
            return vector
        shift = first - start
        return chosen(b, vector, b.splat(0.0), [shift + n if n < count else lanes for n in range(lanes)])

    def store(self, value: IrValue, first: Index) -> None:
        """Write a vector from channel `first` on, or as much of it as the pixel has lanes for.

        Where a vector is not full, the channels behind it are overwritten: write them later.
        """
        b, lanes = self.b, self.b.lanes
        if isinstance(first, int) and first > self.last:
            shift = first - self.last
            before = b.load(self.address, self.last)
            value = chosen(b, before, value, [n if n < shift else lanes + n - shift for n in range(lanes)])
            first = self.last
        b.store(value, self.address, first, aligned=isinstance(first, int) and first % lanes == 0)

    def clear_end(self) -> None:
        """Zero the last vector, where its lanes are not all channels."""
        if self.channels % self.b.lanes:
            self.b.store(self.b.splat(0.0), self.address, self.last)


@dataclass(frozen=True, slots=True)
class PlanePixel:
    """The channels of one pixel of a tensor of bfloat16, as float32; they lie in as many places as it has planes."""

    b: Builder
    x: Blocked
    address: IrValue

    def load(self, first: Index, count: int) -> IrValue:
        """Return the channels from `first` on, which counts whole vectors; lanes past all channels are 0."""
        return load_half(self.b, self.address, vector_of(self.b, self.x, 0, first))


def read_pixel(b: Builder, addresses: Addresses, tensor: Tensor, place: Place) -> Pixel | PlanePixel:
    """Return the pixel of a tensor at an image, a row and a column, to be read as float32, whatever it holds."""
    if isinstance(tensor, Blocked):
        return PlanePixel(b, tensor, b.at(addresses.tensor(tensor), pixel(b, tensor, *place), I16))
    return Pixel.of(b, addresses, tensor, place)


def each_vector(b: Builder, channels: int, visit: Callable[[Index, int], None]) -> None:
    """Have `visit(first, count)` write down whole vectors of channels in a loop, and then the rest."""
    whole, rest = divmod(channels, b.lanes)
    if whole > 1:
        with b.loop(0, whole) as (vector, _):
            visit(b.mul(vector, b.lanes), b.lanes)
    elif whole:
        visit(0, b.lanes)
    if rest:
        visit(whole * b.lanes, rest)


def reduce_channels(
    b: Builder, channels: int, start: IrValue, step: Callable[[Index, int, IrValue], IrValue]
) -> IrValue:
    """Return what `step(first, count, so_far)` makes of all vectors of channels, beginning with `start`."""
    return reduce_several(b, channels, [start], lambda first, count, so_far: [step(first, count, so_far[0])])[0]


def reduce_several(
    b: Builder,
    channels: int,
    start: Sequence[IrValue],
    step: Callable[[Index, int, Sequence[IrValue]], Sequence[IrValue]],
) -> Sequence[IrValue]:
    """Return what `step(first, count, so_far)` makes of several values, vector of channels by vector."""
    whole, rest = divmod(channels, b.lanes)
    totals = start
    if whole > 1:
        with b.loop(0, whole, start) as (vector, carried):
            carried[:] = step(b.mul(vector, b.lanes), b.lanes, carried)
        totals = carried
    elif whole:
        totals = step(0, b.lanes, totals)
    return step(whole * b.lanes, rest, totals) if rest else totals


def across_lanes(b: Builder, vector: IrValue, combine: Callable[[IrValue, IrValue], IrValue]) -> IrValue:
    """Return all lanes combined, in every lane."""
    distance = b.lanes // 2
    while distance:
        vector = combine(vector, chosen(b, vector, vector, [n ^ distance for n in range(b.lanes)]))
        distance //= 2
    return vector


def lanes_of_each(b: Builder, vectors: Sequence[IrValue], combine: Callable[[IrValue, IrValue], IrValue]) -> IrValue:
    """Return all lanes of each of some vectors combined, as `across_lanes` does, in the lane of the vector's number."""
    size = 1
    while size < len(vectors):
        size *= 2
    parts = [vectors[min(number % size, len(vectors) - 1)] for number in range(b.lanes)]
    distance = b.lanes // 2
    while distance:  # every run of 2 · distance lanes belongs to one vector: two such runs become one
        half = len(parts) // 2
        below = [lane - lane % (2 * distance) + lane % distance for lane in range(b.lanes)]
        below = [place + (b.lanes if lane % (2 * distance) >= distance else 0) for lane, place in enumerate(below)]
        above = [place + distance for place in below]
        pairs = zip(parts[:half], parts[half:], strict=True)
        parts = [combine(*(chosen(b, *pair, places) for places in (below, above))) for pair in pairs]
        distance //= 2
    return parts[0]


def spread_lanes(b: Builder, vector: IrValue, count: int) -> list[IrValue]:
    """Return the first lanes of a vector, each in all lanes of one."""
    return [chosen(b, vector, vector, [lane] * b.lanes) for lane in range(count)]


def keep_lanes(b: Builder, vector: IrValue, count: int, other: float) -> IrValue:
    """Return the first `count` lanes, and a constant in the others."""
    if count == b.lanes:
        return vector
    return chosen(b, vector, b.splat(other), [n if n < count else b.lanes for n in range(b.lanes)])


def chosen(b: Builder, x: IrValue, y: IrValue, lanes: list[int]) -> IrValue:
    return b.ir.shuffle_vector(x, y, ir.Constant(ir.VectorType(I32, len(lanes)), lanes))
