"""From a network, a batch size and a purpose to the stages of a program."""

from __future__ import annotations

from neocog.model.graph import Graph
from neocog.plan.algorithm import Algorithm
from neocog.plan.backward import plan_backward
from neocog.plan.draft import Draft
from neocog.plan.forward import plan_forward
from neocog.plan.fuse import fuse
from neocog.plan.layout import Space
from neocog.plan.live import live_steps
from neocog.plan.memory import accesses, place_memory, schedule
from neocog.plan.parameters import GRADIENTS, PARAMETERS, lay_out_parameters
from neocog.plan.program import Program, Training
from neocog.plan.target import Target
from neocog.plan.verify import verify


def plan_program(
    graph: Graph, batch: int, target: Target, training: Training | None = None, algorithm: Algorithm = "auto"
) -> Program:
    """Write a network down as a program.

    Arguments:
        graph: the network.
        batch: the most images at a time.
        target: the processor.
        training: what to train for; None for a program that only answers.
        algorithm: of convolutions: "auto" for a rule, or "direct" or "winograd" where possible.
    """
    layout = lay_out_parameters(graph, target)
    steps = fuse(graph, training=training is not None)
    draft = Draft(graph, target, batch, training, layout, steps, live_steps(steps), algorithm)
    draft.flat[Space.STATE, PARAMETERS] = layout.size
    plan_forward(draft)
    losses = plan_backward(draft, training) if training else None
    images, logits = draft.values[0].tensor, draft.values[-1].tensor
    features = draft.values[draft.step_of(graph.feature_node) + 1].tensor
    kept = {(t.space, t.name) for t in (images, logits, features, losses) if t is not None}
    kept |= {(Space.WORK, GRADIENTS), *(written for stage in draft.preparation for written in accesses(stage)[1])}
    places = place_memory(draft.tensors, draft.panels, draft.flat, draft.stages, kept)
    verify((*draft.stages, *draft.preparation), places, target.lanes)
    return Program(
        graph,
        target,
        batch,
        training,
        schedule(draft.stages, places),
        places,
        layout,
        images,
        logits,
        features,
        losses,
        tuple(draft.preparation),
        tuple(draft.dropouts),
    )
