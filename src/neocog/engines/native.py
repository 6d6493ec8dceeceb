"""The native engine: networks compiled to machine code for their exact shapes on this machine."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from neocog.emit.slots import (
    COUNT_SLOT,
    FIRST_SCALAR_SLOT,
    IMAGES_SLOT,
    KIND_FLOAT,
    KIND_SLOT,
    KIND_UINT8,
    LEARNING_RATE_SLOT,
    LOSS_WEIGHTS_SLOT,
    STEP_SLOT,
    TARGET_KIND_SLOT,
    TARGET_LABELS,
    TARGET_ROWS,
    TARGETS_SLOT,
)
from neocog.engines.base import (
    Array,
    Compiling,
    Images,
    State,
    StepResult,
    StepSettings,
    allowed_threads,
    check_images,
    check_layers,
    check_memory,
    compile_listener,
    output_shape,
    room_for_peaks,
)
from neocog.engines.room import check_room
from neocog.engines.targets import check_targets, loss_weights
from neocog.errors import SettingError
from neocog.forks import tell_of_forks
from neocog.jit.cache import ObjectCache
from neocog.jit.executable import Executable, aligned_zeros
from neocog.jit.host import host_target, with_tiles
from neocog.jit.team import Team
from neocog.nn.graph import Graph
from neocog.nn.parameters import Parameter, check_parameters, parameters_of, variables_of
from neocog.nn.random import dropout_key
from neocog.nn.rewrite import fold_norms
from neocog.plan.algorithm import Algorithm
from neocog.plan.blocked import Precision
from neocog.plan.layout import Space, Tensor, Vectors
from neocog.plan.parameters import ParameterLayout, ParameterPlace, lay_out_parameters, memory_of
from neocog.plan.planner import plan_program
from neocog.plan.program import FEATURES, FIRST_KEY_SLOT, LOGITS, PEAKS, Program, Training
from neocog.target.processor import Target

PREDICTION_BATCHES = (1, 8, 64)  # sizes that prediction programs are made for, on demand
PEAKS_BATCH = 64  # peaks are asked for many images, so that one size will do


class NativeEngine:
    """Compiles networks for this machine, or for another `target` whose instructions it has.

    `algorithm` overrides the rule by which convolutions are computed: "direct" or "winograd" (where possible).
    """

    name = "native"

    def __init__(
        self,
        target: Target | None = None,
        cache: ObjectCache | None = None,
        algorithm: Algorithm = "auto",
        precision: Precision = "float32",
    ) -> None:
        self.target = target or (host_target() if precision == "float32" else with_tiles(host_target()))
        self.cache = cache or ObjectCache()
        self.algorithm = algorithm
        self.precision: Precision = precision

    def predictor(self, graph: Graph, parameters: Mapping[str, Array], threads: int | None = None) -> NativePredictor:
        """Make a network that answers; see engines/base.py."""
        return NativePredictor(self, graph, parameters, _team(threads, self.cache))

    def train_program(
        self, graph: Graph, parameters: Mapping[str, Array], settings: StepSettings, threads: int | None = None
    ) -> NativeTrainProgram:
        """Make a network that learns; see engines/base.py."""
        return NativeTrainProgram(self, graph, parameters, settings, _team(threads, self.cache))


def _team(threads: int | None, cache: ObjectCache) -> Team:
    return Team(allowed_threads(threads), cache)


def _read(flat: NDArray[np.float32], place: ParameterPlace, parameter: Parameter) -> Array:
    """Copy one parameter, or what lies in memory like it, out of a block."""
    block = flat[place.offset : place.offset + place.size]
    if isinstance(place, Vectors):
        return block[: place.channels].copy()
    view = block.reshape(place.count, place.rows, place.width)
    matrix = view.transpose(1, 0, 2).reshape(place.rows, place.count * place.width)
    return matrix[:, : place.columns].copy().reshape(parameter.shape)


def _write(flat: NDArray[np.float32], layout: ParameterLayout, parameter: Parameter, value: Array) -> None:
    place = layout.places[parameter.name]
    block = flat[place.offset : place.offset + place.size]
    if isinstance(place, Vectors):
        block[: place.channels] = value
        return
    matrix = np.zeros((place.rows, place.count * place.width), np.float32)
    matrix[:, : place.columns] = value.reshape(place.rows, place.columns)
    block.reshape(place.count, place.rows, place.width)[...] = matrix.reshape(
        place.rows, place.count, place.width
    ).transpose(1, 0, 2)


def _set_images(executable: Executable, images: Images) -> None:
    executable.set_integer(IMAGES_SLOT, _address(images))
    executable.set_integer(COUNT_SLOT, len(images))
    executable.set_integer(KIND_SLOT, KIND_UINT8 if images.itemsize == 1 else KIND_FLOAT)


def _address(images: Images) -> int:
    """Return where images lie. NumPy takes a microsecond to say so, a thirtieth of a short prediction."""
    if images.flags.writeable and images.size:
        return ctypes.addressof(ctypes.c_char.from_buffer(images.data))
    return images.ctypes.data


Kind = TypeVar("Kind", bound=Executable)


def make(engine: NativeEngine, program: Program, state: NDArray[np.uint8], team: Team, kind: type[Kind]) -> Kind:
    """Compile a program, and tell who listens.

    Raises:
        EngineError: it needs more memory than there is.
    """
    title = f"{program.purpose}, batch {program.batch}"
    check_room(title, len(state) + program.size(Space.ARENA) + team.size * program.size(Space.SCRATCH))
    listener = compile_listener()
    if listener is None:
        return kind(program, state, engine.cache)
    return kind(program, state, engine.cache, lambda part, done, total: listener(Compiling(title, part, done, total)))


class ReadAnswers:
    """A tensor of a program, from which answers are copied: one row of values for each image."""

    def __init__(self, executable: Executable, tensor: Tensor) -> None:
        self._view = executable.view(tensor)
        self._shape = self._view.shape[1:]
        self._rows = self._view[:, 0, 0] if self._shape[:2] == (1, 1) else None
        self.width = tensor.height * tensor.width * tensor.channels

    def copied(self, count: int) -> Array:
        """Return a copy of the first images' answers (count, width)."""
        if self._rows is not None:
            return self._rows[:count].copy()
        return self._view[:count].copy().reshape(count, self.width)

    def copy(self, answers: Array) -> None:
        """Copy the first images out, as many as `answers` (count, width) has rows."""
        count = len(answers)
        answers.reshape(count, *self._shape)[...] = self._view[:count]


@dataclass(frozen=True, slots=True)
class _Prediction:
    """A program that predicts, and where its answers lie."""

    executable: Executable
    logits: ReadAnswers
    features: ReadAnswers


class _LayerOutputs:
    """A program that gives what layers gave, each by itself: no normalization is folded into another layer."""

    def __init__(self, engine: NativeEngine, graph: Graph, layers: tuple[int, ...], team: Team) -> None:
        self._apart = fold_norms(graph, apart=True)
        names = [graph.nodes[index].name for index in layers]
        program = plan_program(
            self._apart.graph,
            1,
            engine.target,
            algorithm=engine.algorithm,
            outputs=names,
            precision=engine.precision,
        )
        self.layers = layers
        self._graph, self._team, self._layout = graph, team, program.parameters
        self._state = aligned_zeros(self._layout.size * 4)
        self._executable = make(engine, program, self._state, team, Executable)
        self._answers = [ReadAnswers(self._executable, program.outputs[name]) for name in names]

    def load(self, parameters: Mapping[str, Array]) -> None:
        """Take new parameters."""
        parameters = self._apart.fold(parameters)
        for variable in variables_of(self._apart.graph):
            _write(self._state.view(np.float32), self._layout, variable, parameters[variable.name])
        self._executable.prepare()

    def of(self, images: Images) -> dict[int, Array]:
        """Return what the layers give, one image after the other."""
        shapes = {index: output_shape(self._graph, index) for index in self.layers}
        found = {index: np.empty((len(images), *shapes[index]), np.float32) for index in self.layers}
        for start in range(len(images)):
            _set_images(self._executable, images[start : start + 1])
            self._executable.run(self._team)
            for index, answers in zip(self.layers, self._answers, strict=True):
                answers.copy(found[index][start : start + 1].reshape(1, answers.width))
        return found


@dataclass(frozen=True, slots=True)
class _Peaks:
    """A program that finds peaks, and where those of each convolution lie."""

    executable: Executable
    layers: dict[int, ReadAnswers]


def _program_size(count: int) -> int:
    """Choose the size of the program for so many images."""
    for size in PREDICTION_BATCHES:
        if count <= size:
            return size
    return PREDICTION_BATCHES[-1]


class NativePredictor:
    """A compiled network that answers. Programs for each batch size are made on first use."""

    def __init__(self, engine: NativeEngine, graph: Graph, parameters: Mapping[str, Array], team: Team) -> None:
        self._engine, self._graph, self._team = engine, graph, team
        self._folded, self._shape = fold_norms(graph), graph.answer_shape
        self._layout = lay_out_parameters(self._folded.graph, engine.target)
        self._state = aligned_zeros(self._layout.size * 4)
        self._programs: dict[int, _Prediction] = {}
        self._peaks: _Peaks | None = None
        self._outputs: _LayerOutputs | None = None  # of the layers that were asked for last
        self._parameters = parameters
        # A program works in memory of its own: two Python threads that ask at once take turns.
        self._lock = threading.Lock()
        tell_of_forks(self)
        self.load(parameters)

    def after_fork(self) -> None:
        """Open the lock, which a thread of the parent may have held."""
        self._lock = threading.Lock()

    @property
    def threads(self) -> int:
        """How many threads it computes on."""
        return self._team.size

    def load(self, parameters: Mapping[str, Array]) -> None:
        """Take new parameters, in memory layout."""
        check_parameters(self._graph, parameters)
        self._parameters = parameters
        parameters = self._folded.fold(parameters)
        flat = self._state.view(np.float32)
        with self._lock:
            if self._outputs is not None:
                self._outputs.load(self._parameters)
            for variable in variables_of(self._folded.graph):
                _write(flat, self._layout, variable, parameters[variable.name])
            for prediction in self._programs.values():
                prediction.executable.prepare()
            if self._peaks is not None:
                self._peaks.executable.prepare()

    def logits(self, images: Images, batch_size: int | None = None) -> Array:
        """Return (N, outputs), or (N, H, W, outputs), for images (N, H, W, C); see engines/base.py."""
        logits = self._run(images, batch_size, features=False)
        return logits if len(self._shape) == 1 else logits.reshape(-1, *self._shape)

    def features(self, images: Images) -> Array:
        """Return (N, features) for images (N, H, W, C)."""
        return self._run(images, None, features=True)

    def peaks(self, images: Images) -> dict[int, Array]:
        """Return the largest value of every feature map; see engines/base.py. The first call makes a program."""
        images = check_images(self._graph, images)
        answers = room_for_peaks(self._graph, len(images))
        if answers:
            with self._lock:
                self._find_peaks(images, answers)
        return answers

    def outputs(self, images: Images, layers: Sequence[int]) -> dict[int, Array]:
        """Return what some layers give; see engines/base.py. The first call for these layers makes a program."""
        images, layers = check_images(self._graph, images), check_layers(self._graph, layers)
        if not layers:
            return {}
        with self._lock:
            if self._outputs is None or self._outputs.layers != layers:
                self._outputs = _LayerOutputs(self._engine, self._graph, layers, self._team)
                self._outputs.load(self._parameters)
            return self._outputs.of(images)

    def _find_peaks(self, images: Images, answers: dict[int, Array]) -> None:
        if self._peaks is None:
            self._peaks = self._peaks_program()
        executable = self._peaks.executable
        for start in range(0, len(images), PEAKS_BATCH):
            _set_images(executable, images[start : start + PEAKS_BATCH])
            executable.run(self._team)
            for layer, found in self._peaks.layers.items():
                found.copy(answers[layer][start : start + PEAKS_BATCH])

    def _run(self, images: Images, batch_size: int | None, *, features: bool) -> Array:
        images = check_images(self._graph, images)
        with self._lock:
            return self._run_alone(images, _program_size(batch_size or len(images)), features=features)

    def _run_alone(self, images: Images, batch: int, *, features: bool) -> Array:
        count = len(images)
        prediction = self._programs.get(batch) or self._prediction(batch)
        wanted = prediction.features if features else prediction.logits
        if 0 < count <= batch:
            _set_images(prediction.executable, images)
            prediction.executable.run(self._team)
            return wanted.copied(count)
        answers = np.empty((count, wanted.width), np.float32)
        for start in range(0, count, batch):
            _set_images(prediction.executable, images[start : start + batch])
            prediction.executable.run(self._team)
            wanted.copy(answers[start : start + batch])
        return answers

    def executable(self, count: int) -> Executable:
        """Return the compiled program for so many images at a time, for measurements and plan dumps."""
        batch = _program_size(count)
        return (self._programs.get(batch) or self._prediction(batch)).executable

    def _prediction(self, batch: int) -> _Prediction:
        program = plan_program(
            self._folded.graph,
            batch,
            self._engine.target,
            algorithm=self._engine.algorithm,
            precision=self._engine.precision,
        )
        executable = make(self._engine, program, self._state, self._team, Executable)
        executable.prepare()
        logits, features = (ReadAnswers(executable, program.outputs[name]) for name in (LOGITS, FEATURES))
        prediction = self._programs[batch] = _Prediction(executable, logits, features)
        return prediction

    def _peaks_program(self) -> _Peaks:
        program = plan_program(
            self._folded.graph,
            PEAKS_BATCH,
            self._engine.target,
            algorithm=self._engine.algorithm,
            outputs=(PEAKS,),
            precision=self._engine.precision,
        )
        executable = make(self._engine, program, self._state, self._team, Executable)
        executable.prepare()
        return _Peaks(
            executable,
            {
                self._folded.index_in_source(layer): ReadAnswers(executable, peak)
                for layer, peak in program.peaks.items()
            },
        )


class NativeTrainProgram:
    """A compiled network that learns."""

    _kind: type[Executable] = Executable

    def __init__(
        self, engine: NativeEngine, graph: Graph, parameters: Mapping[str, Array], settings: StepSettings, team: Team
    ) -> None:
        self._graph, self._settings, self._team = graph, settings, team
        settings.loss.check_outputs(graph.classes)
        training = Training(
            settings.loss,
            settings.optimizer,
            settings.groups,
            settings.frozen,
            settings.followers,
            settings.clip,
            settings.penalty,
            settings.keeps_gradients,
            settings.slicing,
        )
        batch = settings.batch_size if settings.slicing is None else settings.slicing.width(settings.batch_size)
        program = plan_program(graph, batch, engine.target, training, engine.algorithm)
        self._layout = program.parameters
        self._rules, self._slots = settings.rules(graph), settings.slots(graph)
        self._executable = make(engine, program, aligned_zeros(program.size(Space.STATE)), team, self._kind)
        assert program.losses is not None
        self._logits = ReadAnswers(self._executable, program.outputs[LOGITS])
        self._losses = self._executable.view(program.losses)
        self._steps = 0
        self._given: tuple[Images, NDArray[np.generic], Array | None] | None = None
        self._lock = threading.Lock()
        tell_of_forks(self)
        self.load(parameters)
        for follower in settings.followers:
            for variable in settings.followed(graph):
                self._write_slot(f"{variable.name}/{follower.name}", parameters[variable.name])

    def after_fork(self) -> None:
        """Open the lock, which a thread of the parent may have held."""
        self._lock = threading.Lock()

    @property
    def threads(self) -> int:
        """How many threads it computes on."""
        return self._team.size

    @property
    def executable(self) -> Executable:
        """The compiled program, for measurements and plan dumps."""
        return self._executable

    def step(self, images: Images, targets: NDArray[np.generic], learning_rate: float) -> StepResult:
        """Take one optimizer step; see engines/base.py."""
        images = check_images(self._graph, images)
        most = self._executable.program.batch
        if not 0 < len(images) <= most:
            raise SettingError(f"a step takes 1 to {most} images, got {len(images)}")
        # Emitted code trusts the labels: one out of range would read past the logits.
        targets = check_targets(self._graph, self._settings.loss, targets, len(images))
        with self._lock:
            return self._step_alone(images, targets, learning_rate)

    def _step_alone(self, images: Images, targets: NDArray[np.generic], learning_rate: float) -> StepResult:
        executable = self._executable
        self._steps += 1
        weights = loss_weights(self._settings.loss, targets, self._graph.classes)
        self._set_batch(executable, images, targets, weights)
        self._given = images, targets, weights  # kept, since the program knows their addresses
        self._set_scalars(executable, learning_rate)
        executable.run(self._team)
        logits = self._logits.copied(len(images))
        loss = float(self._losses[: len(images)].mean(dtype=np.float64))
        return StepResult(loss, logits.reshape(len(images), *self._graph.answer_shape))

    def _set_batch(
        self, executable: Executable, images: Images, targets: NDArray[np.generic], weights: Array | None
    ) -> None:
        """Tell a program where its images and targets lie, and the weights of the loss."""
        _set_images(executable, images)
        executable.set_integer(TARGETS_SLOT, targets.ctypes.data)
        executable.set_integer(TARGET_KIND_SLOT, TARGET_LABELS if targets.dtype.kind == "i" else TARGET_ROWS)
        executable.set_integer(LOSS_WEIGHTS_SLOT, 0 if weights is None else weights.ctypes.data)

    def _set_scalars(self, executable: Executable, learning_rate: float, part: int = 0) -> None:
        """Tell a program what hangs on the step; `part` is which of several parts of the batch it computes."""
        executable.set_float(LEARNING_RATE_SLOT, learning_rate)
        executable.set_float(STEP_SLOT, float(self._steps))
        for position, scalar in enumerate(self._settings.optimizer.scalars(self._steps)):
            executable.set_float(FIRST_SCALAR_SLOT + position, scalar)
        for position, layer in enumerate(executable.program.dropouts):
            stream = self._graph.nodes[layer].stream
            executable.set_integer(
                FIRST_KEY_SLOT + position, dropout_key(self._settings.seed, self._steps, stream, part)
            )

    def parameters(self) -> State:
        """Copy the parameters and buffers out, in memory layout."""
        return {
            variable.name: _read(self._block(variable), self._layout.places[variable.name], variable)
            for variable in variables_of(self._graph)
        }

    def _block(self, variable: Parameter) -> NDArray[np.float32]:
        """Return the memory in which a variable lies."""
        return self._executable.array(Space.STATE, self._layout.places[variable.name].name)

    def gradients(self) -> State:
        """Copy the gradients of the last step out, in memory layout."""
        assert self._settings.keeps_gradients, "others were written over them"
        found = {}
        for parameter in parameters_of(self._graph):
            if parameter.name in self._rules:
                place = self._layout.gradient(parameter.name)
                found[parameter.name] = _read(self._executable.array(*place.memory), place, parameter)
        return found

    def load(self, parameters: Mapping[str, Array]) -> None:
        """Take new parameters; the optimizer's memory stays."""
        check_parameters(self._graph, parameters)
        for variable in variables_of(self._graph):
            _write(self._block(variable), self._layout, variable, parameters[variable.name])

    def optimizer_state(self) -> State:
        """Copy out what is kept beside the variables: "name/slot" → array."""
        return {
            key: _read(self._slot(key), self._layout.places[variable.name], variable)
            for key, variable in self._slots.items()
        }

    def _slot(self, key: str) -> NDArray[np.float32]:
        """Return the memory in which a slot of a variable lies."""
        block = self._layout.places[self._slots[key].name].name
        return self._executable.array(Space.STATE, memory_of(key.rpartition("/")[2], block))

    def _write_slot(self, key: str, value: Array) -> None:
        _write(self._slot(key), self._layout, self._slots[key], value)

    def load_optimizer_state(self, state: Mapping[str, Array], steps: int) -> None:
        """Take back what `optimizer_state` gave, and the number of steps taken."""
        check_memory(self._slots, state)
        for key in self._slots:
            self._write_slot(key, state[key])
        self._steps = steps
