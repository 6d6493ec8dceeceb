"""From a network, a batch size and a purpose to the stages of a program."""

from __future__ import annotations

from neocog.nn.graph import Graph
from neocog.nn.groups import rules_of
from neocog.nn.layers import Conv2d
from neocog.plan.algorithm import Algorithm
from neocog.plan.backward import plan_backward
from neocog.plan.draft import Draft
from neocog.plan.forward import plan_forward
from neocog.plan.fuse import Step, fuse
from neocog.plan.layout import Space
from neocog.plan.live import live_steps, whole_steps
from neocog.plan.memory import accesses, place_memory, schedule
from neocog.plan.parameters import GRADIENTS, PARAMETERS, lay_out_parameters
from neocog.plan.program import Program, Training
from neocog.plan.target import Target
from neocog.plan.verify import verify, verify_live_ranges


def plan_program(
    graph: Graph,
    batch: int,
    target: Target,
    training: Training | None = None,
    algorithm: Algorithm = "auto",
    *,
    peaks: bool = False,
) -> Program:
    """Write a network down as a program.

    Arguments:
        graph: the network.
        batch: the most images at a time.
        target: the processor.
        training: what to train for; None for a program that only answers.
        algorithm: of convolutions: "auto" for a rule, or "direct" or "winograd" where possible.
        peaks: whether a program that only answers gives the largest value of each feature map in place of the logits.
            The network must have a convolution then; what lies behind the last one is not computed.
    """
    rules = rules_of(graph, training.optimizer, training.groups, training.frozen) if training else None
    layout = lay_out_parameters(graph, target, rules)
    steps = fuse(graph, training=training is not None, across_dropouts=not peaks)
    if peaks:
        steps = _up_to_the_last_convolution(steps)
    live = whole_steps(steps) if peaks else live_steps(steps)
    draft = Draft(graph, target, batch, training, layout, steps, live, algorithm, peaks={} if peaks else None)
    draft.flat |= {(Space.STATE, name): size for name, size in layout.sizes.items() if size or name == PARAMETERS}
    plan_forward(draft)
    losses = plan_backward(draft, training) if training else None
    images = draft.values[0].tensor
    logits = features = None
    if not peaks:
        logits, features = draft.values[-1].tensor, draft.values[draft.step_of(graph.feature_node) + 1].tensor
    answers = (images, logits, features, losses, *(draft.peaks or {}).values())
    kept = {(t.space, t.name) for t in answers if t is not None}
    kept |= {(Space.WORK, GRADIENTS), *(written for stage in draft.preparation for written in accesses(stage)[1])}
    places = place_memory(draft.tensors, draft.panels, draft.flat, draft.stages, kept)
    verify((*draft.stages, *draft.preparation), places, target.lanes)
    verify_live_ranges(draft.stages, places, draft.tensors)
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
        draft.peaks,
        tuple(draft.preparation),
        tuple(draft.dropouts),
    )


def _up_to_the_last_convolution(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    return steps[: max(index for index, step in enumerate(steps) if isinstance(step.node.layer, Conv2d)) + 1]
