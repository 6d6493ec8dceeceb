"""The backward pass: the gradients of each step as stages, and those of a run of steps as a chain.

A chain keeps the gradients that flow inside it in the scratch memory of its thread. What its layers learn is added up
in a partial gradient for each slice of the batch; behind the chain, those of all slices are folded into one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from neocog.nn.layers import AvgPool2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU
from neocog.nn.shapes import ImageShape
from neocog.plan import correlation, filters
from neocog.plan.algorithm import (
    MOST_COPIES_BYTES,
    partial_size,
    patch_halo,
    tile_halo,
    winograd_backward,
    winograd_fold,
)
from neocog.plan.draft import NO_HALO, Draft
from neocog.plan.forward import transformed_weights
from neocog.plan.fuse import is_correlation, is_flatten
from neocog.plan.layout import Halo, Operand, Panels, Space, Tensor
from neocog.plan.ops.chain import Chain
from neocog.plan.ops.elementwise import Elementwise
from neocog.plan.ops.images import Repack
from neocog.plan.ops.loss import LossGradient
from neocog.plan.ops.op import Op
from neocog.plan.ops.pool import PoolBackward
from neocog.plan.ops.update import Fold, Stretch, Transpose
from neocog.plan.ops.winograd import WinogradWeights
from neocog.plan.program import Training
from neocog.plan.update import plan_update

MOST_SLICES, FEWER_SLICES = 8, 4  # of a chain; fewer where a partial gradient does not fit the second-level cache


@dataclass(slots=True)
class _Run:
    """The stages of a run: those before its chain, inside it, and behind it. `slices` is 0 for a run without chain."""

    steps: range
    slices: int = 0
    before: list[Op] = field(default_factory=list)
    inside: list[Op] = field(default_factory=list)
    behind: list[Op] = field(default_factory=list)


def plan_backward(draft: Draft, training: Training) -> Tensor:
    """Plan loss, gradients and the optimizer; give the tensor of losses."""
    runs = draft.runs(backward=True)
    blocks = {run: draft.images_at_a_time(run, backward=True) if _chained(draft, run) else None for run in runs}
    for run in runs:
        draft.block = blocks[run]
        for index in run:
            _give_gradient(draft, index + 1, run)
    draft.block = None
    last = draft.values[-1]
    losses = draft.tensor("losses", ImageShape(1, 1, 1), pitch=1)
    if last.gradient is None:  # a network without weights still has a loss
        last.gradient = draft.tensor("gradient of the logits", ImageShape(1, 1, last.tensor.channels))
    draft.stages.append(LossGradient("loss", training.loss, last.tensor, last.gradient, losses, last.gate))
    for steps in reversed(runs):
        _plan_run(draft, steps, blocks[steps])
    plan_update(draft, training)
    return losses


def _chained(draft: Draft, run: range) -> bool:
    return any(isinstance(draft.steps[index].node.layer, Conv2d) for index in run)


def _plan_run(draft: Draft, steps: range, block: int | None) -> None:
    run = _Run(steps)
    if block:
        blocks = draft.batch // block
        run.slices = min([blocks, *(most for most in (_most_slices(draft, index) for index in steps) if most)])
    draft.block = block
    for index in reversed(steps):
        _plan_step(draft, index, run)
    draft.block = None
    draft.stages += run.before
    if block and run.inside:
        name = f"{draft.steps[steps[-1]].title} to {draft.steps[steps[0]].title} backward"
        draft.stages.append(Chain(name, tuple(run.inside), block, draft.batch // block, run.slices))
    else:
        draft.stages += run.inside
    draft.stages += run.behind


def _partial_size(draft: Draft, index: int) -> int:
    """Count the elements of a partial gradient of a convolution."""
    node, tile = draft.steps[index].node, draft.backward_tile(index)
    gradient, sums = draft.layout.weight_gradient(node), draft.layout.bias_gradient(node)
    if tile:
        return partial_size(tile, gradient, draft.live[index].input.channels)
    return filters.copy_size(gradient, sums)


def _most_slices(draft: Draft, index: int) -> int:
    """Return the most slices that a layer's partial gradients allow; 0: none are kept, or they would be too large."""
    if not isinstance(draft.steps[index].node.layer, Conv2d):
        return 0
    size = 4 * _partial_size(draft, index)
    slices = MOST_SLICES if size <= draft.target.level2 else FEWER_SLICES
    return slices if slices * size <= MOST_COPIES_BYTES else 0


def _plan_step(draft: Draft, index: int, run: _Run) -> None:
    layer = draft.steps[index].node.layer
    if isinstance(layer, Conv2d) and draft.backward_tile(index) is not None:
        _plan_tiles(draft, index, run)
        return
    if isinstance(layer, Conv2d | Linear):
        _plan_filters(draft, index, run)
    if draft.needs_gradient(index):
        _plan_input(draft, index, run)


def _plan_filters(draft: Draft, index: int, run: _Run) -> None:
    """Plan the gradient of a layer's weights as a direct sum."""
    dy = draft.values[index + 1].gradient
    assert dy is not None
    whole, node = draft.layers[index], draft.steps[index].node
    gradient, sums = draft.layout.weight_gradient(node), draft.layout.bias_gradient(node)
    copies = f"{whole.title} partial gradients"
    if run.slices and _most_slices(draft, index):
        slices = run.slices
        layer = draft.cut_layer(index)
        run.inside.append(filters.partial_gradient(layer, draft.cut(dy), gradient, sums, copies, draft.target))
    else:
        slices = filters.wanted_slices(whole, dy, gradient, draft.target)
        stage = filters.weight_gradient(whole, dy, gradient, sums, draft.target, slices=slices, copies=copies)
        run.behind.append(stage)
        if slices == 1:
            return
    draft.flat[Space.WORK, copies] = slices * filters.copy_size(gradient, sums)
    parts = [Stretch(gradient.begin, gradient.size)]
    if sums is not None:
        parts.append(Stretch(sums.begin, sums.size))
    fold = Fold(f"{whole.title} fold gradients", Operand(Space.WORK, copies, 0), slices, tuple(parts))
    run.behind.append(fold)


def _plan_tiles(draft: Draft, index: int, run: _Run) -> None:
    """Plan both gradients of a convolution by Winograd's algorithm."""
    layer, tile = draft.cut_layer(index), draft.backward_tile(index)
    dy = draft.values[index + 1].gradient
    assert dy is not None
    assert tile is not None
    node = draft.steps[index].node
    gradient, sums = draft.layout.weight_gradient(node), draft.layout.bias_gradient(node)
    copies = f"{layer.title} partial gradients"
    partial = bool(_most_slices(draft, index))
    turned = dx = None
    if draft.needs_gradient(index):
        turned = _turned(draft, index, run, draft.cut(_canvas(draft, index)))
        transformed = transformed_weights(
            draft, f"{layer.title} transformed turned weights", tile, turned, layer.y.channels
        )
        name = f"{layer.title} transform turned weights"
        run.before.append(WinogradWeights(name, tile, turned, layer.y.channels, transformed))
        turned, dx = transformed, draft.cut(_canvas(draft, index))
    if not partial:
        _plan_filters(draft, index, run)
    if partial or dx is not None:
        stage = winograd_backward(
            f"{layer.title} gradients",
            tile,
            layer.x,
            draft.cut(dy),
            (layer.window.vertical.before, layer.window.horizontal.before),
            draft.target,
            gradient=gradient if partial else None,
            copies=copies,
            bias=sums is not None,
            turned=turned,
            dx=dx,
        )
        run.inside.append(stage)
    if partial:
        draft.flat[Space.WORK, copies] = run.slices * _partial_size(draft, index)
        fold = winograd_fold(
            f"{layer.title} fold gradients", tile, gradient, sums, layer.x.channels, copies, run.slices
        )
        run.behind.append(fold)
    value = draft.values[index]
    if dx is not None and value.gradient is not None and value.gradient.name != dx.name:
        name = f"{layer.title} gate"
        gate = draft.cut(value.gate) if value.gate else None
        run.inside.append(Elementwise(name, dx, draft.cut(value.gradient), gate=gate))


def _turned(draft: Draft, index: int, run: _Run, dx: Tensor) -> Panels:
    """Plan a layer's weights with inputs and outputs swapped."""
    layer = draft.layers[index]
    turned = correlation.transposed_panels(layer, f"{layer.title} transposed weights", dx, draft.target)
    draft.panels.append(turned)
    run.before.append(Transpose(f"{layer.title} transpose", layer.weights, turned, layer.taps, layer.x.channels))
    return turned


def _plan_input(draft: Draft, index: int, run: _Run) -> None:
    """Plan the gradient of a step's input."""
    step, value, after = draft.steps[index], draft.values[index], draft.values[index + 1]
    assert after.gradient is not None
    assert value.gradient is not None
    dy, dx = draft.cut(after.gradient), draft.cut(value.gradient)
    gate = draft.cut(value.gate) if value.gate else None
    layer = step.node.layer
    name = f"{step.title} input gradient"
    match layer:
        case Conv2d() | Linear():
            turned = _turned(draft, index, run, dx)
            run.inside += correlation.input_gradient(draft.cut_layer(index), dy, dx, turned, gate, draft.target)
        case MaxPool2d() | AvgPool2d():
            winner = draft.winners.get(index)
            cut = draft.cut(winner) if winner else None
            run.inside.append(PoolBackward(name, dy, dx, draft.window_of(index), cut, None if cut else gate))
        case ReLU():
            run.inside.append(Elementwise(name, dy, dx, gate=draft.cut(after.tensor)))
        case Dropout():
            run.inside.append(Elementwise(name, dy, dx, dropping=draft.dropping(step), gate=gate))
        case Flatten():
            if dx.name != dy.name:
                run.inside.append(Repack(name, dy, dx, gate))


def _give_gradient(draft: Draft, index: int, run: range) -> None:
    """Make the gradient of a value, if one is needed, for the step of `run` that made the value and the one behind.

    A flattened view shares its image's.
    """
    value, before = draft.values[index], draft.values[index - 1]
    if not draft.needs_gradient(index):
        return
    if is_flatten(draft.steps[index - 1]):
        whole = before.gradient
        if whole is not None and whole.compact and value.tensor.name == before.tensor.name:
            value.gradient = whole.as_vectors()
            return
    tensor = value.tensor
    # A direct sum over the whole batch behind the chain needs the gradient as a whole.
    is_layer = is_correlation(draft.steps[index - 1])
    passing = index in run and not (is_layer and not _most_slices(draft, index - 1))
    halo = _gradient_halo(draft, index - 1)
    if index < len(draft.steps) and draft.backward_tile(index) is not None and not is_layer:
        halo = _patch_halo(draft, index)  # nobody minds what lies in it: overlapping patches are added up in place
    name = f"gradient of {draft.steps[index - 1].title}"
    shape = ImageShape(tensor.height, tensor.width, tensor.channels)
    value.gradient = draft.tensor(name, shape, halo, passing=passing)


def _canvas(draft: Draft, index: int) -> Tensor:
    """Return the tensor on which a Winograd layer adds up the gradient of its input."""
    value = draft.values[index]
    assert value.gradient is not None
    if not is_correlation(draft.steps[index - 1]):
        return value.gradient
    name = f"{draft.steps[index].title} canvas"
    made = next((tensor for tensor in draft.tensors if tensor.name == name), None)
    t = value.tensor
    shape = ImageShape(t.height, t.width, t.channels)
    return made or draft.tensor(name, shape, _patch_halo(draft, index), passing=True)


def _patch_halo(draft: Draft, index: int) -> Halo:
    tile = draft.backward_tile(index)
    assert tile is not None
    return patch_halo(tile, draft.window_of(index))


def _gradient_halo(draft: Draft, index: int) -> Halo:
    """Return the zeros that a step's backward passes need around the gradient of its output."""
    if index not in draft.layers:
        return NO_HALO
    window, tile = draft.layers[index].window, draft.backward_tile(index)
    halo = tile_halo(tile, window) if tile else NO_HALO
    if draft.needs_gradient(index) and not tile:
        halo = halo.union(correlation.gradient_halo(window))
    return halo
