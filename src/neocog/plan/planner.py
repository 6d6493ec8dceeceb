"""From a network, a batch size and a purpose to the stages of a program: passes, one after the other."""

from __future__ import annotations

from neocog.nn.answer import peak_sources
from neocog.nn.graph import Graph
from neocog.plan.algorithm import Algorithm
from neocog.plan.layout import Space
from neocog.plan.lower.lowering import Lowering
from neocog.plan.lower.network import lower_backward, lower_forward
from neocog.plan.memory import accesses, place_memory, schedule
from neocog.plan.parameters import GRADIENTS, PARAMETERS, lay_out_parameters
from neocog.plan.passes.segments import segments_of, stages_of, tensors_of
from neocog.plan.passes.steps import Steps, steps_of
from neocog.plan.passes.trim import extents_of
from neocog.plan.program import Program, Training
from neocog.plan.verify import verify, verify_live_ranges
from neocog.target.processor import Target


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
    sources = peak_sources(graph) if peaks else {}
    steps = steps_of(graph, training=training is not None, peaks=sources.values() if peaks else None)
    extents = extents_of(steps, range(len(steps.steps)) if peaks else (), training=training is not None)
    rules = training.rules(graph) if training else None
    layout = lay_out_parameters(graph, target, rules)
    wanted = _answers(graph, steps) if not peaks else (-1, -1)
    low = Lowering(
        graph,
        target,
        batch,
        training,
        layout,
        steps,
        extents,
        algorithm,
        kept=frozenset(wanted) - {-1},
        trained=frozenset(rules or ()),
        peaks=_peaks_by_step(steps, sources),
    )
    low.flat |= {(Space.STATE, name): size for name, size in layout.sizes.items() if size or name == PARAMETERS}
    lower_forward(low)
    losses = lower_backward(low, training) if training else None
    segments = segments_of(low.tasks, low.values.values(), batch, target)
    stages = [stage for segment in segments for stage in stages_of(segment)]
    tensors = tensors_of(segments, low.values.values())
    by_name = {tensor.name: tensor for tensor in tensors}
    logits, features = (None if peaks else low.outputs[index].tensor for index in wanted)
    answers = (logits, features, losses.tensor if losses else None, *low.found_peaks.values())
    kept = {(Space.WORK, tensor.name) for tensor in answers if tensor is not None} | {by_name["images"].memory}
    kept |= {(Space.WORK, GRADIENTS), *(written for stage in low.preparation for written in accesses(stage)[1])}
    places = place_memory(tensors, low.panels, low.flat, stages, kept)
    verify((*stages, *low.preparation), places, target.lanes)
    verify_live_ranges(stages, places, tensors)
    return Program(
        graph,
        target,
        batch,
        training,
        schedule(stages, places),
        places,
        layout,
        by_name["images"],
        logits,
        features,
        losses.tensor if losses else None,
        low.found_peaks if peaks else None,
        tuple(low.preparation),
        tuple(low.dropouts),
    )


def _answers(graph: Graph, steps: Steps) -> tuple[int, int]:
    """Return the steps that give the logits and the features."""
    return steps.sources[graph.nodes[-1].index], steps.sources[graph.feature_node]


def _peaks_by_step(steps: Steps, sources: dict[int, int]) -> dict[int, list[int]]:
    """Return, for each step that gives maps whose largest values are asked for, the convolutions that ask."""
    found: dict[int, list[int]] = {}
    for convolution, source in sources.items():
        found.setdefault(steps.sources[source], []).append(convolution)
    return found
