"""A window that slides over an image: the geometry that convolution and pooling share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from neocog.errors import SettingError
from neocog.nn.limits import MAX_SIDE, shown

Pair = int | tuple[int, int]
Padding = Pair | Literal["same"]


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


def resolve_window(
    height: int, width: int, *, kernel: Pair, stride: Pair, padding: Padding, dilation: Pair = 1
) -> Window:
    """Resolve a layer's settings against an image size.

    `padding="same"` keeps ceil(input / stride) outputs and puts the odd pixel after, as PyTorch and TensorFlow do.
    """
    axes = []
    for axis, size in enumerate((height, width)):
        k, s, d = pair(kernel)[axis], pair(stride)[axis], pair(dilation)[axis]
        if padding == "same":
            outputs = -(-size // s)
            total = max(0, (outputs - 1) * s + (k - 1) * d + 1 - size)
            before, after = total // 2, total - total // 2
        else:
            before = after = pair(padding)[axis]
        axes.append(WindowAxis(size, k, s, d, before, after))
    return Window(*axes)
