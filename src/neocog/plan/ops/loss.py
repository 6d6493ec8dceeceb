"""The loss and its gradient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from neocog.nn.losses import Loss
from neocog.plan.layout import Tensor
from neocog.plan.ops.op import Op, Part, Reach, walked


@dataclass(frozen=True, slots=True)
class LossGradient(Op):
    """The loss of each image, and the gradient of their mean with respect to the logits; rows past the batch get 0."""

    loss: Loss
    logits: Tensor
    gradient: Tensor
    losses: Tensor

    @property
    def items(self) -> int:
        """One image each."""
        return self.logits.images

    def reads(self) -> tuple[Part, ...]:
        """Return the logits; targets are the caller's."""
        return (self.logits,)

    def writes(self) -> tuple[Part, ...]:
        """Return losses and gradient."""
        return (self.gradient, self.losses)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all images."""
        yield from walked("logits", self.logits)
        yield from walked("gradient", self.gradient)
        yield from walked("losses", self.losses)

    def spares(self) -> tuple[Part, ...]:
        """Return the gradient where values, which are written one by one, do not fill whole vectors."""
        return (self.gradient,) if self.gradient.pitch != self.gradient.channels else ()


@dataclass(frozen=True, slots=True)
class SliceLossGradient(LossGradient):
    """The same of one slice of a training step: the mean is that of all slices."""
