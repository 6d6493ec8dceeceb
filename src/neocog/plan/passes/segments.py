"""Which tasks run together, a few images at a time: segments, and the stages that they become."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from neocog.plan.layout import Tensor
from neocog.plan.lower.choices import LEAST_BLOCKS
from neocog.plan.lower.values import Segment, Task, Value
from neocog.plan.ops.chain import Chain
from neocog.plan.ops.op import Op
from neocog.target.processor import Target

MOST_SUM_SLICES = 16  # of a chain that adds sums over the batch up


def segments_of(tasks: Sequence[Task], values: Iterable[Value], batch: int, target: Target) -> list[Segment]:
    """Gather tasks by level, and decide for each segment how many images it takes at a time.

    Values that one chain alone touches, and nobody outside it, are passed on in scratch memory.
    """
    passed = _passed(values)
    segments: dict[int, Segment] = {}
    for task in tasks:
        segment = segments.setdefault(task.level, Segment(task.level, task.backward, batch))
        segment.tasks.append(task)
    for segment in segments.values():
        if segment.level % 2 == 0:
            _choose_block(segment, passed.get(segment.level, []), target)
    for segment in segments.values():
        segment.passing = frozenset(value.tensor.name for value in passed.get(segment.level, ()))
    return [segments[level] for level in sorted(segments)]


def _passed(values: Iterable[Value]) -> dict[int, list[Value]]:
    """Return, by level, the values that tasks inside a chain hand on to each other and nobody else."""
    passed: dict[int, list[Value]] = {}
    for value in values:
        if value.base is None and value.maker is not None and not value.kept:
            touching = [value.maker, *value.users]
            if all(task.level == value.maker.level and task.where == "inside" for task in touching):
                passed.setdefault(value.maker.level, []).append(value)
    return passed


def _fewer(segment: Segment, block: int, passed: Sequence[Value], target: Target) -> int:
    """Return so many images, or as few as make the least traffic behind the second-level cache.

    What is handed on leaves it, and comes back for each reader, where it takes more than half; weights come for each
    block.
    """
    number = {id(task): n for n, task in enumerate(segment.tasks)}
    live = [0] * len(segment.tasks)
    traffic = 0
    for value in passed:
        assert value.maker is not None
        size = value.tensor.image_step * value.tensor.bytes_each
        traffic += size * (1 + len(value.users))
        for n in range(number[id(value.maker)], max(number[id(task)] for task in (value.maker, *value.users)) + 1):
            live[n] += size
    most, weights = max(live, default=0), sum(task.weights for task in segment.tasks)

    def cost(size: int) -> float:
        return weights / size + (traffic if size * most > target.level2 // 2 else 0)

    sizes = [size for size in range(block, 0, -1) if segment.batch % size == 0]
    return min(sizes, key=cost)


def _choose_block(segment: Segment, passed: Sequence[Value], target: Target) -> None:
    """Choose how many images run together: few, so that they stay near; enough to fill the segment's kernels."""
    inside = [task for task in segment.tasks if task.where == "inside"]
    sums = any(task.sums for task in inside)
    wanted = min(max((task.images for task in inside), default=1), segment.batch)
    block = min(size for size in range(1, segment.batch + 1) if segment.batch % size == 0 and size >= wanted)
    blocks = segment.batch // block
    if segment.backward:
        chains = sums or any(task.correlates for task in segment.tasks)
    else:
        several = len(inside) > 1 and any(task.on_images for task in inside)
        chains = sums or (several and blocks >= LEAST_BLOCKS)
    if not chains:
        return
    if not segment.backward and not sums:
        block = _fewer(segment, block, passed, target)
        blocks = segment.batch // block
    segment.block = block
    limits = [task.slices for task in segment.tasks if task.slices]
    if sums:
        limits.append(MOST_SUM_SLICES)
    segment.slices = min([blocks, *limits])


def stages_of(segment: Segment) -> list[Op]:
    """Build the stages of a segment."""
    built = [(task, tuple(task.build(segment))) for task in segment.tasks]
    if segment.block is None and segment.level % 2:
        return [op for _, ops in built for op in ops]
    parts = {where: [op for task, ops in built if task.where == where for op in ops] for where in _ORDER}
    if segment.block is not None and parts["inside"]:
        inside = [task for task, ops in built if task.where == "inside" and ops and task.title]
        direction = "backward" if segment.backward else "forward"
        name = f"{inside[0].title} to {inside[-1].last_title or inside[-1].title} {direction}"
        chain = Chain(name, tuple(parts["inside"]), segment.block, segment.blocks, segment.slices)
        parts["inside"] = [chain]
    return [op for where in _ORDER for op in parts[where]]


_ORDER = ("before", "inside", "behind")


def tensors_of(segments: Iterable[Segment], values: Iterable[Value]) -> list[Tensor]:
    """Return all tensors as they lie in memory."""
    home = {name: segment for segment in segments for name in segment.passing}
    tensors = []
    for value in values:
        if value.base is None and value.maker is not None:
            segment = home.get(value.tensor.name)
            tensors.append(segment.settle(value.tensor) if segment and segment.block else value.tensor)
    return tensors
