"""When each allocation is in use, and what must not be written to while it is not.

Memory holds zeros when it is made, and some of it relies on them from run to run: the halo of an image is never
written, and neither are pixels between the windows of a pooling. Memory that relies on zeros may share its bytes only
with memory that leaves the same bytes alone: tensors with the same `Frame`, whose halos coincide.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from neocog.plan.layout import Frame, Name, Space, Tensor
from neocog.plan.ops.op import Op

Moment = tuple[int, int]
"""A stage, and which of its stages where it is a chain."""


@dataclass(frozen=True, slots=True)
class LiveRange:
    """The moments, both included, between which an allocation is in use.

    Work memory belongs to all threads, which take a chain's blocks each at its own pace: it is in use for whole stages.
    Scratch memory belongs to one thread, which does one thing at a time.
    """

    first: Moment
    last: Moment

    def overlaps(self, other: LiveRange) -> bool:
        """Whether both are in use at some moment."""
        return self.first <= other.last and other.first <= self.last

    def contains(self, moment: Moment) -> bool:
        """Whether it is in use at a moment."""
        return self.first <= moment <= self.last


@dataclass(frozen=True, slots=True)
class Use:
    """How an allocation is used.

    Arguments:
        live: when.
        frame: where it relies on zeros beside what is written; None for memory that relies on none.
    """

    live: LiveRange
    frame: Frame | None = None


def always(stages: Sequence[Op]) -> LiveRange:
    """Return the live range of what must outlast the program."""
    return LiveRange((0, 0), (len(stages), 0))


def moments(stages: Iterable[Op]) -> Iterable[tuple[Moment, Op]]:
    """Yield every op in order, those inside chains one by one."""
    for index, stage in enumerate(stages):
        for number, inner in enumerate(stage.inner_stages()):
            yield (index, number), inner


def uses_of(
    names: Iterable[Name], tensors: Mapping[Name, Tensor], stages: Sequence[Op], kept: Collection[Name]
) -> dict[Name, Use]:
    """Find out how each allocation is used.

    Always in use is what outlasts a program or is read after it (`kept`), what is read before it is written, and what
    an op spares something of.
    """
    first: dict[Name, Moment] = {}
    last: dict[Name, Moment] = {}
    filled: set[Name] = set()
    pinned = set(kept)
    for moment, op in moments(stages):
        written = {part.memory for part in op.writes()}
        for name in written | {part.memory for part in op.reads()}:
            if name not in first:
                first[name] = moment
                filled |= {name} & {part.memory for part in op.fills()}
                pinned |= {name} - written
            last[name] = moment
        pinned |= {part.memory for part in op.spares()}
    whole = always(stages)
    uses = {}
    for name in names:
        if name in pinned or name not in first or name[0] is Space.STATE:
            uses[name] = Use(whole)
            continue
        live = LiveRange(first[name], last[name])
        if name[0] is Space.ARENA:
            live = LiveRange((live.first[0], 0), (live.last[0], len(stages[live.last[0]].inner_stages()) - 1))
        tensor = tensors.get(name)
        relies = tensor is not None and tensor.has_halo and name not in filled
        uses[name] = Use(live, tensor.frame if tensor is not None and relies else None)
    return uses
