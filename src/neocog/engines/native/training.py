"""A compiled network that learns."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from neocog.emit.slots import (
    FIRST_SCALAR_SLOT,
    LEARNING_RATE_SLOT,
    LOSS_WEIGHTS_SLOT,
    STEP_SLOT,
    TARGET_KIND_SLOT,
    TARGET_LABELS,
    TARGET_ROWS,
    TARGETS_SLOT,
)
from neocog.engines.base import Array, Images, State, StepResult, StepSettings, check_images, check_memory
from neocog.engines.native.calls import Compiler, ReadAnswers, make, set_images
from neocog.engines.native.parameters import read_parameter, write_parameter
from neocog.engines.targets import check_targets, loss_weights
from neocog.errors import SettingError
from neocog.forks import tell_of_forks
from neocog.jit.executable import Executable, aligned_zeros
from neocog.jit.team import Team
from neocog.nn.graph import Graph
from neocog.nn.parameters import Parameter, check_parameters, parameters_of, variables_of
from neocog.nn.random import dropout_key
from neocog.plan.layout import Space
from neocog.plan.parameters import memory_of
from neocog.plan.planner import plan_program
from neocog.plan.program import FIRST_KEY_SLOT, LOGITS, Training


class NativeTrainProgram:
    """A compiled network that learns."""

    _kind: type[Executable] = Executable

    def __init__(
        self, compiler: Compiler, graph: Graph, parameters: Mapping[str, Array], settings: StepSettings, team: Team
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
        program = plan_program(
            graph, batch, compiler.target, training, compiler.algorithm, precision=compiler.precision
        )
        self._layout = program.parameters
        self._rules, self._slots = settings.rules(graph), settings.slots(graph)
        self._executable = make(compiler.cache, program, aligned_zeros(program.size(Space.STATE)), team, self._kind)
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
        set_images(executable, images)
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
            variable.name: read_parameter(self._block(variable), self._layout.places[variable.name], variable)
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
                found[parameter.name] = read_parameter(self._executable.array(*place.memory), place, parameter)
        return found

    def load(self, parameters: Mapping[str, Array]) -> None:
        """Take new parameters; the optimizer's memory stays."""
        check_parameters(self._graph, parameters)
        for variable in variables_of(self._graph):
            write_parameter(self._block(variable), self._layout, variable, parameters[variable.name])

    def optimizer_state(self) -> State:
        """Copy out what is kept beside the variables: "name/slot" → array."""
        return {
            key: read_parameter(self._slot(key), self._layout.places[variable.name], variable)
            for key, variable in self._slots.items()
        }

    def _slot(self, key: str) -> NDArray[np.float32]:
        """Return the memory in which a slot of a variable lies."""
        block = self._layout.places[self._slots[key].name].name
        return self._executable.array(Space.STATE, memory_of(key.rpartition("/")[2], block))

    def _write_slot(self, key: str, value: Array) -> None:
        write_parameter(self._slot(key), self._layout, self._slots[key], value)

    def load_optimizer_state(self, state: Mapping[str, Array], steps: int) -> None:
        """Take back what `optimizer_state` gave, and the number of steps taken."""
        check_memory(self._slots, state)
        for key in self._slots:
            self._write_slot(key, state[key])
        self._steps = steps
