"""The one piece of linear algebra that everything is made of: a tiled, batch-reduced matrix product.

    out[row, column] = sum over k of  a[row, k] * b[k, column]

Rows and reductions are nests of loops with constant strides, so that one description covers a convolution (rows are
pixels, reductions are taps and channels), both of its gradients and a fully connected layer. After Georganas et al.
2019, High-performance deep learning via a single building block (arXiv 1906.06440).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from neocog.plan.layout import Operand, operand
from neocog.plan.loops import Axis, Clip, Split, span
from neocog.plan.ops.epilogue import CLAMPED, Epilogue, faults_beside, labels, read_by, vectors_reached
from neocog.plan.ops.op import Op, Part, Reach, present
from neocog.plan.ops.pointwise import Affine, Round, tensors_of
from neocog.plan.rounded import TOGETHER, Factors

NO_CELL = 255  # in a mask, a window whose largest value a ReLU stopped
LEAST_REUSE = 4  # register tiles that share a block of a panel, so that it is worth keeping near


@dataclass(frozen=True, slots=True)
class Contraction(Op):
    """out = a · b over strided loops, in register tiles, with what follows fused into its end.

    Arguments:
        out, a, b: where the operands begin.
        rows: loops over the rows of `out`, cut into register tiles.
        reduction: loops over k, cut into blocks: each block is summed in registers from zero and added to `out`.
        columns: number of columns that count; the rest of the last vector is padding.
        panels: number of column panels; every one has `vectors` vectors but for the last, which has `last_vectors`.
        panel_steps: how far out, b and what lies beside out move from panel to panel.
        bias: added to every row, one value a column; from panel to panel it moves by the columns of a panel.
        epilogue: what happens to complete sums before they are stored. Tensors that it reads have one value for each of
            `out`, and all the same layout, which the loops over rows know.
        beside: from the first pixel of such a tensor to the one that belongs to the first row, elements.
        ones: also sum b over k, as if a had one more row of ones, into `ones` (the gradient of a bias). It moves with
            the rows of out where these move b, and from panel to panel as the bias does.
        cells: the innermost rows are the cells of a pooling's window: only the largest of so many is stored; 1 without.
            Of epilogues, only a ReLU goes with that.
        mask: bytes beside `out`: which cell was the largest, or NO_CELL where a ReLU stops it.
        accumulates: in a chain, whether what an earlier block of the same slice left in `out` is added to.
        panels_first: whether neighbouring work items share the panel (weights stay near) or the rows (inputs do).
        clips: pairs of row and reduction that need no work, because a holds zeros there.
        factors: what a holds. Where they are bytes, b holds words, the bias integers, and the epilogue begins with what
            a step of the sums is worth.
        padding: products of each sum that only fill words up. Code does not depend on it.
    """

    out: Operand
    a: Operand
    b: Operand
    rows: Split
    reduction: Split
    columns: int
    panels: int
    vectors: int
    last_vectors: int
    panel_steps: Axis
    bias: Operand | None = None
    epilogue: Epilogue = ()
    beside: int = 0
    ones: Operand | None = None
    cells: int = 1
    mask: Operand | None = None
    accumulates: bool = False
    panels_first: bool = False
    clips: tuple[Clip, ...] = ()
    factors: Factors = "float32"
    padding: int = field(default=0, repr=False, compare=False)

    @property
    def items(self) -> int:
        """Number of independent pieces of work."""
        return self.rows.total * self.panels

    @property
    def items_first(self) -> bool:
        """Whether each item takes all blocks of the reduction before the next one begins, and not each block all items.

        So a few rows read the weights in the order in which they lie; many find a block of them in the cache.
        """
        return self.rows.total < LEAST_REUSE

    @property
    def multiply_adds(self) -> int:
        """Number of scalar multiply-adds that are needed; what padding costs is not counted."""
        each = 1 if self.factors == "float32" else TOGETHER
        terms = each * math.prod(axis.extent for axis in self.reduction.axes) - self.padding
        return terms * self.columns * math.prod(axis.extent for axis in self.rows.axes)

    def reads(self) -> tuple[Part, ...]:
        """Return the operands, the bias, and what the epilogue reads."""
        return present(self.a, self.b, self.bias, *read_by(self.epilogue))

    def writes(self) -> tuple[Part, ...]:
        """Return the sums, those of b, and who won."""
        return present(self.out, self.ones, self.mask)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield the first and last element of every operand: they follow from the loops alone."""
        rows, reduction, panels = self.rows.axes, self.reduction.axes, (self.panel_steps,)
        # Every panel but the last is full, and the last is no wider: its end is bounded by its own vectors.
        columns = max(
            self.last_vectors * lanes - 1,
            (self.vectors * lanes - 1) - self.panel_steps.out if self.panels > 1 else 0,
        )
        low, high = span((*rows, *panels), "out")
        yield Reach("out", self.out, low, high + columns)
        if self.ones is not None:
            low, high = span([axis for axis in rows if axis.b], "out")
            yield Reach("ones", self.ones, low, high + self._whole(lanes) - 1)
        low, high = span((*rows, *panels), "beside")
        for tensor in tensors_of(self.epilogue):
            yield Reach("epilogue", operand(tensor, tensor.origin + self.beside), low, high + columns)
        yield from vectors_reached(self.epilogue, self._whole(lanes))
        if self.mask is not None:
            yield Reach("mask", self.mask, low, high + columns)
        if any(axis.extent == 0 for axis in reduction):
            return
        low, high = span((*rows, *reduction), "a")
        word = 0 if self.factors == "float32" else TOGETHER - 1
        yield Reach("a", self.a, low, high + word, aligned=False)
        low, high = span((*rows, *reduction, *panels), "b")
        yield Reach("b", self.b, low, high + self.last_vectors * lanes - 1)
        if self.bias is not None:
            yield Reach("bias", self.bias, 0, self._whole(lanes) - 1)

    def _whole(self, lanes: int) -> int:
        """Count the columns of all panels, in whole vectors."""
        return ((self.panels - 1) * self.vectors + self.last_vectors) * lanes

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield register tiles that would not fit together, and steps off whole vectors."""
        if any(axis.b for axis in (self.rows.cut, *self.rows.inner)):
            yield f"{self.name}: the rows of a register tile would read different rows of b"
        inner = math.prod(axis.extent for axis in self.rows.inner)
        if any(size * inner % self.cells for size in self.rows.sizes()):
            yield f"{self.name}: register tiles would cut windows of {self.cells} cells"
        if self.cells > 1 and not self._keeps_order:
            yield f"{self.name}: the largest of a window is found before the epilogue, which changes which one that is"
        yield from faults_beside(self.name, self.epilogue)
        steps = [step for axis in (*self.rows.axes, self.panel_steps) for step in (axis.out, axis.beside)]
        steps += [axis.b for axis in (*self.rows.axes, *self.reduction.axes, self.panel_steps)]
        if any(step % lanes for step in steps):
            yield f"{self.name}: a step of out, b or what lies beside out is no whole number of vectors"

    @property
    def _keeps_order(self) -> bool:
        """Whether what is the largest before the epilogue is so behind it."""
        if self.factors == "float32":
            return self.epilogue in ((), CLAMPED)
        first, *between = self.epilogue
        if between and isinstance(between[-1], Round):
            between.pop()
        return isinstance(first, Affine) and tuple(between) in ((), CLAMPED)

    def details(self) -> Iterator[str]:
        """Yield the tile, the loops, outermost first, and what is fused."""
        split = self.rows
        inner = math.prod(axis.extent for axis in split.inner)
        tiles = " or ".join(f"{iterations * inner}" for iterations in split.sizes())
        vectors = f"{self.vectors}" if self.panels > 1 else f"{self.last_vectors}"
        yield f"tile: {tiles} rows x {vectors} vectors; rows {_extents(split.axes)}; {self.panels} panels"
        blocks = f", in {self.reduction.total} blocks" if self.reduction.total > 1 else ""
        words = "" if self.factors == "float32" else " words"
        yield f"sum over {_extents(self.reduction.axes)}{words}{blocks}; {self.multiply_adds:,} multiply-adds"
        if self.clips:
            yield f"taps in the halo left out: {', '.join(clip.taps for clip in self.clips)}"
        fused = [
            *(("bias",) if self.bias else ()),
            *labels(self.epilogue),
            *(("max pooling",) if self.cells > 1 else ()),
            *(("gradient of the bias",) if self.ones else ()),
        ]
        if fused:
            yield f"fused: {', '.join(fused)}"


def _extents(axes: Iterable[Axis]) -> str:
    return " x ".join(str(axis.extent) for axis in axes) or "1"
