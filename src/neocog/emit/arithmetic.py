"""Vectors with operators, for formulas that are written once for arrays, tensors and emitted code."""

from __future__ import annotations

from neocog.emit.builder import Builder, IrValue


class Vector:
    """A vector of float32 in emitted code: its operators write the instruction, rounding as NumPy does."""

    __slots__ = ("builder", "value")

    def __init__(self, builder: Builder, value: IrValue) -> None:
        self.builder, self.value = builder, value

    def _of(self, other: Vector | float) -> IrValue:
        return other.value if isinstance(other, Vector) else self.builder.splat(other)

    def __add__(self, other: Vector | float) -> Vector:
        return Vector(self.builder, self.builder.ir.fadd(self.value, self._of(other)))

    def __sub__(self, other: Vector | float) -> Vector:
        return Vector(self.builder, self.builder.ir.fsub(self.value, self._of(other)))

    def __mul__(self, other: Vector | float) -> Vector:
        return Vector(self.builder, self.builder.ir.fmul(self.value, self._of(other)))

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other: float) -> Vector:
        return Vector(self.builder, self.builder.ir.fsub(self._of(other), self.value))
