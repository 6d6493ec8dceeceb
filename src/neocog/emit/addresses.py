"""Operands of a kernel turned into addresses: its arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from llvmlite import ir

from neocog.emit.builder import I8, I64, Builder, Index, IrValue
from neocog.emit.kernels import Address
from neocog.plan.layout import Operand, Panels, Space, Tensor, Vectors
from neocog.plan.memory import Allocation


@dataclass(frozen=True, slots=True)
class ImageBlock:
    """Which images of a chain are worked on: the first one, and the number of this block in its slice."""

    first: IrValue
    number: IrValue


Given = Callable[[Builder, IrValue, int], IrValue] | None
"""Says the argument of a slot, of the address that stands for the control block."""


class Addresses:
    """Where the operands of a kernel lie in memory, and the program's arguments.

    Arguments:
        pointers: where each numbered allocation begins; in a chain, for the images that are worked on.
        control: the program's arguments.
        block: in a chain, which images these are.
        given: says arguments that are not read from memory; None: all are.
    """

    def __init__(
        self,
        b: Builder,
        pointers: Sequence[IrValue],
        control: IrValue,
        block: ImageBlock | None = None,
        given: Given = None,
    ) -> None:
        self._b, self._pointers, self._control = b, pointers, control
        self.block = block
        self._given = given

    @property
    def first_image(self) -> Index:
        """The number, within the batch, of the first image that the stage sees."""
        return self.block.first if self.block else 0

    def operand(self, operand: Operand) -> IrValue:
        """Return the address where an operand begins."""
        return self._pointers[int(operand.name)]

    def tensor(self, tensor: Tensor) -> IrValue:
        """Return the address of a tensor's first pixel that is not halo."""
        return self._b.at(self.whole(tensor), tensor.origin * tensor.bytes_each, I8)

    def whole(self, tensor: Tensor) -> IrValue:
        """Return the address of a tensor's first element, halo included."""
        return self._pointers[int(tensor.name)]

    def panels(self, panels: Panels) -> IrValue:
        """Return the address of the first panel."""
        return self._pointers[int(panels.name)]

    def vectors(self, vectors: Vectors) -> IrValue:
        """Return the address of the first vector."""
        return self._pointers[int(vectors.name)]

    def argument(self, slot: int, kind: ir.Type) -> IrValue:
        """Load one of the program's arguments; slots are eight bytes wide."""
        if self._given is not None:
            return self._given(self._b, self._control, slot)
        return self._b.ir.load(self._b.at(self._control, slot, I64), typ=kind, align=8)


def resolve(
    b: Builder,
    allocations: Mapping[tuple[Space, str], Allocation],
    bases: Mapping[Space, IrValue],
    wanted: Address,
    first: Index,
    slice_: Index,
) -> IrValue:
    """Return what to pass for an argument of a kernel.

    Arguments:
        allocations: where each named allocation lies in its space.
        bases: where the spaces begin.
        wanted: what the argument points to.
        first, slice_: the first image that is worked on, and its slice; 0 outside chains.
    """
    allocation = allocations.get((wanted.space, wanted.name))
    if allocation is None:
        return NOWHERE
    begin = b.at(bases[wanted.space], allocation.offset + wanted.start, I8)
    return b.at(begin, b.add(b.mul(first, wanted.image), b.mul(slice_, wanted.slice)), I8)


def pixel(b: Builder, tensor: Tensor, image: Index, row: Index, column: Index) -> Index:
    """Return the position of a pixel relative to the tensor's origin, elements."""
    place = b.add(b.mul(image, tensor.image_step), b.mul(row, tensor.row_step))
    return b.add(place, b.mul(column, tensor.pitch))


NOWHERE = ir.Constant(ir.PointerType(), None)
"""What a kernel gets for a tensor that it knows the shape of and never touches, such as what a fused pooling reads."""
