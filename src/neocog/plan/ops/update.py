"""What happens to parameters and their gradients as flat arrays: transposed copies, sums of slices, the optimizer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from neocog.nn.optimizers import Optimizer
from neocog.plan.layout import Operand, Panels
from neocog.plan.ops.op import Op, Part, Reach, walked

CHUNK = 1024  # elements that one item of a flat pass covers


@dataclass(frozen=True, slots=True)
class Transpose(Op):
    """Write a layer's weights with inputs and outputs swapped, tap by tap, for the gradient of its input."""

    weights: Panels
    transposed: Panels
    taps: int
    inputs: int

    @property
    def items(self) -> int:
        """One panel of one tap each."""
        return self.taps * self.transposed.count

    def reads(self) -> tuple[Part, ...]:
        """Return the weights."""
        return (self.weights,)

    def writes(self) -> tuple[Part, ...]:
        """Return their copy."""
        return (self.transposed,)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all panels."""
        yield from walked("weights", self.weights)
        yield from walked("transposed", self.transposed)


@dataclass(frozen=True, slots=True)
class Fold(Op):
    """Add up partial gradients in a fixed order: out = sum over copies, `step` elements apart."""

    copies: Operand
    count: int
    step: int
    out: Operand
    size: int

    @property
    def items(self) -> int:
        """A chunk of the gradient each."""
        return -(-self.size // CHUNK)

    def reads(self) -> tuple[Part, ...]:
        """Return the partial gradients."""
        return (self.copies,)

    def writes(self) -> tuple[Part, ...]:
        """Return their sum."""
        return (self.out,)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all of both."""
        yield Reach("copies", self.copies, 0, (self.count - 1) * self.step + self.size - 1)
        yield Reach("out", self.out, 0, self.size - 1)


@dataclass(frozen=True, slots=True)
class Update(Op):
    """One step of the optimizer over all parameters at once."""

    optimizer: Optimizer
    size: int
    parameters: Operand
    gradients: Operand
    memory: tuple[Operand, ...]

    @property
    def items(self) -> int:
        """A chunk of the parameters each."""
        return -(-self.size // CHUNK)

    def reads(self) -> tuple[Part, ...]:
        """Return parameters, gradients and the optimizer's memory."""
        return (self.parameters, *self.memory, self.gradients)

    def writes(self) -> tuple[Part, ...]:
        """Return parameters and memory."""
        return (self.parameters, *self.memory)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all of them."""
        for operand in (self.parameters, self.gradients, *self.memory):
            yield Reach("update", operand, 0, self.size - 1)
