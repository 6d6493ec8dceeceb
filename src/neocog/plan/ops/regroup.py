"""Channels of images of bfloat16 brought into another order: put side by side, cut out, or shuffled.

Each of these takes channels from one row of all channels that go in, so all are one op, forward and backward. Nothing
is turned into float32 for it: what is moved are words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from neocog.plan.blocked import PLANE, Blocked
from neocog.plan.ops.joined import Joined


@dataclass(frozen=True, slots=True)
class Regroup(Joined):
    """Write the channels of several images, one behind the other, as those of one image.

    Arguments:
        inputs: the images.
        y: of as many pixels.
        first: of all channels that go in, the first one that is taken.
        groups: what is taken is dealt out of so many groups in turn.
        skip: so many channels of y before it are zeros, and so are those behind it.
    """

    takes_blocked: ClassVar[bool] = True

    inputs: tuple[Blocked, ...]
    y: Blocked
    first: int = 0
    groups: int = 1
    skip: int = 0

    @property
    def given(self) -> int:
        """Channels that go in."""
        return sum(x.channels for x in self.inputs)

    @property
    def taken(self) -> int:
        """Channels of y that come from an input."""
        return min(self.y.channels - self.skip, self.given - self.first)

    def sources(self) -> list[tuple[int, int] | None]:
        """Return which input each channel of y comes from, and which of its channels; None: it is zero. Those that fill
        up the last plane are among them.
        """
        all_ = [(number, channel) for number, x in enumerate(self.inputs) for channel in range(x.channels)]
        run = self.taken // self.groups
        found: list[tuple[int, int] | None] = [None] * (self.y.planes * PLANE)
        for channel in range(self.taken):
            turn, group = divmod(channel, self.groups)
            found[self.skip + channel] = all_[self.first + group * run + turn]
        return found

    def unlike(self) -> Iterator[str]:
        """Yield groups that what is taken does not consist of."""
        if self.taken <= 0 or self.taken % self.groups:
            yield f"{self.name}: {self.taken} channels are not {self.groups} groups"

    def details(self) -> Iterator[str]:
        """Yield what goes where."""
        dealt = f", dealt out of {self.groups} groups" if self.groups > 1 else ""
        zeros = f", behind {self.skip} zeros" if self.skip else ""
        yield f"{' + '.join(str(x.channels) for x in self.inputs)} channels, from {self.first}{dealt}{zeros}"
