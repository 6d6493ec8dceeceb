"""Channels of several images put side by side. `copy.cut` takes them apart again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from neocog.plan.ops.joined import Joined
from neocog.plan.ops.op import other_channels


@dataclass(frozen=True, slots=True)
class Concatenation(Joined):
    """Write the channels of each pixel of several tensors behind each other, in order."""

    def unlike(self) -> Iterator[str]:
        """Yield channels of y that are not as many as go in."""
        yield from other_channels(self.name, self.y, sum(x.channels for x in self.inputs))

    def details(self) -> Iterator[str]:
        """Yield what goes where."""
        yield " + ".join(str(x.channels) for x in self.inputs) + " channels"
