"""One image put together of the channels of several, each pixel by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from neocog.plan.layout import Tensor
from neocog.plan.ops.op import Op, Part, Reach, off_vectors, other_size, walked


@dataclass(frozen=True, slots=True)
class Joined(Op):
    """An op that writes each pixel of y from the channels that its inputs have there.

    Arguments:
        inputs: the images.
        y: of as many pixels.
    """

    inputs: tuple[Tensor, ...]
    y: Tensor

    @property
    def items(self) -> int:
        """One row of one image each."""
        return self.y.images * self.y.height

    def reads(self) -> tuple[Part, ...]:
        """Return the images that go in."""
        return self.inputs

    def writes(self) -> tuple[Part, ...]:
        """Return what comes out."""
        return (self.y,)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all pixels."""
        for number, x in enumerate(self.inputs):
            yield from walked(f"input {number}", x)
        yield from walked("y", self.y)

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield sizes that differ, channels that do not make up those of y, and pixels off whole vectors."""
        for x in self.inputs:
            yield from other_size(self.name, x, self.y.height, self.y.width)
        yield from self.unlike()
        yield from off_vectors(self.name, lanes, *self.inputs, self.y)

    def unlike(self) -> Iterator[str]:
        """Yield why the channels of the inputs cannot be made into those of y."""
        return iter(())
