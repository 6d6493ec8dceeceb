"""The end of a training step: parameters follow their gradients, and followers both them and the buffers."""

from __future__ import annotations

from collections.abc import Iterable

from neocog.plan.layout import Operand, Space
from neocog.plan.lower.directions import DIRECTIONS, lengths_of, moved_parameters, plan_directions
from neocog.plan.lower.lowering import Lowering
from neocog.plan.lower.values import Segment
from neocog.plan.ops.directions import Move, Portion
from neocog.plan.ops.op import Op
from neocog.plan.ops.update import Follow, Update
from neocog.plan.parameters import BUFFERS, GRADIENTS, PARAMETERS, memory_of
from neocog.plan.program import Training


def lower_update(low: Lowering, training: Training) -> None:
    """Plan the optimizer's step, and what follows it; one pass over the parameters does both."""
    if low.layout.size:
        low.flat[Space.ARENA, GRADIENTS] = low.layout.size
    level = max(task.level for task in low.tasks)  # behind all others, and of the whole batch: odd
    stages = tuple(_stages(low, training))

    def build(segment: Segment) -> Iterable[Op]:
        return stages

    low.add("update", (), (), build, chains=False, level=level + 1 + level % 2, on_images=False)


def _stages(low: Lowering, training: Training) -> Iterable[Op]:
    trained, buffers = low.layout.trained, low.layout.sizes[BUFFERS]
    if trained:
        yield from _steps(low, training)
    if buffers and training.followers:
        followed = tuple((f, _memory(low, f.name, BUFFERS, buffers)) for f in training.followers)
        yield Follow("follow buffers", Operand(Space.STATE, BUFFERS, 0), buffers, followed)


def _steps(low: Lowering, training: Training) -> Iterable[Op]:
    trained, ranges = low.layout.trained, low.layout.ranges
    parameters, gradients = Operand(Space.STATE, PARAMETERS, 0), Operand(Space.ARENA, GRADIENTS, 0)
    slots = tuple(dict.fromkeys(slot for range_ in ranges for slot in range_.rule.optimizer.memory))
    memory = {slot: _memory(low, slot, PARAMETERS, trained) for slot in slots}
    followed = tuple((f, _memory(low, f.name, PARAMETERS, trained)) for f in training.followers)
    scalars = len(training.optimizer.scalars(1))
    length = None
    if training.clip.norm is not None:
        ops, length = lengths_of(low, "gradients", gradients, (Portion(0, trained),), training.clip.value)
        yield from ops
    moved = moved_parameters(low, training.rules(low.graph))
    directions = low.record(DIRECTIONS, trained) if moved else None
    yield Update(
        "update",
        ranges,
        parameters,
        gradients,
        slots,
        tuple(memory.values()),
        scalars,
        followed,
        training.clip,
        length,
        directions,
    )
    if moved:
        found = plan_directions(low, moved)
        yield from found.ops
        portions, slow = tuple(moved.values()), memory.get("slow")
        yield Move("move", portions, parameters, found.steps, slow, found.lengths, scalars, followed)


def _memory(low: Lowering, slot: str, block: str, size: int) -> Operand:
    operand = Operand(Space.STATE, memory_of(slot, block), 0)
    low.flat[operand.memory] = size
    return operand
