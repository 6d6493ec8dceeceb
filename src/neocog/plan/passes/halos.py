"""Halos that are written anew in each run, so that their tensors may share their bytes with others.

Memory with a halo of zeros is written but for the halo, and so can serve others of the same frame alone. A network
whose maps all differ in size then touches memory that no cache holds any more, in each of its layers. Where that is
more than the second-level cache holds, halos are cleared before their images are made: a few percent of what is written
anyhow.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from neocog.plan.layout import Name, Space, Tensor
from neocog.plan.live_ranges import Use, uses_of
from neocog.plan.ops.halo import ClearHalo
from neocog.plan.ops.op import Op
from neocog.target.processor import Target

MOST = 8  # second-level caches that a tensor may fill: larger ones stay in no cache, whatever they share
LONG = 2  # halos stay as they are where a tensor is in use for one part in so many of the program, and more


def with_halos_cleared(
    stages: Sequence[Op], tensors: Iterable[Tensor], kept: Collection[Name], target: Target
) -> list[Op]:
    """Return the stages of a program with those that clear halos among them.

    Arguments:
        stages: what happens, in order.
        tensors: every tensor.
        kept: what is read after the program.
        target: the processor.
    """
    of_arena = {tensor.memory: tensor for tensor in tensors if tensor.space is Space.ARENA}
    uses = uses_of(of_arena, of_arena, stages, kept)
    sizes = {name: tensor.bytes_each * tensor.size for name, tensor in of_arena.items()}
    framed = {name: use for name, use in uses.items() if use.frame is not None and _is_short(use, len(stages))}
    if sum(sizes[name] for name in framed) <= target.level2:
        return list(stages)
    before: dict[int, list[Op]] = {}
    for name, use in framed.items():
        if sizes[name] > MOST * target.level2:
            continue
        clear = ClearHalo(f"clear the halo of {name[1]}", of_arena[name])
        before.setdefault(use.live.first[0], []).append(clear)
    return [op for index, stage in enumerate(stages) for op in (*before.get(index, ()), stage)]


def _is_short(use: Use, stages: int) -> bool:
    return LONG * (use.live.last[0] - use.live.first[0]) < stages
