"""Depthwise convolution: each channel by itself, on whole vectors of channels, and the gradient of its filters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from neocog.nn.window import Window, WindowAxis
from neocog.plan.blocked import Blocked
from neocog.plan.layout import Operand, Panels, Tensor, operand
from neocog.plan.ops.epilogue import Epilogue, labels, read_by, vectors_reached
from neocog.plan.ops.op import Op, Part, Reach, off_vectors, other_channels, other_size, present, walked
from neocog.plan.ops.pointwise import tensors_of


@dataclass(frozen=True, slots=True)
class Sweep:
    """Pixels of one axis that are written, and what each of them is a sum of. Lengths are in pixels.

    Pixel `first + i * step` of the output meets pixel `origin + i * stride + j * reach` of the input through tap
    `first_tap + j * tap_step`, for every i below `pixels` and j below `taps`.
    """

    first: int
    step: int
    pixels: int
    origin: int
    stride: int
    first_tap: int
    tap_step: int
    taps: int
    reach: int

    def reached(self) -> tuple[int, int]:
        """Return the first and last pixel of the input that is met."""
        across, along = (self.taps - 1) * self.reach, (self.pixels - 1) * self.stride
        return self.origin + min(0, across), self.origin + along + max(0, across)

    def met(self, pixels: int) -> list[tuple[int, list[tuple[int, int]]]]:
        """List what so many neighbouring outputs meet, each input pixel once: its place behind that of the first
        output's first tap, and the pairs of output and tap that meet there.
        """
        found: dict[int, list[tuple[int, int]]] = {}
        for i in range(pixels):
            for j in range(self.taps):
                found.setdefault(i * self.stride + j * self.reach, []).append((i, j))
        return sorted(found.items())


@dataclass(frozen=True, slots=True)
class Depthwise(Op):
    """y = x correlated with one filter for each channel + bias, then the epilogue; or that backward, from dy to dx.

    Arguments:
        x, y: read and written, with the same channels.
        rows, columns: how: every sweep over rows with every one over columns. Together they write all of y.
        width: taps of a row of a filter.
        weights: in panels as wide as a vector; rows are taps.
        bias: one value a channel.
        epilogue: what happens to complete sums before they are stored.
        band: an item is so many iterations of the sweeps over rows, of one image.
        together: outputs of a row that a register tile holds at most.
    """

    takes_blocked: ClassVar[bool] = True

    x: Tensor
    y: Tensor
    rows: tuple[Sweep, ...]
    columns: tuple[Sweep, ...]
    width: int
    weights: Panels
    bias: Operand | None
    epilogue: Epilogue
    band: int
    together: int

    @property
    def bands(self) -> int:
        """Bands of an image."""
        return -(-max(sweep.pixels for sweep in self.rows) // self.band)

    @property
    def items(self) -> int:
        """A band of one image each."""
        return self.y.images * self.bands

    @property
    def multiply_adds(self) -> int:
        """Number of scalar multiply-adds that are needed."""
        taps = _taps(self.rows) * _taps(self.columns)
        return self.y.images * taps * self.y.channels

    def reads(self) -> tuple[Part, ...]:
        """Return the images, the filters, the bias, and what the epilogue reads."""
        return present(self.x, self.weights, self.bias, *read_by(self.epilogue))

    def writes(self) -> tuple[Part, ...]:
        """Return the images that come out."""
        return (self.y,)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all pixels that taps meet, and the others' whole."""
        rows, columns = _reached(self.rows), _reached(self.columns)
        if rows and columns:
            start = self.x.origin + rows[0] * self.x.row_step + columns[0] * self.x.pitch
            last = _last_plane(self.x) + (rows[1] - rows[0]) * self.x.row_step
            yield Reach("x", operand(self.x, start), 0, last + (columns[1] - columns[0] + 1) * self.x.pitch - 1)
        yield from walked("y", self.y)
        yield from walked("weights", self.weights)
        size = -(-self.y.channels // lanes) * lanes
        if self.bias is not None:
            yield Reach("bias", self.bias, 0, size - 1)
        for tensor in tensors_of(self.epilogue):
            yield from walked("epilogue", tensor)
        yield from vectors_reached(self.epilogue, size)

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield channels and sizes that differ, taps past the halo, and what lies off whole vectors."""
        yield from off_vectors(self.name, lanes, self.x, self.y, *tensors_of(self.epilogue))
        yield from other_channels(self.name, self.x, self.y.channels)
        for tensor in tensors_of(self.epilogue):
            yield from other_size(self.name, tensor, self.y.height, self.y.width)
        if self.weights.width != lanes:
            yield f"{self.name}: panels of {self.weights.width} columns are no vectors"
        yield from _past_halo(self.name, self.x, self.rows, self.columns)
        for sweeps, extent in ((self.rows, self.y.height), (self.columns, self.y.width)):
            written = sorted(sweep.first + i * sweep.step for sweep in sweeps for i in range(sweep.pixels))
            if written != list(range(extent)):
                yield f"{self.name}: not every pixel of {self.y.name!r} is written, once"

    def details(self) -> Iterator[str]:
        """Yield the tile, and what is fused."""
        yield f"tile: {self.together} pixels x 1 vector; {self.bands} bands; {self.multiply_adds:,} multiply-adds"
        fused = [*(("bias",) if self.bias else ()), *labels(self.epilogue)]
        if fused:
            yield f"fused: {', '.join(fused)}"


@dataclass(frozen=True, slots=True)
class DepthwiseGradient(Op):
    """The gradient of a depthwise convolution's filters and biases: for each tap, x · dy added up over the pixels.

    Sums run from zero over a band of one image, which also keeps rounding errors small, and are added to what is there.

    Arguments:
        x, dy: input of the convolution, and the gradient of its output.
        window: of the convolution.
        out: where the filters' gradient begins: as panels of one vector, whose rows are taps.
        bias: where that of the biases begins, if it is wanted.
        vectors: of channels.
        slices: of the batch, each with sums of its own, `step` elements behind those before.
        accumulates: in a chain, whether what an earlier block of the same slice left is added to.
        band: rows of dy whose sums are taken together.
        together: pixels of a row of dy that are held in registers at most.
        sums: how many sums are held in registers at most.
    """

    takes_blocked: ClassVar[bool] = True

    x: Tensor
    dy: Tensor
    window: Window
    out: Operand
    bias: Operand | None
    vectors: int
    slices: int
    step: int
    accumulates: bool
    band: int
    together: int
    sums: int

    @property
    def bands(self) -> int:
        """Bands of an image."""
        return -(-self.dy.height // self.band)

    @property
    def items(self) -> int:
        """A vector of channels of a slice each."""
        return self.slices * self.vectors

    @property
    def multiply_adds(self) -> int:
        """Number of scalar multiply-adds that are needed."""
        return self.dy.images * self.dy.height * self.dy.width * self.dy.channels * self.window.cells

    def reads(self) -> tuple[Part, ...]:
        """Return both operands."""
        return (self.x, self.dy)

    def writes(self) -> tuple[Part, ...]:
        """Return the sums."""
        return present(self.out, self.bias)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all pixels, and the sums of all slices."""
        (top, bottom), (left, right) = (_reached([forward_sweep(axis)]) or (0, 0) for axis in self._axes)
        start = self.x.origin + top * self.x.row_step + left * self.x.pitch
        last = _last_plane(self.x) + (bottom - top) * self.x.row_step
        yield Reach("x", operand(self.x, start), 0, last + (right - left + 1) * self.x.pitch - 1)
        yield from walked("dy", self.dy)
        before, size = (self.slices - 1) * self.step, self.vectors * lanes
        yield Reach("out", self.out, 0, before + self.window.cells * size - 1)
        if self.bias is not None:
            yield Reach("bias", self.bias, 0, before + size - 1)

    @property
    def _axes(self) -> tuple[WindowAxis, WindowAxis]:
        return self.window.vertical, self.window.horizontal

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield channels and sizes that differ, taps past the halo, and what lies off whole vectors."""
        yield from off_vectors(self.name, lanes, self.x, self.dy)
        yield from other_channels(self.name, self.x, self.dy.channels)
        yield from other_size(self.name, self.dy, *(axis.output for axis in self._axes))
        if self.vectors * lanes != -(-self.dy.channels // lanes) * lanes or self.step % lanes:
            yield f"{self.name}: {self.vectors} vectors are not those of {self.dy.channels} channels"
        if self.dy.images % self.slices:
            yield f"{self.name}: {self.slices} slices do not divide {self.dy.images} images"
        yield from _past_halo(self.name, self.x, *([forward_sweep(axis)] for axis in self._axes))

    def details(self) -> Iterator[str]:
        """Yield the tile, and what is fused."""
        taps = min(self.sums, self.window.cells)
        yield f"tile: {self.together} pixels x {taps} taps; {self.multiply_adds:,} multiply-adds"
        if self.bias is not None:
            yield "fused: gradient of the bias"


def _last_plane(x: Tensor) -> int:
    """Return how far it is from the first image to the last one, or to the last one's last plane."""
    within = (x.planes - 1) * x.plane_step if isinstance(x, Blocked) else 0
    return (x.images - 1) * x.image_step + within


def forward_sweep(axis: WindowAxis) -> Sweep:
    """Return how the outputs of a window are walked."""
    return Sweep(0, 1, axis.output, -axis.before, axis.stride, 0, 1, axis.kernel, axis.dilation)


def _past_halo(name: str, x: Tensor, rows: Sequence[Sweep], columns: Sequence[Sweep]) -> Iterator[str]:
    """Yield a fault where taps meet what is neither a tensor's image nor its halo."""
    halo = x.halo
    for sweeps, before, end in ((rows, halo.top, x.height + halo.bottom), (columns, halo.left, x.width + halo.right)):
        reached = _reached(sweeps)
        if reached and (reached[0] < -before or reached[1] >= end):
            yield f"{name}: taps reach past the halo of {x.name!r}"


def _taps(sweeps: Sequence[Sweep]) -> int:
    return sum(sweep.pixels * sweep.taps for sweep in sweeps)


def _reached(sweeps: Sequence[Sweep]) -> tuple[int, int] | None:
    """Return the first and last pixel that any of the sweeps meets."""
    ends = [sweep.reached() for sweep in sweeps if sweep.taps]
    return (min(low for low, _ in ends), max(high for _, high in ends)) if ends else None
