"""From a network, a batch size and a purpose to the stages of a program: passes, one after the other."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from neocog.errors import SettingError
from neocog.nn.answer import peak_sources
from neocog.nn.graph import IMAGE, Graph
from neocog.nn.losses import CrossEntropy
from neocog.nn.optimizers import SGD
from neocog.nn.rewrite import SOUGHT
from neocog.nn.scales import source_of
from neocog.plan.algorithm import Algorithm
from neocog.plan.blocked import Precision
from neocog.plan.layout import Space
from neocog.plan.lower.lowering import Lowering
from neocog.plan.lower.network import lower_backward, lower_forward, lower_gradient
from neocog.plan.lower.rules import BY_VALUE
from neocog.plan.lower.update import early_updates
from neocog.plan.memory import accesses, allocate, schedule
from neocog.plan.parameters import GRADIENTS, PARAMETERS, lay_out_parameters
from neocog.plan.passes.halos import with_halos_cleared
from neocog.plan.passes.segments import segments_of, stages_of, tensors_of
from neocog.plan.passes.slices import once_for_all_slices
from neocog.plan.passes.steps import PlanSteps, steps_of
from neocog.plan.passes.trim import extents_of
from neocog.plan.program import FEATURES, GRADIENT, LOGITS, PEAKS, Program, Training
from neocog.plan.rounded import Rounding
from neocog.plan.verify import verify, verify_live_ranges
from neocog.target.processor import Target

UNTRAINED = Training(CrossEntropy(), SGD(), frozen=("*",))
"""Of a program that goes back through a network as training does, and learns nothing."""


def plan_gradient(graph: Graph, target: Target, algorithm: Algorithm = "auto") -> Program:
    """Write down how a gradient goes back from the last layer to a value, for one image.

    The caller writes the gradient of the last layer's output to `Program.given`; the outputs are what that layer gives,
    under its name, and `GRADIENT`, that of the value.

    Arguments:
        graph: a network in which a layer named `SOUGHT` stands for the value; see `neocog.nn.rewrite.with_sought`.
        target, algorithm: as for `plan_program`.
    """
    names = (graph.nodes[-1].name, SOUGHT)
    return plan_program(graph, 1, target, UNTRAINED, algorithm, outputs=names, seeks=True)


def plan_program(
    graph: Graph,
    batch: int,
    target: Target,
    training: Training | None = None,
    algorithm: Algorithm = "auto",
    *,
    outputs: Collection[str] = (LOGITS, FEATURES),
    precision: Precision = "float32",
    seeks: bool = False,
    alone: bool = False,
) -> Program:
    """Write a network down as a program.

    Arguments:
        graph: the network.
        batch: the most images at a time.
        target: the processor.
        training: what to train for; None for a program that only answers.
        algorithm: of convolutions: "auto" for a rule, or "direct" or "winograd" where possible.
        outputs: what the program gives: "logits", "features", "peaks" (the largest value of each feature map of each
            convolution), and the output of any layer, by its name. What none of them depends on is not computed; a
            program that trains needs the logits.
        precision: of the factors of products, and of what is kept between them; sums and parameters are float32.
        seeks: whether it finds a gradient; see `plan_gradient`.
        alone: whether parameters lie as this batch has them, and not so that programs for all batches may share them.
    """
    nodes = _asked(graph, outputs)
    sources = peak_sources(graph) if PEAKS in outputs else {}
    steps = steps_of(graph, training=training is not None, wanted={*nodes.values(), *sources.values()})
    named = [steps.sources[index] for name, index in nodes.items() if name not in (LOGITS, FEATURES)]
    extents = extents_of(steps, range(len(steps.steps)) if sources else named, training=training is not None)
    rules = training.rules(graph) if training else None
    early = early_updates(graph, training) if training else ()
    layout = lay_out_parameters(graph, target, rules, early, precision, batch if alone else None)
    given = {name: steps.sources[index] for name, index in nodes.items()}
    low = Lowering(
        target,
        batch,
        training,
        steps,
        extents,
        algorithm,
        graph=graph,
        layout=layout,
        kept=frozenset(given.values()),
        trained=frozenset(rules or ()),
        peaks=_peaks_by_step(steps, sources),
        by_value=BY_VALUE,
        precision=precision,
        roundings=_roundings_by_step(graph, steps, layout.roundings),
        sought=given[SOUGHT] if seeks else None,
    )
    low.flat |= {(Space.STATE, name): size for name, size in layout.sizes.items() if size or name == PARAMETERS}
    lower_forward(low)
    losses = lower_backward(low, training) if training and not seeks else None
    back = lower_gradient(low) if seeks else None
    segments = segments_of(low.tasks, low.values.values(), batch, target)
    stages = [stage for segment in segments for stage in stages_of(segment)]
    tensors = tensors_of(segments, low.values.values())
    by_name = {tensor.name: tensor for tensor in tensors}
    answers = {name: low.outputs[index].tensor for name, index in given.items()}
    if back is not None:
        answers[GRADIENT] = back[1].tensor
    read = [*answers.values(), *low.found_peaks.values(), *(value.tensor for value in (losses, *(back or ())) if value)]
    kept = {(Space.ARENA, tensor.name) for tensor in read} | {by_name["images"].memory}
    kept |= {(Space.ARENA, GRADIENTS), *low.zeroed}
    if training and training.keeps_gradients:
        kept |= {layout.gradient(name).memory for name in layout.early}
    kept |= {written for stage in low.preparation for written in accesses(stage)[1]}
    stages = with_halos_cleared(stages, tensors, kept, target)
    if training and training.slicing:
        stages, steady = once_for_all_slices(stages)
        kept |= steady
    allocations = allocate(tensors, low.panels, low.flat, stages, kept)
    verify((*stages, *low.preparation), allocations, target.lanes)
    verify_live_ranges(stages, allocations, tensors)
    return Program(
        graph,
        target,
        batch,
        training,
        schedule(stages, allocations),
        allocations,
        layout,
        by_name["images"],
        answers,
        losses.tensor if losses else None,
        low.found_peaks,
        tuple(low.preparation),
        tuple(low.dropouts),
        back[0].tensor if back else None,
    )


def _asked(graph: Graph, outputs: Collection[str]) -> dict[str, int]:
    """Return the layers whose outputs are asked for, by what they are called there."""
    known = {node.name: node.index for node in graph.nodes}
    known |= {LOGITS: len(graph.nodes) - 1, FEATURES: graph.feature_node}
    unknown = [name for name in outputs if name not in known and name != PEAKS]
    if unknown:
        raise SettingError(
            f"outputs: there is no layer {unknown[0]!r}",
            hint=f'ask for "{LOGITS}", "{FEATURES}", "{PEAKS}", or a layer by its name, like {graph.nodes[0].name!r}',
        )
    return {name: known[name] for name in outputs if name != PEAKS}


def _roundings_by_step(graph: Graph, steps: PlanSteps, roundings: Mapping[int, Rounding]) -> dict[int, Rounding]:
    """Return how what each step gives is rounded, where it is."""
    found: dict[int, Rounding] = {}
    for value in (IMAGE, *(node.index for node in graph.nodes)):
        source = source_of(graph, value)
        if source in roundings and value in steps.sources:
            found.setdefault(steps.sources[value], roundings[source])
    return found


def _peaks_by_step(steps: PlanSteps, sources: dict[int, int]) -> dict[int, list[int]]:
    """Return, for each step that gives maps whose largest values are asked for, the convolutions that ask."""
    found: dict[int, list[int]] = {}
    for convolution, source in sources.items():
        found.setdefault(steps.sources[source], []).append(convolution)
    return found
