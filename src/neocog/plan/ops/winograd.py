"""Winograd's algorithm as work to be done, forward and backward."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from neocog.nn.window import Window
from neocog.plan.layout import Name, Operand, Panels, Tensor, Vectors
from neocog.plan.ops.contraction import Contraction
from neocog.plan.ops.epilogue import CLAMPED, Epilogue, labels, read_by, vectors_reached
from neocog.plan.ops.op import Op, Part, Reach, off_vectors, other_size, present, walked
from neocog.plan.ops.pointwise import tensors_of
from neocog.plan.ops.tiles import Slab, Tiling, position_step, vectors
from neocog.plan.winograd import WinogradTile


@dataclass(frozen=True, slots=True)
class WinogradWeights(Op):
    """Transform the filters of a layer: out[position][panel][input][filter] from weights [tap, input][filter]."""

    tile: WinogradTile
    weights: Panels
    inputs: int
    out: Panels  # one position's matrix; the others lie `position_step` apart

    @property
    def items(self) -> int:
        """One input channel each."""
        return self.inputs

    def reads(self) -> tuple[Part, ...]:
        """Return the filters."""
        return (self.weights,)

    def writes(self) -> tuple[Part, ...]:
        """Return their transforms."""
        return (self.out,)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all filters."""
        yield from walked("weights", self.weights)
        begin = Operand(self.out.space, self.out.name, self.out.offset)
        last = (self.tile.positions - 1) * position_step(self.out) + self.out.size - 1
        yield Reach("transformed filters", begin, 0, last)


@dataclass(frozen=True, slots=True)
class Winograd(Op):
    """A 3 × 3 convolution by tiles: patches, products and outputs, block by block, in scratch memory.

    Arguments:
        tiling: the tiles; its y has the shape of what the convolution gives.
        contraction: the products of one block.
        bias: one value a channel.
        epilogue: what happens to outputs, bias included, before they are stored.
        pooling: of windows that lie inside tiles: only the largest of each is kept. Of epilogues, only a ReLU goes with
            that.
        y: what is stored: the outputs, or the pooled ones.
        mask: of each window, in training; see Contraction.
    """

    tiling: Tiling
    contraction: Contraction
    bias: Operand | None
    epilogue: Epilogue
    pooling: Window | None
    y: Tensor
    mask: Tensor | None

    @property
    def items(self) -> int:
        """One panel of a block each: small images have one block alone."""
        return self.tiling.blocks * self.contraction.panels

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of the products of all blocks."""
        return self.contraction.multiply_adds * self.tiling.blocks

    def reads(self) -> tuple[Part, ...]:
        """Return images, transformed filters, and what follows the products."""
        return present(self.tiling.x, self.contraction.b, self.bias, *read_by(self.epilogue))

    def writes(self) -> tuple[Part, ...]:
        """Return outputs, who won, and the tiles of one block."""
        return present(self.y, self.mask, *(slab.place for slab in self._slabs))

    def scratch(self) -> dict[Name, int]:
        """Return the sizes of the tiles of one block, transformed and multiplied."""
        return {slab.place.memory: slab.size for slab in self._slabs}

    @property
    def _slabs(self) -> tuple[Slab, ...]:
        return self.tiling.patches, self.tiling.products

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield how far patches, products and what follows them reach."""
        yield from self.contraction.reaches(lanes)
        yield from (slab.reach() for slab in self._slabs)
        yield self.tiling.patches_of(self.tiling.x, lanes)
        yield from walked("y", self.y)
        yield from walked("mask", self.mask)
        for tensor in tensors_of(self.epilogue):
            yield from walked("epilogue", tensor)
        yield from vectors_reached(self.epilogue, vectors(self.y, lanes))
        if self.bias is not None:
            yield Reach("bias", self.bias, 0, vectors(self.y, lanes) - 1)

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield what is wrong with the products or the tiles, and pixels off whole vectors."""
        yield from self.contraction.faults(lanes)
        yield from self.tiling.faults(self.tiling.x)
        beside = tuple(tensors_of(self.epilogue))
        yield from off_vectors(self.name, lanes, self.tiling.x, self.tiling.y, self.y, self.mask, *beside)
        for tensor in beside:
            yield from other_size(self.name, tensor, self.y.height, self.y.width)
        if self.pooling is not None and self.epilogue not in ((), CLAMPED):
            yield f"{self.name}: the largest of a window is found before the epilogue, which changes which one that is"

    def details(self) -> Iterator[str]:
        """Yield the tiles, the products of a block, and what is fused."""
        yield str(self.tiling)
        yield from self.contraction.details()
        fused = [
            *(("bias",) if self.bias else ()),
            *labels(self.epilogue),
            *(("max pooling",) if self.pooling else ()),
        ]
        if fused:
            yield f"fused: {', '.join(fused)}"


@dataclass(frozen=True, slots=True)
class WinogradBackward(Op):
    """Both gradients of a 3 × 3 convolution by tiles, from one transform of dy, for a few images of a chain.

    The algorithm is the forward one transposed. With D = A dy Aᵀ and V = Bᵀ x B of each tile, the gradient of the
    transformed filters is the sum of V D over tiles, added to that of the slice's images before; and that of the input
    is B (D Uᵀ) Bᵀ with the transformed filters U, added up where patches overlap.

    Arguments:
        tiling: the tiles; the halo of dy reaches to the end of whole ones.
        filters: the sum over the tiles of one block; None to leave this gradient out.
        sums: where the sums of dy go, for the bias.
        patches: the products with the transposed filters, one panel of input channels after another; None to leave the
            gradient of the input out.
        returned: for these.
        dx: where that goes. Its halo reaches to the end of whole patches, and is left with what falls there.
        pooling: windows that lie side by side inside tiles, of a pooling behind the convolution; None: dy is in memory.
        pooled, mask: with a pooling, the gradient of what it gave, and where that belongs, in place of dy.
    """

    tiling: Tiling
    filters: Contraction | None
    sums: Operand | None
    patches: Contraction | None
    returned: Slab
    dx: Tensor | None
    pooling: Window | None = None
    pooled: Tensor | None = None
    mask: Tensor | None = None

    @property
    def contractions(self) -> tuple[Contraction, ...]:
        """The products and sums of one block."""
        return tuple(contraction for contraction in (self.filters, self.patches) if contraction is not None)

    @property
    def items(self) -> int:
        """Everything at once: neighbouring tiles add to the same pixels."""
        return 1

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of the products and sums of all blocks."""
        return sum(contraction.multiply_adds for contraction in self.contractions) * self.tiling.blocks

    def reads(self) -> tuple[Part, ...]:
        """Return images, gradients, transformed filters."""
        dy = (self.tiling.y,) if self.pooling is None else (self.pooled, self.mask)
        return present(self.tiling.x if self.filters else None, *dy, self.patches.b if self.patches else None)

    def writes(self) -> tuple[Part, ...]:
        """Return both gradients, and the tiles of one block."""
        return present(
            self.filters.out if self.filters else None, self.sums, self.dx, *(slab.place for slab in self._slabs)
        )

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield how far tiles, products and sums reach."""
        for contraction in self.contractions:
            yield from contraction.reaches(lanes)
        yield from (slab.reach() for slab in self._slabs)
        if self.pooling is None:
            yield self.tiling.whole_tiles(lanes)
        yield from walked("pooled", self.pooled)
        yield from walked("mask", self.mask)
        if self.filters is not None:
            yield self.tiling.patches_of(self.tiling.x, lanes)
        if self.sums is not None:
            yield Reach("sums", self.sums, 0, vectors(self.tiling.y, lanes) - 1)
        if self.dx is not None:
            yield self.tiling.patches_of(self.dx, lanes)

    def scratch(self) -> dict[Name, int]:
        """Return the sizes of the tiles of one block: what is transformed, and the products that go back."""
        return {slab.place.memory: slab.size for slab in self._slabs}

    @property
    def _slabs(self) -> tuple[Slab, ...]:
        patches = (self.tiling.patches,) if self.filters else ()
        returned = (self.returned,) if self.patches else ()
        return (*patches, self.tiling.products, *returned)

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield what is wrong with the products or the tiles, and pixels off whole vectors."""
        for contraction in self.contractions:
            yield from contraction.faults(lanes)
        yield from self.tiling.faults(*(x for x in (self.tiling.x, self.dx) if x is not None))
        yield from off_vectors(self.name, lanes, self.tiling.x, self.tiling.y, self.dx, self.pooled, self.mask)
        if self.pooling is not None:
            yield from self._faults_of_windows(self.pooling)

    def _faults_of_windows(self, pooling: Window) -> Iterator[str]:
        """Yield windows that do not fill tiles, or tiles that windows do not fill."""
        high, wide = pooling.vertical.kernel, pooling.horizontal.kernel
        y, outputs = self.tiling.y, self.tiling.tile.outputs
        if outputs % high or outputs % wide or y.height % outputs or y.width % outputs:
            yield f"{self.name}: tiles of {y.height} x {y.width} pixels that windows of {high} x {wide} do not fill"
        for tensor in (self.pooled, self.mask):
            if tensor is None:
                yield f"{self.name}: a pooling without its gradient"
            else:
                yield from other_size(self.name, tensor, y.height // high, y.width // wide)

    def details(self) -> Iterator[str]:
        """Yield the tiles, the products and sums of a block, and what is fused."""
        yield str(self.tiling)
        for contraction in self.contractions:
            yield from contraction.details()
        if self.pooling is not None:
            yield "fused: gradient of the max pooling"

    def fills(self) -> tuple[Tensor, ...]:
        """Return the gradient of the input: it is cleared before patches are added to it."""
        return (self.dx,) if self.dx is not None else ()


@dataclass(frozen=True, slots=True)
class WinogradReducePartials(Op):
    """The gradient of filters from partial gradients of transformed ones: Gᵀ (sum over slices) G, and the bias's.

    Arguments:
        copies: partial gradients of so many `slices`, `slice_step` elements apart.
        transformed: one position's matrix of a slice.
        sums: partial gradients of the bias, as far apart.
        gradient, bias: where the sums of all go.
    """

    tile: WinogradTile
    copies: Operand
    slices: int
    slice_step: int
    transformed: Panels
    sums: Operand | None
    gradient: Panels
    bias: Vectors | None
    inputs: int

    @property
    def items(self) -> int:
        """One input channel each."""
        return self.inputs

    def reads(self) -> tuple[Part, ...]:
        """Return the partial gradients."""
        return (self.copies,)

    def writes(self) -> tuple[Part, ...]:
        """Return the gradients."""
        return present(self.gradient, self.bias)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all of both."""
        step, positions = position_step(self.transformed), self.tile.positions
        last = (self.slices - 1) * self.slice_step + (positions - 1) * step + self.transformed.size - 1
        yield Reach("copies", self.copies, 0, last)
        if self.sums is not None and self.bias is not None:
            yield Reach("sums", self.sums, 0, (self.slices - 1) * self.slice_step + self.bias.size - 1)
        yield from walked("gradient", self.gradient)
        yield from walked("bias", self.bias)
