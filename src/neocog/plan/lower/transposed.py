"""The transposed convolution, by the code of a convolution's three passes: forward it is the gradient of that one's
input, its own input gradient that one's forward pass, and the gradient of the weights the same with the two images
exchanged.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from neocog.nn.layers import ConvTranspose2d
from neocog.plan import correlation
from neocog.plan.correlation import Correlation
from neocog.plan.layout import Tensor
from neocog.plan.lower.convolution import epilogue_of
from neocog.plan.lower.convolution_gradient import plan_transposed, plan_weight_gradient, seen_by
from neocog.plan.lower.lowering import Lowering
from neocog.plan.lower.pointwise import gradient_and_its_sums
from neocog.plan.lower.rule import LoweringRule, Rules
from neocog.plan.lower.values import Segment
from neocog.plan.ops.op import Op
from neocog.plan.ops.pointwise import Expression, settled, tensors_of
from neocog.plan.passes.steps import PlanStep


def forward(low: Lowering, step: PlanStep) -> None:
    """Plan the gradient of a convolution's input, with what is done value by value behind it."""
    x, shape = low.output(step.inputs[0]), low.output_shape(step.index)
    epilogue = epilogue_of(low, step)
    kept = step.index in low.kept
    y = low.value(step.title, shape, low.halo_of(step.index), kept=kept, activation=step.activation)
    low.outputs[step.index] = y
    layer, bias = _convolution(low, step, y.tensor, x.tensor), low.layout.bias(step.node)
    chains = low.chains(step, backward=False)
    reads = [x.tensor.name, *(tensor.name for tensor in tensors_of(epilogue))]
    level = low.level(reads, chains=chains)
    transposed = plan_transposed(low, step, layer, y.tensor, level)

    def build(segment: Segment) -> Iterable[Op]:
        seen = seen_by(layer, segment)
        yield from correlation.input_gradient(
            seen,
            seen.y,
            seen.x,
            transposed,
            low.target,
            settled(epilogue, segment.settle),
            bias=bias.begin if bias else None,
            title=f"{step.title} forward",
        )

    task = low.add(
        step.title,
        reads,
        [y.tensor.name],
        build,
        level=level,
        images=low.images_for(step, backward=False) if chains else 1,
        on_images=True,
    )
    task.weights = 4 * transposed.size


def backward(low: Lowering, step: PlanStep) -> None:
    """Plan the gradients of weights, biases and input, as far as they are wanted."""
    halo = low.gradient_halo(step)
    gradient_and_its_sums(low, step, None, low.vectors_gradient(step, "bias"), halo)
    dy = low.gradient_value(step, halo)
    chains = low.chains(step, backward=True)
    level = low.level([dy.tensor.name], chains=chains)
    x = low.output_again(step.inputs[0], level)
    if f"{step.node.name}.weight" in low.trained:
        plan_weight_gradient(low, step, _convolution(low, step, dy.tensor, x.tensor), x, level, None)
    if step.inputs[0] in low.learning:
        _plan_input(low, step, dy.tensor, level, chains=chains)


def _plan_input(low: Lowering, step: PlanStep, dy: Tensor, level: int, *, chains: bool) -> None:
    """Plan the gradient of the input: the convolution itself."""
    before = step.inputs[0]
    epilogue = low.activation_gradient(before)
    dx = low.part_of_gradient(before, step.title)
    layer = _convolution(low, step, dy, dx.tensor)

    def build(segment: Segment) -> Iterable[Op]:
        seen, behind = seen_by(layer, segment), settled(epilogue, segment.settle)
        yield replace(correlation.forward(seen, low.target, epilogue=behind), name=f"{step.title} input gradient")

    low.add(
        step.title,
        [dy.name, *(tensor.name for tensor in tensors_of(epilogue))],
        [dx.tensor.name],
        build,
        level=level,
        images=low.images_for(step, backward=True) if chains else 1,
        correlates=chains,
        on_images=True,
    )
    low.contribute(before, Expression(dx.tensor), past_activation=bool(epilogue))


def _convolution(low: Lowering, step: PlanStep, large: Tensor, small: Tensor) -> Correlation:
    """Return the convolution from the large image to the small one, without biases."""
    return Correlation(step.title, low.window_of(step), large, small, low.layout.weights(step.node), None)


RULES: Rules = {ConvTranspose2d: LoweringRule(forward, backward)}
