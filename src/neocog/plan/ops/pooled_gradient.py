"""The gradient of a convolution's weights through the max pooling behind it, as work to be done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from neocog.nn.window import Window
from neocog.plan.layout import Operand, Panels, Tensor, operand
from neocog.plan.ops.op import Op, Part, Reach, off_vectors, other_size, present, walked

SIDE = 2  # of the pooling's windows
PICKED = 16  # values in each of the two registers that one instruction picks from


@dataclass(frozen=True, slots=True)
class PooledGradient(Op):
    """dW of a few images of a chain, from the gradient of what a pooling of 2 × 2 gave and the argmax of each window.

    Of a window's four cells one has a gradient, and which one differs from channel to channel. So a tap needs one
    multiply-add a window instead of four: each lane picks the value of x that its own cell met, from two rows of x.
    The gradient of the convolution's whole output is never stored.

    Arguments:
        x: input of the convolution.
        dy, mask: gradient of the pooled output; place of the largest cell of each window, or NO_CELL.
        window: the convolution's.
        gradient: how the gradient of the weights is laid out.
        out, sums: where a slice adds up its partial gradient, and that of the biases.
        band: rows of windows that are summed from zero before they are added to memory.
    """

    x: Tensor
    dy: Tensor
    mask: Tensor
    window: Window
    gradient: Panels
    out: Operand
    sums: Operand | None
    band: int

    @property
    def items(self) -> int:
        """Everything at once: all images add to the same sums."""
        return 1

    @property
    def span(self) -> int:
        """Values of one row of x that a row of taps meets in the two columns of a window's cells."""
        return span_of(self.window, self.x, self.window.horizontal.kernel)

    @property
    def multiply_adds(self) -> int:
        """One for each window, tap, channel and filter."""
        windows = self.dy.images * self.dy.height * self.dy.width
        return windows * self.gradient.rows * self.gradient.columns

    def reads(self) -> tuple[Part, ...]:
        """Return the images, the pooled gradient, and where it belongs."""
        return self.x, self.dy, self.mask

    def writes(self) -> tuple[Part, ...]:
        """Return the partial gradients."""
        return present(self.out, self.sums)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield what taps meet of x, and all of the others."""
        x, v, h = self.x, self.window.vertical, self.window.horizontal
        start = x.origin - v.before * x.row_step - h.before * x.pitch
        down = (self.dy.height - 1) * SIDE * v.stride + v.stride + (v.kernel - 1) * v.dilation
        across = (self.dy.width - 1) * SIDE * h.stride * x.pitch + self.span - 1
        last = (x.images - 1) * x.image_step + down * x.row_step + across
        yield Reach("x", operand(x, start), 0, last, aligned=False)
        yield from walked("dy", self.dy)
        yield from walked("mask", self.mask)
        yield Reach("out", self.out, 0, self.gradient.size - 1)
        if self.sums is not None:
            yield Reach("sums", self.sums, 0, self.gradient.count * self.gradient.width - 1)

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield rows too wide for a register, gradients that do not fit, and pixels off whole vectors."""
        if span_of(self.window, self.x, 1) > PICKED:
            yield f"{self.name}: a tap meets more values of a row than the {PICKED} that a register holds"
        yield from other_size(self.name, self.mask, self.dy.height, self.dy.width)
        v, h = self.window.vertical, self.window.horizontal
        if SIDE * self.dy.height > v.output or SIDE * self.dy.width > h.output:
            yield f"{self.name}: {self.dy.name!r} has more windows than the convolution's output"
        if self.dy.height % self.band:
            yield f"{self.name}: {self.dy.height} rows of windows in bands of {self.band}"
        yield from off_vectors(self.name, lanes, self.dy, self.mask)

    def details(self) -> Iterator[str]:
        """Yield what is summed."""
        yield f"one cell of each window, {self.band} rows of windows at a time; {self.multiply_adds:,} multiply-adds"
        if self.sums is not None:
            yield "fused: gradient of the bias"


def span_of(window: Window, x: Tensor, taps: int) -> int:
    """Return the values of one row of x that so many taps of a row meet in the two columns of a window's cells."""
    h = window.horizontal
    return (h.stride + (taps - 1) * h.dilation) * x.pitch + x.channels
