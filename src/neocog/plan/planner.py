"""From a network, a batch size and a purpose to the stages of a program."""

from __future__ import annotations

from dataclasses import dataclass, field

from neocog.model.graph import Graph
from neocog.model.layers import AvgPool2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU
from neocog.model.optimizers import Optimizer
from neocog.model.shapes import ImageShape
from neocog.model.window import Window
from neocog.plan import correlation
from neocog.plan.algorithm import (
    Algorithm,
    choose_tile,
    patch_halo,
    scratch_sizes,
    tile_halo,
    transformed_panels,
    turned_window,
    winograd,
    winograd_gradient,
)
from neocog.plan.contraction import Operand
from neocog.plan.correlation import Correlation
from neocog.plan.fuse import Step, fuse, is_correlation, is_flatten
from neocog.plan.layout import Halo, Panels, Space, Tensor
from neocog.plan.live import POINT, LiveStep, as_image, live_steps
from neocog.plan.memory import place_memory, schedule
from neocog.plan.parameters import GRADIENTS, PARAMETERS, ParameterLayout, lay_out_parameters
from neocog.plan.program import FIRST_KEY_SLOT, Program, Training
from neocog.plan.stages import (
    Dropping,
    Elementwise,
    Fold,
    LoadImages,
    LossGradient,
    Pool,
    PoolBackward,
    Repack,
    Stage,
    Transpose,
    Update,
    Winograd,
    WinogradGradient,
    WinogradWeights,
)
from neocog.plan.target import Target
from neocog.plan.verify import verify
from neocog.plan.winograd import minimal

NO_HALO = Halo()


@dataclass(slots=True)
class _Value:
    """What flows between two steps: an activation and, in training, its gradient."""

    tensor: Tensor
    relu: bool = False  # made by a step that ends in a ReLU: its gradient is gated by it
    gradient: Tensor | None = None

    @property
    def gate(self) -> Tensor | None:
        return self.tensor if self.relu else None


@dataclass(slots=True)
class _Planner:
    graph: Graph
    target: Target
    batch: int
    training: Training | None
    layout: ParameterLayout
    steps: tuple[Step, ...]
    live: tuple[LiveStep, ...]
    algorithm: Algorithm
    stages: list[Stage] = field(default_factory=list)
    preparation: list[Stage] = field(default_factory=list)
    panels: list[Panels] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)
    layers: dict[int, Correlation] = field(default_factory=dict)
    winners: dict[int, Tensor] = field(default_factory=dict)
    flat: dict[tuple[Space, str], int] = field(default_factory=dict)
    dropouts: list[int] = field(default_factory=list)
    values: list[_Value] = field(default_factory=list)

    def tensor(
        self, name: str, shape: ImageShape, halo: Halo = NO_HALO, pitch: int | None = None, bytes_each: int = 4
    ) -> Tensor:
        made = Tensor(
            name,
            self.batch,
            shape.height,
            shape.width,
            shape.channels,
            pitch or self.target.round_up(shape.channels),
            halo,
            bytes_each,
        )
        self.tensors.append(made)
        return made

    def halo_before(self, step: int) -> Halo:
        """Give the zeros that the step needs around its input."""
        if step < len(self.steps) and isinstance(self.steps[step].node.layer, Conv2d):
            window = self.window_of(step)
            halo = correlation.input_halo(window)
            tile = self.tile_of(step)
            return halo.union(patch_halo(tile, window)) if tile else halo
        return NO_HALO

    def tile_of(self, step: int) -> int | None:
        """Choose Winograd's tile for a step's convolution; None for the direct sum."""
        live = self.live[step]
        if not isinstance(self.steps[step].node.layer, Conv2d):
            return None
        if step == 0 and live.input.channels % self.target.lanes:
            return None  # images lie value by value, and patches are read in whole vectors
        return choose_tile(self.window_of(step), live.input.channels, live.output.channels, self.algorithm, self.target)

    def reads_scalars(self, step: int) -> bool:
        """Whether the step takes its input value by value, so that channels need no padding to whole vectors."""
        if step < len(self.steps) and is_flatten(self.steps[step]):
            step += 1
        return step < len(self.steps) and is_correlation(self.steps[step])

    def forward(self) -> None:
        shape = self.graph.input
        pitch = shape.channels if self.reads_scalars(0) else None
        images = self.tensor("images", self.live[0].input if self.live else shape, self.halo_before(0), pitch)
        mean, std = self.graph.normalisation.per_channel(shape.channels)
        self.stages.append(
            LoadImages(
                "load images",
                images,
                shape,
                tuple(1.0 / s for s in std),
                tuple(-m / s for m, s in zip(mean, std, strict=True)),
            )
        )
        self.values.append(_Value(images))
        for index, step in enumerate(self.steps):
            self.values.append(self.forward_step(index, step, self.values[-1]))

    def forward_step(self, index: int, step: Step, value: _Value) -> _Value:
        layer, x = step.node.layer, value.tensor
        shape = self.live[index].output
        halo = self.halo_before(index + 1)
        match layer:
            case Flatten():
                if x.compact and (x.channels % self.target.lanes == 0 or self.reads_scalars(index)):
                    return _Value(x.as_vectors(), value.relu)
                y = self.tensor(step.title, shape)
                self.stages.append(Repack(f"{step.title} forward", x, y))
                return _Value(y)
            case Conv2d() | Linear():
                y = self.tensor(step.title, shape, halo)
                made = Correlation(
                    step.title, self.window_of(index), x, y, self.layout.panels[step.node.index], layer.bias
                )
                self.layers[index] = made
                tile = self.tile_of(index)
                if tile is None:
                    self.stages.append(correlation.forward(made, step.relu, self.target))
                else:
                    self.winograd_forward(made, tile, step.relu)
                return _Value(y, step.relu)
            case MaxPool2d() | AvgPool2d():
                y = self.tensor(step.title, shape, halo)
                largest = isinstance(layer, MaxPool2d)
                walk = self.window_of(index)
                winner = None
                if largest and self.needs_gradient(index):
                    winner = self.tensor(f"{step.title} winner", shape, bytes_each=1 if walk.cells <= 256 else 4)
                    self.winners[index] = winner
                self.stages.append(Pool(f"{step.title} forward", x, y, walk, largest, winner))
                return _Value(y)
            case ReLU():
                y = self.tensor(step.title, shape, halo)
                self.stages.append(Elementwise(f"{step.title} forward", x, y, relu=True))
                return _Value(y)
            case Dropout():
                y = self.tensor(step.title, shape, halo)
                self.stages.append(Elementwise(f"{step.title} forward", x, y, dropping=self.dropping(step)))
                return _Value(y)
            case _:
                raise AssertionError(f"no plan for {layer}")  # a new layer was declared but not planned

    def winograd_forward(self, layer: Correlation, tile: int, relu: bool) -> None:
        v, h = layer.window.vertical, layer.window.horizontal
        transformed = self.transformed(f"{layer.title} transformed weights", tile, layer.weights, layer.x.channels)
        weights = WinogradWeights(
            f"{layer.title} transform weights", tile, layer.weights, layer.x.channels, False, transformed
        )
        (self.stages if self.training else self.preparation).append(weights)
        bias_row = layer.taps * layer.x.channels * layer.weights.width
        bias = Operand(layer.weights.space, layer.weights.name, layer.weights.offset + bias_row)
        self.add_winograd(
            winograd(
                f"{layer.title} forward",
                tile,
                layer.x,
                layer.y,
                (v.before, h.before),
                transformed,
                self.target,
                bias=(bias, layer.weights) if layer.bias else None,
                relu=relu,
            )
        )

    def transformed(self, name: str, tile: int, weights: Panels, inputs: int) -> Panels:
        made = transformed_panels(name, weights, inputs)
        self.flat[made.space, made.name] = made.size * minimal(tile).positions
        return made

    def add_winograd(self, stage: Winograd | WinogradGradient) -> None:
        for name, size in scratch_sizes(stage.tiling).items():
            self.flat[name] = max(size, self.flat.get(name, 0))
        self.stages.append(stage)

    def window_of(self, index: int) -> Window:
        """Give a step's window; a fully connected layer has one of 1 × 1 on an image of 1 × 1."""
        return self.live[index].window or Window(POINT, POINT)

    def dropping(self, step: Step) -> Dropping:
        assert isinstance(step.node.layer, Dropout)
        if step.node.index not in self.dropouts:
            self.dropouts.append(step.node.index)
        whole = as_image(step.node.output)
        slot = FIRST_KEY_SLOT + self.dropouts.index(step.node.index)
        return Dropping(slot, step.node.layer.rate, whole.height, whole.width)

    def needs_gradient(self, value: int) -> bool:
        """Whether some step before this value has weights."""
        return self.training is not None and any(map(is_correlation, self.steps[:value]))

    def give_gradients(self) -> None:
        """Make a gradient tensor for each value that needs one; a flattened view shares its image's."""
        for index, value in enumerate(self.values):
            if not self.needs_gradient(index):
                continue
            step, tensor = self.steps[index - 1], value.tensor
            before = self.values[index - 1]
            if is_flatten(step):
                whole = before.gradient
                if whole is not None and whole.compact and tensor.name == before.tensor.name:
                    value.gradient = whole.as_vectors()
                    continue
            halo = self.gradient_halo(index - 1)
            name = f"gradient of {step.title}"
            shape = ImageShape(tensor.height, tensor.width, tensor.channels)
            value.gradient = self.tensor(name, shape, halo)

    def backward(self, training: Training) -> Tensor:
        self.give_gradients()
        last = self.values[-1]
        losses = self.tensor("losses", ImageShape(1, 1, 1), pitch=1)
        if last.gradient is None:  # a network without weights still has a loss
            last.gradient = self.tensor("gradient of the logits", ImageShape(1, 1, last.tensor.channels))
        self.stages.append(LossGradient("loss", training.loss, last.tensor, last.gradient, losses, last.gate))
        for index in reversed(range(len(self.steps))):
            if is_correlation(self.steps[index]):
                self.weight_gradient(index)
            if self.needs_gradient(index):
                self.input_gradient(index)
        self.update(training.optimizer)
        return losses

    def gradient_halo(self, step: int) -> Halo:
        """Give the zeros that a step's backward passes need around the gradient of its output."""
        if step not in self.layers:
            return NO_HALO
        window, tile = self.layers[step].window, self.tile_of(step)
        halo = tile_halo(tile, window) if tile else NO_HALO
        if self.needs_gradient(step):
            halo = halo.union(correlation.gradient_halo(window))
            turned = self.gradient_tile(step)
            halo = halo.union(patch_halo(turned, turned_window(window))) if turned else halo
        return halo

    def gradient_tile(self, step: int) -> int | None:
        """Choose Winograd's tile for the gradient of a step's input: a convolution of dy with the turned filters."""
        live = self.live[step]
        if self.tile_of(step) is None:
            return None
        turned = turned_window(self.window_of(step))
        return choose_tile(turned, live.output.channels, live.input.channels, self.algorithm, self.target)

    def weight_gradient(self, index: int) -> None:
        layer, dy = self.layers[index], self.values[index + 1].gradient
        assert dy is not None
        gradient = self.layout.gradient(self.steps[index].node.index)
        copies = f"{layer.title} partial gradients"
        if self.winograd_gradient(index, layer, dy, gradient, copies):
            return
        stage, slices = correlation.weight_gradient(layer, dy, gradient, copies, self.target)
        self.stages.append(stage)
        if slices > 1:
            self.flat[Space.WORK, copies] = slices * gradient.size
            self.stages.append(
                Fold(
                    f"{layer.title} fold gradients",
                    Operand(Space.WORK, copies, 0),
                    slices,
                    gradient.size,
                    Operand(gradient.space, gradient.name, gradient.offset),
                    gradient.size,
                )
            )

    def winograd_gradient(self, index: int, layer: Correlation, dy: Tensor, gradient: Panels, copies: str) -> bool:
        """Plan a gradient by tiles, if that is better."""
        tile = self.tile_of(index)
        if tile is None:
            return False
        before = layer.window.vertical.before, layer.window.horizontal.before
        name = f"{layer.title} weight gradient"
        planned = winograd_gradient(name, tile, layer.x, dy, before, gradient, copies, layer.bias, self.target)
        if planned is None:
            return False
        partial, fold = planned
        self.flat[Space.WORK, copies] = partial.slices * partial.slice_step
        self.add_winograd(partial)
        self.stages.append(fold)
        return True

    def input_gradient(self, index: int) -> None:
        step, value, after = self.steps[index], self.values[index], self.values[index + 1]
        dy, dx, gate = after.gradient, value.gradient, value.gate
        assert dy is not None
        assert dx is not None
        layer = step.node.layer
        name = f"{step.title} input gradient"
        match layer:
            case Conv2d() | Linear():
                made = self.layers[index]
                turned = correlation.transposed_panels(made, f"{made.title} transposed weights", dx, self.target)
                self.panels.append(turned)
                self.stages.append(
                    Transpose(f"{made.title} transpose", made.weights, turned, made.taps, made.x.channels)
                )
                tile = self.gradient_tile(index)
                if tile is None:
                    self.stages += correlation.input_gradient(made, dy, dx, turned, gate, self.target)
                else:
                    self.winograd_backward(made, tile, dy, dx, turned, gate)
            case MaxPool2d() | AvgPool2d():
                walk = self.window_of(index)
                self.stages.append(PoolBackward(name, dy, dx, walk, self.winners.get(index), gate))
            case ReLU():
                self.stages.append(Elementwise(name, dy, dx, gate=after.tensor))
            case Dropout():
                self.stages.append(Elementwise(name, dy, dx, dropping=self.dropping(step), gate=gate))
            case Flatten():
                if dx.name != dy.name:
                    self.stages.append(Repack(name, dy, dx, gate))

    def winograd_backward(
        self, layer: Correlation, tile: int, dy: Tensor, dx: Tensor, turned: Panels, gate: Tensor | None
    ) -> None:
        filters = layer.y.channels
        transformed = self.transformed(f"{layer.title} transformed turned weights", tile, turned, filters)
        self.stages.append(
            WinogradWeights(f"{layer.title} transform turned weights", tile, turned, filters, True, transformed)
        )
        window = turned_window(layer.window)
        before = window.vertical.before, window.horizontal.before
        self.add_winograd(
            winograd(f"{layer.title} input gradient", tile, dy, dx, before, transformed, self.target, gate=gate)
        )

    def update(self, optimizer: Optimizer) -> None:
        size = self.layout.size
        if not size:
            return
        self.flat[Space.WORK, GRADIENTS] = size
        memory = tuple(Operand(Space.STATE, f"memory {slot}", 0) for slot in optimizer.memory)
        for operand in memory:
            self.flat[Space.STATE, operand.name] = size
        self.stages.append(
            Update(
                "update",
                optimizer,
                size,
                Operand(Space.STATE, PARAMETERS, 0),
                Operand(Space.WORK, GRADIENTS, 0),
                memory,
            )
        )

    def tensor_after(self, node: int) -> Tensor:
        """Find what a layer gives, though it may have been fused or left out."""
        position = max((i for i, step in enumerate(self.steps) if step.last.index <= node), default=-1)
        return self.values[position + 1].tensor


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
    planner = _Planner(graph, target, batch, training, layout, steps, live_steps(steps), algorithm)
    planner.flat[Space.STATE, PARAMETERS] = layout.size
    planner.forward()
    losses = planner.backward(training) if training else None
    places = place_memory(planner.tensors, planner.panels, planner.flat)
    verify((*planner.stages, *planner.preparation), places, target.lanes)
    return Program(
        graph,
        target,
        batch,
        training,
        schedule(planner.stages),
        places,
        layout,
        planner.values[0].tensor,
        planner.values[-1].tensor,
        planner.tensor_after(graph.feature_node),
        losses,
        tuple(planner.preparation),
        tuple(planner.dropouts),
    )
