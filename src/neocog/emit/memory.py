"""Names of the plan turned into addresses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from llvmlite import ir

from neocog.emit.builder import I8, I64, Builder, Index, Value
from neocog.plan.layout import Operand, Panels, Space, Tensor, Vectors
from neocog.plan.memory import Place


@dataclass(frozen=True, slots=True)
class Block:
    """Which images of a chain are worked on: the first one, their slice, and the number of this block in it."""

    first: Value
    slice: Value
    turn: Value


class Memory:
    """The blocks of memory that a stage works on, and the program's arguments.

    In a chain, `block` says which images: what belongs to the whole batch is then found from the first of them on.
    """

    def __init__(
        self,
        b: Builder,
        places: Mapping[tuple[Space, str], Place],
        state: Value,
        work: Value,
        scratch: Value,
        control: Value,
    ) -> None:
        self._b = b
        self.block: Block | None = None
        self._places = places
        self._base = {Space.STATE: state, Space.WORK: work, Space.SCRATCH: scratch}
        self._control = control

    def _at(self, space: Space, name: str, byte: int) -> Value:
        return self._b.at(self._base[space], self._places[space, name].offset + byte, I8)

    @property
    def first_image(self) -> Index:
        """The number, within the batch, of the first image that the stage sees."""
        return self.block.first if self.block else 0

    def operand(self, operand: Operand, bytes_each: int = 4) -> Value:
        """Return the address where an operand begins."""
        address = self._at(operand.space, operand.name, operand.start * bytes_each)
        if self.block is None or operand.space is not Space.WORK:
            return address
        b = self._b
        moved = b.add(b.mul(self.block.first, operand.image), b.mul(self.block.slice, operand.slice))
        return b.at(address, b.mul(moved, bytes_each), I8)

    def tensor(self, tensor: Tensor) -> Value:
        """Return the address of a tensor's first pixel that is not halo."""
        return self.operand(self._begin(tensor, tensor.origin), tensor.bytes_each)

    def whole(self, tensor: Tensor) -> Value:
        """Return the address of a tensor's first element, halo included."""
        return self.operand(self._begin(tensor, 0), tensor.bytes_each)

    @staticmethod
    def _begin(tensor: Tensor, start: int) -> Operand:
        return Operand(tensor.space, tensor.name, start, image=tensor.image_step)

    def panels(self, panels: Panels) -> Value:
        """Return the address of the first panel."""
        return self._at(panels.space, panels.name, panels.offset * 4)

    def vectors(self, vectors: Vectors) -> Value:
        """Return the address of the first vector."""
        return self._at(vectors.space, vectors.name, vectors.offset * 4)

    def argument(self, slot: int, kind: ir.Type) -> Value:
        """Load one of the program's arguments; slots are eight bytes wide."""
        return self._b.ir.load(self._b.at(self._control, slot, I64), typ=kind, align=8)


def pixel(b: Builder, tensor: Tensor, image: Index, row: Index, column: Index) -> Index:
    """Return the position of a pixel relative to the tensor's origin, elements."""
    place = b.add(b.mul(image, tensor.image_step), b.mul(row, tensor.row_step))
    return b.add(place, b.mul(column, tensor.pitch))
