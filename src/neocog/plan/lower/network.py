"""A whole network written down as tasks: images in, layers forward, loss, layers backward, optimizer. Or, in place of
loss and optimizer, the gradient of one value.
"""

from __future__ import annotations

from collections.abc import Iterable

from neocog.nn.graph import IMAGE
from neocog.nn.shapes import ImageShape
from neocog.plan.lower import bands
from neocog.plan.lower.lowering import Lowering
from neocog.plan.lower.pooling import plan_peaks
from neocog.plan.lower.rules import RULES
from neocog.plan.lower.update import lower_update
from neocog.plan.lower.values import Segment, Value
from neocog.plan.ops.images import LoadImages
from neocog.plan.ops.loss import LossGradient, SliceLossGradient
from neocog.plan.ops.op import Op
from neocog.plan.ops.pointwise import Expression
from neocog.plan.program import Training


def lower_forward(low: Lowering) -> None:
    """Write all steps down, and the outputs that callers read."""
    _load_images(low)
    in_bands = bands.bands_of(low)
    for step in low.steps.steps:
        if step.index not in in_bands:
            RULES[type(step.node.layer)].forward(low, step)
        elif (together := in_bands[step.index]) is not None:
            bands.forward(low, together)
        low.settle_rounded(step.index)
        if step.index in low.peaks:
            plan_peaks(low, step)
    for index in sorted(low.kept):
        low.output(index)


def _load_images(low: Lowering) -> None:
    source = low.graph.input
    if low.wants_narrow(IMAGE):
        images = low.narrow[IMAGE] = low.narrow_value(IMAGE)
    else:
        pitch = source.channels if low.reads_scalars(IMAGE) else None
        images = low.value("images", low.images_shape, low.halo_of(IMAGE), pitch, kept=IMAGE in low.kept)
        low.outputs[IMAGE] = images
    rounding = low.roundings.get(IMAGE)
    mean, std = low.graph.normalisation.per_channel(source.channels)
    scale = tuple(1.0 / s for s in std)
    shift = tuple(-m / s for m, s in zip(mean, std, strict=True))

    def build(segment: Segment) -> Iterable[Op]:
        inverse = rounding.inverse if rounding else None
        yield LoadImages("load images", segment.settle(images.tensor), source, scale, shift, inverse)

    low.add("", (), ["images"], build, on_images=False)


def lower_backward(low: Lowering, training: Training) -> Value:
    """Write down the loss, the gradients and the optimizer; return where the losses lie."""
    low.backward = True
    losses = _loss(low, training)
    for step in reversed(low.steps.steps):
        if step.index in low.contributions or step.index in low.pooled:
            RULES[type(step.node.layer)].backward(low, step)
    lower_update(low, training)
    return losses


def lower_gradient(low: Lowering) -> tuple[Value, Value]:
    """Write down how a gradient of what the last step gives goes back to the step that is sought.

    Returns:
        Where the caller writes the one, and where the other one lies.
    """
    assert low.sought is not None
    low.backward = True
    sought, last = low.steps.steps[low.sought], low.steps.steps[-1]
    given = low.part_of_gradient(last.index, "caller")
    given.root.kept = True
    # Nobody writes it: it is there before the program begins, and read behind the forward pass.
    logits = low.outputs[last.index].tensor.name
    low.add("", [logits], [given.tensor.name], lambda segment: (), chains=False, on_images=False)
    low.contribute(last.index, Expression(given.tensor))
    for step in reversed(low.steps.steps[low.sought + 1 :]):
        if step.index in low.contributions or step.index in low.pooled:
            RULES[type(step.node.layer)].backward(low, step)
    found = low.gradient_value(sought)
    found.root.kept = True
    return given, found


def _loss(low: Lowering, training: Training) -> Value:
    last = low.steps.steps[-1].index if low.steps.steps else IMAGE
    logits = low.outputs[last]
    losses = low.value("losses", ImageShape(1, 1, 1), pitch=1, kept=True)
    if last in low.learning:
        gradient = low.part_of_gradient(last, "loss")
    else:  # a network without weights still has a loss
        tensor = logits.tensor
        gradient = low.value("gradient of the logits", ImageShape(tensor.height, tensor.width, tensor.channels))

    def build(segment: Segment) -> Iterable[Op]:
        op = LossGradient if training.slicing is None else SliceLossGradient
        yield op("loss", training.loss, logits.tensor, gradient.tensor, losses.tensor)

    writes = [gradient.tensor.name, "losses"]
    low.add("loss", [logits.tensor.name], writes, build, chains=False, on_images=False)
    low.contribute(last, Expression(gradient.tensor))
    return losses
