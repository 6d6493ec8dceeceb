"""A window that slides over an image: the geometry that convolution and pooling share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from neocog.errors import SettingError
from neocog.nn.limits import MAX_SIDE, shown

Pair = int | tuple[int, int]
Sides = tuple[tuple[int, int], tuple[int, int]]
"""(top, bottom) and (left, right)."""
Padding = Pair | Sides | Literal["same"]


def pair(value: Pair) -> tuple[int, int]:
    """Return (vertical, horizontal) from one number for both or from a pair."""
    return (value, value) if isinstance(value, int) else value


def check_pair(layer: str, name: str, value: object, least: int) -> None:
    """Raise SettingError unless `value` is an integer, or a pair of integers, from `least` to MAX_SIDE."""
    entries = value if isinstance(value, tuple) and len(value) == 2 else (value,)
    if not all(isinstance(entry, int) and not isinstance(entry, bool) and entry >= least for entry in entries):
        raise SettingError(
            f"{layer}: {name} must be an integer of at least {least}, or a pair of them, got {shown(value)}",
            hint=f"write {name}=(vertical, horizontal) for a rectangle",
        )
    if max(entries) > MAX_SIDE:
        raise SettingError(f"{layer}: {name} must be at most {MAX_SIDE:,} pixels, got {shown(value)}")


def check_padding(layer: str, value: object, *, same: bool = True) -> None:
    """Raise SettingError unless `value` is a Padding; "same" only where that means something."""
    if same and isinstance(value, str) and value == "same":
        return
    if isinstance(value, tuple) and len(value) == 2 and any(isinstance(side, tuple) for side in value):
        if all(isinstance(side, tuple) and len(side) == 2 for side in value):
            for side in value:
                check_pair(layer, "padding", side, 0)
            return
        raise SettingError(
            f"{layer}: padding that differs from side to side must be two pairs, got {shown(value)}",
            hint="write padding=((top, bottom), (left, right))",
        )
    check_pair(layer, "padding", value, 0)


def sides_of(padding: Pair | Sides) -> Sides:
    """Return the pixels of padding on each side.

    >>> sides_of(1), sides_of((1, 2)), sides_of(((0, 1), (2, 3)))
    (((1, 1), (1, 1)), ((1, 1), (2, 2)), ((0, 1), (2, 3)))
    """
    vertical, horizontal = (padding, padding) if isinstance(padding, int) else padding
    return _around(vertical), _around(horizontal)


def _around(side: Pair) -> tuple[int, int]:
    return (side, side) if isinstance(side, int) else side


@dataclass(frozen=True, slots=True)
class WindowAxis:
    """The window's walk along one axis of the image. All lengths are in pixels.

    Output o looks at the inputs `o * stride - before + tap * dilation` for every tap below `kernel`; what falls
    outside the image is padding.
    """

    input: int
    kernel: int
    stride: int
    dilation: int
    before: int
    after: int

    @property
    def reach(self) -> int:
        """Pixels from the first to the last tap, both included."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def padded(self) -> int:
        """Pixels with padding."""
        return self.before + self.input + self.after

    @property
    def output(self) -> int:
        """Number of window positions; zero or less when the window does not fit."""
        return (self.input + self.before + self.after - self.reach) // self.stride + 1

    @property
    def overlaps(self) -> bool:
        """Whether a pixel may lie in several windows."""
        return self.stride < self.kernel

    @property
    def covers(self) -> bool:
        """Whether windows that lie side by side leave no pixel out."""
        return self.stride == self.kernel and self.output * self.stride - self.before >= self.input

    def inside(self, output: int) -> int:
        """Count the taps of one window that meet the image rather than its padding."""
        start = output * self.stride - self.before
        return sum(0 <= start + tap * self.dilation < self.input for tap in range(self.kernel))

    def taps_inside(self) -> int:
        """Count, over all window positions, the taps that meet the image rather than its padding."""
        inside = 0
        for tap in range(self.kernel):  # the positions where this one meets the image follow each other
            offset = self.before - tap * self.dilation
            first, last = (
                max(0, -(-offset // self.stride)),
                min(self.output - 1, (self.input - 1 + offset) // self.stride),
            )
            inside += max(0, last - first + 1)
        return inside


@dataclass(frozen=True, slots=True)
class Window:
    """The window's walk over an image, resolved to pixels."""

    vertical: WindowAxis
    horizontal: WindowAxis

    @property
    def cells(self) -> int:
        """Number of taps of one window."""
        return self.vertical.kernel * self.horizontal.kernel


@dataclass(frozen=True, slots=True)
class EvenAxis:
    """An axis cut into windows as even as can be, which overlap where the outputs do not divide the pixels.

    Output o looks at the pixels from o · input / output, rounded down, to (o + 1) · input / output, rounded up.
    """

    input: int
    output: int

    def ends(self, output: int) -> tuple[int, int]:
        """Return the first pixel of a window, and the first one behind it."""
        return output * self.input // self.output, -(-(output + 1) * self.input // self.output)

    @property
    def kernel(self) -> int:
        """Pixels of the largest window."""
        return max(self.inside(output) for output in range(self.output))

    @property
    def overlaps(self) -> bool:
        """Whether a pixel may lie in several windows."""
        return self.input % self.output != 0

    @property
    def covers(self) -> bool:
        """Whether windows leave no pixel out: they never do."""
        return True

    def inside(self, output: int) -> int:
        """Count the pixels of one window."""
        first, behind = self.ends(output)
        return behind - first


@dataclass(frozen=True, slots=True)
class EvenWindow:
    """An image cut into windows as even as can be, of several sizes where that does not go without."""

    vertical: EvenAxis
    horizontal: EvenAxis

    @property
    def cells(self) -> int:
        """Number of cells of the largest window."""
        return self.vertical.kernel * self.horizontal.kernel


def counts(window: Window | EvenWindow) -> tuple[list[int], list[int]]:
    """Return how many rows of the image each row of windows looks at, and likewise for columns."""
    down, across = (
        [axis.inside(output) for output in range(axis.output)] for axis in (window.vertical, window.horizontal)
    )
    return down, across


def resolve_window(
    height: int,
    width: int,
    *,
    kernel: Pair,
    stride: Pair,
    padding: Padding,
    dilation: Pair = 1,
    ceil_mode: bool = False,
) -> Window:
    """Resolve a layer's settings against an image size.

    `padding="same"` keeps ceil(input / stride) outputs and puts the odd pixel after, as PyTorch and TensorFlow do.
    With `ceil_mode` a last window may reach beyond the padding, if it begins in the image or in the padding before it:
    what it needs is padding too.
    """
    axes = []
    for axis, size in enumerate((height, width)):
        k, s, d = pair(kernel)[axis], pair(stride)[axis], pair(dilation)[axis]
        if padding == "same":
            outputs = -(-size // s)
            total = max(0, (outputs - 1) * s + (k - 1) * d + 1 - size)
            before, after = total // 2, total - total // 2
        else:
            before, after = sides_of(padding)[axis]
            if ceil_mode:
                reach = (k - 1) * d + 1
                outputs = -((reach - before - size - after) // s) + 1
                outputs -= (outputs - 1) * s >= before + size
                after = max(0, (outputs - 1) * s + reach - before - size)
        axes.append(WindowAxis(size, k, s, d, before, after))
    return Window(*axes)
