"""The zeros around images, written anew: for memory that held something else in between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from neocog.plan.layout import Tensor, operand
from neocog.plan.ops.op import Op, Part, Reach, off_vectors


@dataclass(frozen=True, slots=True)
class ClearHalo(Op):
    """Write the halo of a tensor, whose images are written behind it, before anybody reads them."""

    tensor: Tensor

    @property
    def items(self) -> int:
        """One image each."""
        return self.tensor.images

    def reads(self) -> tuple[Part, ...]:
        """Return nothing."""
        return ()

    def writes(self) -> tuple[Part, ...]:
        """Return the tensor."""
        return (self.tensor,)

    def fills(self) -> tuple[Tensor, ...]:
        """Return the tensor: what this leaves out, the op that makes the images writes."""
        return (self.tensor,)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all of the tensor, from the first pixel of its first halo."""
        yield Reach("halo", operand(self.tensor, self.tensor.origin), -self.tensor.origin, self._last)

    @property
    def _last(self) -> int:
        return self.tensor.size - self.tensor.origin - 1

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield pixels off whole vectors."""
        yield from off_vectors(self.name, lanes, self.tensor)
