"""Names of the plan turned into addresses."""

from __future__ import annotations

from collections.abc import Mapping

from llvmlite import ir

from neocog.emit.builder import I8, I64, Builder, Index, Value
from neocog.plan.contraction import Operand
from neocog.plan.layout import Panels, Space, Tensor
from neocog.plan.memory import Place


class Memory:
    """The blocks that a stage works on, and the program's arguments."""

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
        self._places = places
        self._base = {Space.STATE: state, Space.WORK: work, Space.SCRATCH: scratch}
        self._control = control

    def _at(self, space: Space, name: str, byte: int) -> Value:
        return self._b.at(self._base[space], self._places[space, name].offset + byte, I8)

    def operand(self, operand: Operand) -> Value:
        """Give the address where an operand begins."""
        return self._at(operand.space, operand.name, operand.start * 4)

    def tensor(self, tensor: Tensor) -> Value:
        """Give the address of a tensor's first pixel that is not halo."""
        return self._at(tensor.space, tensor.name, tensor.origin * tensor.bytes_each)

    def whole(self, tensor: Tensor) -> Value:
        """Give the address of a tensor's first element, halo included."""
        return self._at(tensor.space, tensor.name, 0)

    def panels(self, panels: Panels) -> Value:
        """Give the address of the first panel."""
        return self._at(panels.space, panels.name, panels.offset * 4)

    def argument(self, slot: int, kind: ir.Type) -> Value:
        """Load one of the program's arguments; slots are eight bytes wide."""
        return self._b.ir.load(self._b.at(self._control, slot, I64), typ=kind, align=8)


def pixel(b: Builder, tensor: Tensor, image: Index, row: Index, column: Index) -> Index:
    """Give the position of a pixel relative to the tensor's origin, elements."""
    place = b.add(b.mul(image, tensor.image_step), b.mul(row, tensor.row_step))
    return b.add(place, b.mul(column, tensor.pitch))
