"""Parameters follow their gradients, and followers both them and the buffers: at the end of a training step, but for
large weights, each of which is updated as soon as its gradient is known.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from neocog.nn.graph import Graph
from neocog.nn.layers import Conv2d, Linear
from neocog.nn.parameters import parameters_of
from neocog.plan.layout import Operand, Space
from neocog.plan.lower.directions import DIRECTIONS, lengths_of, moved_parameters, plan_directions
from neocog.plan.lower.lowering import Lowering
from neocog.plan.lower.values import Segment
from neocog.plan.ops.directions import Move
from neocog.plan.ops.exchange import SumSlices
from neocog.plan.ops.op import Op
from neocog.plan.ops.portion import Portion
from neocog.plan.ops.update import Follow, ParameterRange, Update
from neocog.plan.parameters import BUFFERS, GRADIENTS, LARGE, PARAMETERS, ParameterLayout, memory_of
from neocog.plan.passes.steps import PlanStep
from neocog.plan.program import Training


def lower_update(low: Lowering, training: Training) -> None:
    """Plan the optimizer's step, and what follows it; one pass over the parameters does both."""
    unchanged = sorted(set(low.layout.early) - low.updated)
    assert not unchanged, f"nothing trains {unchanged}"
    size = low.layout.together + (0 if training.slicing is None else told_by_slices(low.layout))
    if size:
        low.flat[Space.ARENA, GRADIENTS] = size
    for parameter in parameters_of(low.graph):  # of which some get a gradient beside those of their layer that want one
        if parameter.name not in low.trained:
            place = low.layout.gradient(parameter.name)
            low.flat[place.memory] = place.size
    level = max(task.level for task in low.tasks)  # behind all others, and of the whole batch: odd
    stages = tuple(_stages(low, training))

    def build(segment: Segment) -> Iterable[Op]:
        return stages

    low.add("update", (), (), build, chains=False, level=level + 1 + level % 2, on_images=False)


def told_by_slices(layout: ParameterLayout) -> int:
    """Count what a slice tells behind its gradients: how the buffers moved, and its loss."""
    return layout.sizes[BUFFERS] + 1


def early_updates(graph: Graph, training: Training) -> tuple[str, ...]:
    """Return the parameters that are trained one by one, each as soon as its gradient is known.

    Only weights that are read in the forward pass and for the layer's own gradients alone can be.
    """
    if training.clip.norm is not None or training.slicing is not None:  # all gradients together, or of all slices
        return ()
    rules = training.rules(graph)
    return tuple(
        variable.name
        for variable in parameters_of(graph)
        if variable.variable.name == "weight"
        and isinstance(variable.node.layer, (Conv2d, Linear))
        and getattr(variable.node.layer, "groups", 1) == 1
        and math.prod(variable.shape) >= LARGE
        and variable.name in rules
        and not rules[variable.name].optimizer.whole
    )


def update_early(low: Lowering, step: PlanStep, level: int) -> None:
    """Plan the optimizer's step of a layer's weights, if they are trained one by one, behind the ops of a level."""
    name = f"{step.node.name}.weight"
    rule, training = low.layout.early.get(name), low.training
    if rule is None or training is None:
        return
    place, gradient = low.layout.places[name], low.layout.gradient(name)
    low.flat[gradient.memory] = gradient.size
    slots = rule.optimizer.memory
    update = Update(
        f"{step.title} update",
        (ParameterRange(0, place.size, rule),),
        place.begin,
        gradient.begin,
        slots,
        tuple(_memory(low, slot, PARAMETERS, place.offset) for slot in slots),
        len(training.optimizer.scalars(1)),
        tuple((f, _memory(low, f.name, PARAMETERS, place.offset)) for f in training.followers),
        training.clip,
    )
    low.add(step.title, (), (), lambda segment: (update,), level=level, where="behind")
    low.updated.add(name)


def _stages(low: Lowering, training: Training) -> Iterable[Op]:
    buffers = low.layout.sizes[BUFFERS]
    if training.slicing is not None:
        size = low.layout.together + told_by_slices(low.layout)
        yield SumSlices("gradients of all slices", Operand(Space.ARENA, GRADIENTS, 0), size)
    if low.layout.together:
        yield from _steps(low, training)
    if buffers and training.followers:
        followed = tuple((f, _memory(low, f.name, BUFFERS)) for f in training.followers)
        yield Follow("follow buffers", Operand(Space.STATE, BUFFERS, 0), buffers, followed)


def _steps(low: Lowering, training: Training) -> Iterable[Op]:
    trained, ranges = low.layout.together, low.layout.ranges
    parameters, gradients = Operand(Space.STATE, PARAMETERS, 0), Operand(Space.ARENA, GRADIENTS, 0)
    slots = tuple(dict.fromkeys(slot for range_ in ranges for slot in range_.rule.optimizer.memory))
    memory = {slot: _memory(low, slot, PARAMETERS) for slot in slots}
    followed = tuple((f, _memory(low, f.name, PARAMETERS)) for f in training.followers)
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


def _memory(low: Lowering, slot: str, block: str, first: int = 0) -> Operand:
    operand = Operand(Space.STATE, memory_of(slot, block), first)
    low.flat[operand.memory] = low.layout.trained if block == PARAMETERS else low.layout.sizes[BUFFERS]
    return operand
