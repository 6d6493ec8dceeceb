"""What is done once for all slices of a training step: all that hangs on the parameters alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from neocog.plan.layout import Name, Space
from neocog.plan.memory import accesses
from neocog.plan.ops.exchange import ForEachSlice, SumSlices
from neocog.plan.ops.op import Op


def once_for_all_slices(stages: Sequence[Op]) -> tuple[list[Op], set[Name]]:
    """Return the stages with those first that give every slice the same, such as transposed weights, and what these
    write: it must stay until the last slice has read it.
    """
    until = next(index for index, stage in enumerate(stages) if isinstance(stage, SumSlices))
    touched = [accesses(stage) for stage in stages[:until]]
    writers = Counter(name for _, written in touched for name in written)
    known: set[Name] = set()
    first: list[Op] = []
    rest: list[Op] = []
    for stage, (read, written) in zip(stages, touched, strict=False):
        steady = all(name in known or (name[0] is Space.STATE and not writers[name]) for name in read)
        if read and steady and all(name[0] is Space.ARENA and writers[name] == 1 for name in written):
            first.append(stage)
            known |= written
        else:
            rest.append(stage)
    return [*first, ForEachSlice("for each slice"), *rest, *stages[until:]], known
