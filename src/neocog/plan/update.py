"""The end of a training step as stages: parameters follow their gradients, and followers both them and the buffers."""

from __future__ import annotations

from neocog.plan.draft import Draft
from neocog.plan.layout import Operand, Space
from neocog.plan.ops.update import Follow, Update
from neocog.plan.parameters import BUFFERS, GRADIENTS, PARAMETERS, memory_of
from neocog.plan.program import Training


def plan_update(draft: Draft, training: Training) -> None:
    """Plan the optimizer's step, and what follows it; one pass over the parameters does both."""
    layout = draft.layout
    trained, buffers = layout.trained, layout.sizes[BUFFERS]
    if layout.size:
        draft.flat[Space.WORK, GRADIENTS] = layout.size
    if trained:
        optimizer = training.optimizer
        update = Update(
            "update",
            layout.segments,
            Operand(Space.STATE, PARAMETERS, 0),
            Operand(Space.WORK, GRADIENTS, 0),
            tuple(_memory(draft, slot, PARAMETERS, trained) for slot in optimizer.memory),
            len(optimizer.scalars(1)),
            tuple((f, _memory(draft, f.name, PARAMETERS, trained)) for f in training.followers),
        )
        draft.stages.append(update)
    if buffers and training.followers:
        followed = tuple((f, _memory(draft, f.name, BUFFERS, buffers)) for f in training.followers)
        draft.stages.append(Follow("follow buffers", Operand(Space.STATE, BUFFERS, 0), buffers, followed))


def _memory(draft: Draft, slot: str, block: str, size: int) -> Operand:
    operand = Operand(Space.STATE, memory_of(slot, block), 0)
    draft.flat[operand.memory] = size
    return operand
