"""The forward pass: steps as stages, and runs of steps as chains."""

from __future__ import annotations

from neocog.nn.layers import AvgPool2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU
from neocog.nn.shapes import ImageShape
from neocog.nn.window import Axis, Window
from neocog.plan import algorithm, correlation
from neocog.plan.algorithm import patch_halo, transformed_panels, winograd
from neocog.plan.correlation import Correlation, Pooled
from neocog.plan.draft import NO_HALO, Draft, Value, on_images
from neocog.plan.fuse import Step
from neocog.plan.layout import Halo, Panels, Tensor
from neocog.plan.ops.chain import Chain
from neocog.plan.ops.elementwise import Elementwise
from neocog.plan.ops.images import LoadImages, Repack
from neocog.plan.ops.op import Op
from neocog.plan.ops.pool import Pool
from neocog.plan.ops.tiles import position_step
from neocog.plan.ops.winograd import WinogradWeights
from neocog.plan.winograd import minimal

LEAST_BLOCKS = 4  # with fewer, threads share out the stages of a run, each over the whole batch


def plan_forward(draft: Draft) -> None:
    """Plan the forward pass of all steps."""
    for run in draft.runs() or [range(0)]:
        _plan_run(draft, run)


def _load_images(draft: Draft) -> Op:
    shape = draft.graph.input
    pitch = shape.channels if draft.reads_scalars(0) else None
    live = draft.live[0].input if draft.live else shape
    passing = draft.training is None and bool(draft.steps)
    images = draft.tensor("images", live, _halo_before(draft, 0), pitch, passing=passing)
    draft.values.append(Value(images))
    mean, std = draft.graph.normalisation.per_channel(shape.channels)
    scale = tuple(1.0 / s for s in std)
    shift = tuple(-m / s for m, s in zip(mean, std, strict=True))
    return LoadImages("load images", draft.cut(images), shape, scale, shift)


def _plan_run(draft: Draft, run: range) -> None:
    block = draft.images_at_a_time(run, backward=False)
    fused = {index + 1 for index in run if _pooling_behind(draft, index, run)}
    several = len(run) - len(fused) + (not draft.values) > 1
    together = (
        several and any(map(on_images, draft.steps[run.start : run.stop])) and draft.batch // block >= LEAST_BLOCKS
    )
    draft.block = block if together else None
    stages: list[Op] = [] if draft.values else [_load_images(draft)]
    for index in run:
        if index in fused:
            continue
        stages += _plan_step(draft, index, run, pooling=index + 1 in fused)
    draft.block = None
    if together:
        blocks = draft.batch // block
        name = f"{draft.steps[run[0]].title} to {draft.steps[run[-1]].title} forward"
        stages = [Chain(name, tuple(stages), block, blocks, blocks)]
    draft.stages += stages


def _plan_step(draft: Draft, index: int, run: range, *, pooling: bool) -> list[Op]:
    """Plan a step, the pooling behind it included, and append what it gives to the draft's values."""
    step, value = draft.steps[index], draft.values[-1]
    layer, x = step.node.layer, value.tensor
    shape, halo = draft.live[index].output, _halo_before(draft, index + 1)
    passing = _is_passing(draft, index, run)
    match layer:
        case Flatten():
            if x.compact and (x.channels % draft.target.lanes == 0 or draft.reads_scalars(index)):
                draft.values.append(Value(x.as_vectors(), value.relu))
                return []
            y = draft.tensor(step.title, shape)
            draft.values.append(Value(y))
            return [Repack(f"{step.title} forward", x, y)]
        case Conv2d() | Linear():
            y = draft.shape(step.title, shape) if pooling else draft.tensor(step.title, shape, halo, passing=passing)
            draft.layers[index] = Correlation(
                step.title, draft.window_of(index), x, y, draft.layout.weights(step.node), draft.layout.bias(step.node)
            )
            draft.values.append(Value(y, step.relu))
            pooled = _plan_pooled(draft, index + 1, run) if pooling else None
            stages = [_plan_correlation(draft, index, step, pooled)]
            if draft.peaks is not None:
                stages.append(_plan_peaks(draft, step, draft.peaks))
            return stages
        case MaxPool2d() | AvgPool2d():
            y = draft.tensor(step.title, shape, halo, passing=passing)
            largest = isinstance(layer, MaxPool2d)
            winner = _winner(draft, index) if largest else None
            draft.values.append(Value(y))
            cut = draft.cut(winner) if winner else None
            window = draft.window_of(index)
            gated = largest and value.relu
            return [Pool(f"{step.title} forward", draft.cut(x), draft.cut(y), window, largest, cut, gated)]
        case ReLU():
            y = draft.tensor(step.title, shape, halo, passing=passing)
            draft.values.append(Value(y))
            return [Elementwise(f"{step.title} forward", draft.cut(x), draft.cut(y), relu=True)]
        case Dropout():
            y = draft.tensor(step.title, shape, halo, passing=passing)
            draft.values.append(Value(y))
            dropping = draft.dropping(step)
            return [Elementwise(f"{step.title} forward", draft.cut(x), draft.cut(y), dropping=dropping)]
        case _:
            raise AssertionError(f"no plan for {layer}")  # a new layer was declared but not planned


def _plan_pooled(draft: Draft, index: int, run: range) -> Pooled:
    """Make what a fused pooling gives."""
    step = draft.steps[index]
    halo, passing = _halo_before(draft, index + 1), _is_passing(draft, index, run)
    y = draft.tensor(step.title, draft.live[index].output, halo, passing=passing)
    draft.values.append(Value(y))
    winner = _winner(draft, index)
    return Pooled(draft.window_of(index), draft.cut(y), draft.cut(winner) if winner else None)


def _plan_peaks(draft: Draft, step: Step, peaks: dict[int, Tensor]) -> Op:
    """Find the largest value of each map that a convolution just gave, or the pooling in its last lines: that one has
    left out no map's largest value (see `_pooling_behind`).
    """
    x = draft.values[-1].tensor
    y = peaks[step.node.index] = draft.tensor(f"{step.title} peaks", ImageShape(1, 1, x.channels))
    whole = Window(Axis(x.height, x.height, 1, 1, 0, 0), Axis(x.width, x.width, 1, 1, 0, 0))
    return Pool(f"{step.title} peaks", draft.cut(x), draft.cut(y), whole, largest=True, winner=None)


def _winner(draft: Draft, index: int) -> Tensor | None:
    """Make memory for who was the largest of each window, if training asks."""
    if not draft.needs_gradient(index):
        return None
    bytes_each = 1 if draft.window_of(index).cells <= 255 else 4
    winner = draft.tensor(f"{draft.steps[index].title} winner", draft.live[index].output, bytes_each=bytes_each)
    draft.winners[index] = winner
    return winner


def _plan_correlation(draft: Draft, index: int, step: Step, pooled: Pooled | None) -> Op:
    layer, tile = draft.cut_layer(index), draft.tile_of(index)
    if tile is None:
        return correlation.forward(layer, step.relu, draft.target, pooled)
    transformed = transformed_weights(
        draft, f"{layer.title} transformed weights", tile, layer.weights, layer.x.channels
    )
    name = f"{layer.title} transform weights"
    weights = WinogradWeights(name, tile, layer.weights, layer.x.channels, transformed)
    (draft.stages if draft.training else draft.preparation).append(weights)
    return winograd(
        f"{layer.title} forward",
        tile,
        layer.x,
        layer.y,
        (layer.window.vertical.before, layer.window.horizontal.before),
        transformed,
        draft.target,
        bias=layer.bias.begin if layer.bias else None,
        relu=step.relu,
        pooled=pooled,
    )


def transformed_weights(draft: Draft, name: str, tile: int, weights: Panels, inputs: int) -> Panels:
    """Make memory for transformed filters."""
    made = transformed_panels(name, weights, inputs)
    draft.flat[made.space, made.name] = position_step(made) * minimal(tile).positions
    return made


def _pooling_behind(draft: Draft, index: int, run: range) -> bool:
    """Whether the pooling behind a convolution can run in its last lines."""
    step = draft.steps[index]
    if not isinstance(step.node.layer, Conv2d) or index + 1 not in run or _is_asked_for(draft, index):
        return False
    if not isinstance(draft.steps[index + 1].node.layer, MaxPool2d):
        return False
    window, tile = draft.window_of(index + 1), draft.tile_of(index)
    if draft.peaks is not None and not _covers(window):
        return False  # what a pooling never looks at may hold a map's largest value
    if tile is not None:
        return algorithm.can_pool(tile, window)
    x = draft.shape("", draft.live[index].input)
    y = draft.shape("", draft.live[index].output)
    layer = Correlation("", draft.window_of(index), x, y, draft.layout.weights(step.node), bias=None)
    return correlation.can_pool(layer, window, draft.target)


def _covers(window: Window) -> bool:
    """Whether each pixel lies in the window of a pooling whose windows lie side by side."""
    return all(axis.output * axis.kernel == axis.input for axis in (window.vertical, window.horizontal))


def _is_passing(draft: Draft, index: int, run: range) -> bool:
    """Whether what a step gives is only passed on to the next one of its run."""
    if draft.peaks is not None:
        return True
    if index + 1 not in run or _is_asked_for(draft, index):
        return False
    # The gradients of a layer need its input, and the gate of a ReLU its output; a max pooling notes what it needs.
    behind = isinstance(draft.steps[index + 1].node.layer, MaxPool2d)
    return draft.training is None or (behind and isinstance(draft.steps[index].node.layer, Conv2d))


def _is_asked_for(draft: Draft, index: int) -> bool:
    """Whether a caller may ask for what a step gives."""
    if draft.peaks is not None:
        return False
    return index in (draft.step_of(draft.graph.feature_node), len(draft.steps) - 1)


def _halo_before(draft: Draft, index: int) -> Halo:
    """Return the zeros that a step needs around its input."""
    if index < len(draft.steps) and isinstance(draft.steps[index].node.layer, Conv2d):
        window = draft.window_of(index)
        halo = correlation.input_halo(window)
        tile = draft.tile_of(index)
        return halo.union(patch_halo(tile, window)) if tile else halo
    return NO_HALO
