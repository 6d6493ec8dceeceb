"""A convolution whose output is made and taken a few rows at a time, in a window that rolls over one image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from neocog.plan.layout import Tensor
from neocog.plan.ops.contraction import Contraction
from neocog.plan.ops.op import Op, Part, Reach, walked


@dataclass(frozen=True, slots=True)
class Rolling(Op):
    """The next rows of a convolution's output, zeros above and below the image among them, in a chain of bands.

    What the band before has made already is moved to the top; the first band of a thread makes all rows.

    Arguments:
        contraction: the convolution, as if the window's first row were the image's.
        y: the window of its output, in scratch memory.
        step: rows that the window moves from band to band.
        before: rows of zeros above the image.
        height: rows of the image.
    """

    contraction: Contraction
    y: Tensor
    step: int
    before: int
    height: int

    @property
    def items(self) -> int:
        """The rows of a band at once."""
        return 1

    @property
    def kept(self) -> int:
        """Rows that a band takes over from the one before."""
        return self.y.height - self.step

    @property
    def items_a_row(self) -> int:
        """Items of the convolution that are a row of the window."""
        return self.contraction.items // self.y.height

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of the rows that a band adds."""
        return self.contraction.multiply_adds * self.step // self.y.height

    def reads(self) -> tuple[Part, ...]:
        """Return what the convolution reads."""
        return self.contraction.reads()

    def writes(self) -> tuple[Part, ...]:
        """Return the window."""
        return (self.y,)

    def fills(self) -> tuple[Tensor, ...]:
        """Return the window: the first band clears it."""
        return (self.y,)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield the reach of the convolution: it reads for all rows of the image, and writes to the window."""
        rows = self.contraction.rows
        image = replace(rows, axes=(replace(rows.axes[0], extent=self.height), *rows.axes[1:]))
        yield from (reach for reach in self.contraction.reaches(lanes) if reach.what != "a")
        whole = replace(self.contraction, rows=image)
        yield from (reach for reach in whole.reaches(lanes) if reach.what == "a")
        yield from walked("window", self.y)

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield what is wrong with the convolution, or keeps its rows from being made one by one."""
        yield from self.contraction.faults(lanes)
        if not row_by_row(self.contraction, self.y.height):
            yield f"{self.name}: rows cannot be made one by one"
        if not 0 <= self.kept < self.y.height or self.y.images != 1:
            yield f"{self.name}: the window does not roll"

    def details(self) -> Iterator[str]:
        """Yield the convolution's, and the window."""
        yield from self.contraction.details()
        yield f"window of {self.y.height} rows, {self.step} of them new"


def row_by_row(contraction: Contraction, rows: int) -> bool:
    """Whether a convolution's items are in the order of the rows of its output, and each is a part of one row."""
    split = contraction.rows
    return (
        len(split.outer) > 0
        and split.axes[0].extent == rows
        and contraction.reduction.total == 1
        and contraction.cells == 1
        and not contraction.panels_first
        and not contraction.clips
    )
