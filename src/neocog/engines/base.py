"""What training and prediction know of an engine: two protocols, and the settings that they are made with."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from neocog.errors import NeocogWarning, SettingError, ShapeError
from neocog.nn.answer import peak_sources as peak_sources
from neocog.nn.followers import Follower
from neocog.nn.graph import IMAGE, Graph
from neocog.nn.groups import NO_CLIP, NO_PENALTY, GradientClip, Group, Penalty, UpdateRule, rules_of
from neocog.nn.images import check_batch
from neocog.nn.images import check_values as check_values
from neocog.nn.layers import Conv2d
from neocog.nn.losses import Loss
from neocog.nn.optimizers import Optimizer
from neocog.nn.parameters import Parameter, variables_of
from neocog.nn.scales import Scales
from neocog.nn.shapes import ImageShape, Shape
from neocog.nn.slicing import Slicing
from neocog.ranks.world import World
from neocog.resources import available_threads

Images = NDArray[np.uint8] | NDArray[np.float32]
Array = NDArray[np.float32]
State = dict[str, NDArray[np.float32]]
_SHOWN = 20  # faults that a message lists


@dataclass(frozen=True, slots=True)
class StepSettings:
    """What a training program is made for.

    Arguments:
        loss: what each step makes smaller.
        optimizer: how parameters follow their gradients; its learning rate is given anew with every step.
        batch_size: the most images of a step; fewer are fine.
        seed: decides which values a Dropout drops.
        groups: parameters with a learning rate or a weight decay of their own.
        frozen: patterns, as in a Group, of parameters that stay as they are.
        followers: arrays beside the variables that follow their values.
        clip: what gradients may not exceed.
        penalty: on the size of the weights.
        keeps_gradients: whether gradients can be read after a step. Without, they take less memory.
        slicing: how a step is cut into slices; None: it is not. Of programs that are shared among processes.
    """

    loss: Loss
    optimizer: Optimizer
    batch_size: int
    seed: int = 0
    groups: tuple[Group, ...] = ()
    frozen: tuple[str, ...] = ()
    followers: tuple[Follower, ...] = ()
    clip: GradientClip = NO_CLIP
    penalty: Penalty = NO_PENALTY
    keeps_gradients: bool = True
    slicing: Slicing | None = None

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise SettingError(f"batch_size must be at least 1, got {self.batch_size}")
        for part in self.optimizer.parts():
            names = [*part.memory, *(follower.name for follower in self.followers)]
            if len(set(names)) < len(names):
                raise SettingError(f"what is kept beside a parameter needs different names, got {', '.join(names)}")

    def rules(self, graph: Graph) -> dict[str, UpdateRule]:
        """Return how each parameter of a network is trained, by name; those that are frozen are left out.

        Raises:
            SettingError: a pattern matches nothing.
        """
        return rules_of(graph, self.optimizer, self.groups, self.frozen, self.penalty)

    def slots(self, graph: Graph) -> dict[str, Parameter]:
        """Return what is kept beside the variables of a network, "name/slot" → variable: the optimizer's memory of what
        is trained, and what follows that and the buffers.
        """
        rules = self.rules(graph)
        kept = {
            f"{variable.name}/{slot}": variable
            for variable in variables_of(graph)
            if variable.name in rules
            for slot in rules[variable.name].optimizer.memory
        }
        for follower in self.followers:
            kept |= {f"{variable.name}/{follower.name}": variable for variable in self.followed(graph)}
        return kept

    def followed(self, graph: Graph) -> tuple[Parameter, ...]:
        """Return the variables that followers follow: all but those that are frozen."""
        rules = self.rules(graph)
        return tuple(variable for variable in variables_of(graph) if variable.name in rules or not variable.trainable)


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one training step tells: the mean loss over the batch's images, before the update, and the logits.

    The logits are (N, outputs), or (N, height, width, channels) where a network answers pixel by pixel; the loss is
    then the mean over images and pixels.
    """

    loss: float
    logits: Array


@dataclass(frozen=True, slots=True)
class Compiling:
    """A moment of an engine's compiling: how far a program is, and what is begun now.

    Arguments:
        program: what the program is for, such as "training, batch 64".
        part: the part that is begun, such as "3:Conv2d+ReLU forward"; "" when the last is done.
        done: parts that are done.
        total: parts of the program.
    """

    program: str
    part: str
    done: int
    total: int


CompileListener = Callable[[Compiling], None]
_listener: ContextVar[CompileListener | None] = ContextVar("neocog_compile_listener", default=None)


@contextmanager
def compiling_told_to(listener: CompileListener) -> Iterator[None]:
    """Tell a listener what engines compile while the body runs; from several threads, one after the other.

    A face that shows it need not know when an engine compiles, or which one does.
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def compile_listener() -> CompileListener | None:
    """Return who is to be told of compiling, for engines."""
    return _listener.get()


class Predictor(Protocol):
    """A network that answers. Its parameters are copies: change them with `load`."""

    def load(self, parameters: Mapping[str, Array]) -> None:
        """Take new parameters, in memory layout."""

    def logits(self, images: Images, batch_size: int | None = None) -> Array:
        """Return (N, outputs) for images (N, H, W, C), uint8 or float32 in [0, 1]; N may be 0.

        A network that ends in an image gives (N, height, width, channels). An image gets the same bits, whatever comes
        with it, each time that `batch_size` is the same (PyTorch does not promise that); by default, the number of
        images may change its rounding.
        """

    def features(self, images: Images) -> Array:
        """Return (N, features): the flattened output of the convolutional part, in (row, column, channel) order."""

    def peaks(self, images: Images) -> dict[int, Array]:
        """Return the largest value of every feature map: index of a convolution in `graph.nodes` → (N, filters).

        A map counts as it is behind the BatchNorm2d and the activation that directly follow its convolution, where
        there are any; see `peak_sources`. A NaN anywhere in a map makes its peak NaN. Without a convolution the answer
        is empty.
        """

    def outputs(self, images: Images, layers: Sequence[int]) -> dict[int, Array]:
        """Return what some layers give to a few images: index in `graph.nodes` → (N, height, width, channels), or (N,
        values) of a vector. Each layer counts by itself: a convolution in front of its BatchNorm2d and activation.
        """


class TrainProgram(Protocol):
    """A network that learns. It holds the parameters, the buffers and the optimizer's memory."""

    def step(self, images: Images, targets: NDArray[np.generic], learning_rate: float) -> StepResult:
        """Take one optimizer step on images (N, H, W, C), N from 1 to the batch size, and targets as
        `targets.check_targets` gives them.
        """

    def parameters(self) -> State:
        """Copy all that the network stores out, buffers too, in memory layout."""

    def load(self, parameters: Mapping[str, Array]) -> None:
        """Take new parameters; the optimizer's memory stays."""

    def gradients(self) -> State:
        """Copy out the gradients of the last step (of the loss, without weight decay), named like the parameters; those
        that are frozen have none. Only where the settings keep gradients.
        """

    def optimizer_state(self) -> State:
        """Copy out the optimizer's memory and what followers hold: "name/slot" (such as "0.weight/momentum") → array in
        memory layout; see `StepSettings.slots`.
        """

    def load_optimizer_state(self, state: Mapping[str, Array], steps: int) -> None:
        """Take back what `optimizer_state` gave, and the number of steps already taken."""


@runtime_checkable
class SharedTrainProgram(TrainProgram, Protocol):
    """A network that learns from slices, which several processes share."""

    world: World

    def step(
        self, images: Images, targets: NDArray[np.generic], learning_rate: float, whole: int | None = None
    ) -> StepResult:
        """Take one step together with all processes, on this one's images of `whole`; there may be none."""


@runtime_checkable
class AheadProgram(TrainProgram, Protocol):
    """A network that learns on a device of its own, which computes while this process goes on."""

    ahead: int
    """Steps that may be begun before the first of them is read; 0: nothing is gained by that."""

    def begin(self, images: Images, targets: NDArray[np.generic], learning_rate: float) -> Callable[[], StepResult]:
        """Begin a step, and return who tells what it gave, once that is there. Of a program that is shared, with
        `whole` as its `step` has it. Whatever else is asked of the program, it answers as after the last step begun.
        """


class GradientProgram(Protocol):
    """A way back through a network: from a gradient of what a layer gives to that of a value before it. The network
    predicts: nothing is dropped, and normalizations keep to their running averages.
    """

    def run(self, images: Images, gradient: Array) -> tuple[Array, Array]:
        """Return what the layer gives to one image (1, H, W, C), and the gradient of the value, for a gradient of that
        output, both in the shape of (1, …). Of the image it is that of what the first layer takes, normalised.
        """


class Engine(Protocol):
    """A way to run networks."""

    name: str

    def predictor(self, graph: Graph, parameters: Mapping[str, Array], threads: int | None = None) -> Predictor:
        """Make a network that answers, on `threads` threads, as `allowed_threads` understands them."""

    def train_program(
        self, graph: Graph, parameters: Mapping[str, Array], settings: StepSettings, threads: int | None = None
    ) -> TrainProgram:
        """Make a network that learns."""


@runtime_checkable
class GradientEngine(Engine, Protocol):
    """An engine that finds gradients of values too."""

    def gradient_program(
        self, graph: Graph, parameters: Mapping[str, Array], value: int, last: int, threads: int | None = None
    ) -> GradientProgram:
        """Make a way back from layer number `last` to a value that it depends on; -1 is the image."""


@runtime_checkable
class Int8Engine(Engine, Protocol):
    """An engine that predicts in int8 too (docs/int8.md)."""

    def int8_predictor(
        self, graph: Graph, parameters: Mapping[str, Array], scales: Scales, threads: int | None = None
    ) -> Predictor:
        """Make a network that answers in int8: its `logits` are those of `neocog.reference.int8`. What layers give
        (`features`, `peaks`, `outputs`) is that of the float32 network, for who looks inside.

        Arguments:
            graph, parameters, threads: as those of `predictor`.
            scales: of the rounded values of the folded graph.

        Raises:
            SettingError: the scales are those of another network, or a weight is no finite number.
        """


def allowed_threads(threads: int | None = None) -> int:
    """Return the number of threads that an engine computes with: no more than this process may use.

    More than there are processors would wait for each other, and be many times slower; what comes out is the same.

    Arguments:
        threads: as a user asked for them; None: as many as this process may use.

    Raises:
        SettingError: the number is below 1.

    Warns:
        NeocogWarning: there are fewer processors than that.
    """
    if threads is not None and threads < 1:
        raise SettingError(f"threads must be at least 1, got {threads}")
    most = available_threads()
    if threads is None or threads <= most:
        return threads or most
    warning = NeocogWarning(
        f"using {most} of {threads} threads: this process may use {most} processor{'s' if most > 1 else ''}",
        hint=f"where the system tells the number of processors wrongly, set NEOCOG_THREADS={threads}",
    )
    warnings.warn(warning, stacklevel=1)  # of this line, so that the same is told once
    return most


def room_for_peaks(graph: Graph, count: int) -> dict[int, Array]:
    """Return what `peaks` fills in for so many images."""
    return {
        node.index: np.empty((count, node.layer.channels), np.float32)
        for node in graph.nodes
        if isinstance(node.layer, Conv2d)
    }


def check_layers(graph: Graph, layers: Sequence[int]) -> tuple[int, ...]:
    """Return indices of layers, each once, in order.

    Raises:
        SettingError: there is no such layer.
    """
    wrong = [index for index in layers if not 0 <= index < len(graph.nodes)]
    if wrong:
        raise SettingError(f"layers must be indices from 0 to {len(graph.nodes) - 1}, got {wrong[0]}")
    return tuple(sorted(set(layers)))


def output_shape(graph: Graph, index: int) -> tuple[int, ...]:
    """Return the shape of what a layer gives to one image: (height, width, channels) or (values,)."""
    return _sides(graph.nodes[index].output)


def value_shape(graph: Graph, value: int) -> tuple[int, ...]:
    """Return the shape of a value of one image: of what a layer gives, or for -1 of the image itself."""
    return _sides(graph.input) if value == IMAGE else output_shape(graph, value)


def _sides(shape: Shape) -> tuple[int, ...]:
    return (shape.height, shape.width, shape.channels) if isinstance(shape, ImageShape) else (shape.size,)


def check_images(graph: Graph, images: NDArray[np.generic]) -> Images:
    """Return `images` as the contiguous uint8 or float32 array (N, H, W, C) that engines take.

    Raises:
        ShapeError: the images are not of the network's size.
        DataError: the values are neither uint8 nor floating-point.
    """
    images = check_batch(graph, images)
    if images.dtype.kind == "f":
        return np.ascontiguousarray(images, dtype=np.float32)
    return np.ascontiguousarray(images, dtype=np.uint8)


def followed_values(train_program: TrainProgram, follower: Follower) -> State:
    """Return the variables of a network as a follower holds them; what is frozen, as it is."""
    kept = train_program.optimizer_state()
    return {name: kept.get(f"{name}/{follower.name}", value) for name, value in train_program.parameters().items()}


def check_memory(slots: Mapping[str, Parameter], state: Mapping[str, NDArray[np.generic]]) -> None:
    """Raise ShapeError unless `state` is what is kept beside variables; see `StepSettings.slots`."""
    wanted = {name: variable.shape for name, variable in slots.items()}
    if set(state) != set(wanted):
        faults = [f"missing: {name}" for name in wanted if name not in state]
        faults += [f"unknown: {name}" for name in state if name not in wanted]
        more = [f"and {len(faults) - _SHOWN:,} more"] if len(faults) > _SHOWN else []
        raise ShapeError(
            "the optimizer state must match the network and what of it is trained", details=(*faults[:_SHOWN], *more)
        )
    for name, shape in wanted.items():
        if state[name].shape != shape:
            raise ShapeError(f"memory {name} must have the shape {shape}, got {state[name].shape}")
