"""The reference engine: NumPy in float64, slow and plain. Every other engine is checked against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from neocog.engines.base import (
    Array,
    Images,
    State,
    StepResult,
    StepSettings,
    check_images,
    check_layers,
    check_memory,
    output_shape,
    peak_sources,
    room_for_peaks,
)
from neocog.engines.room import check_room
from neocog.engines.targets import check_targets
from neocog.errors import ShapeError
from neocog.nn.graph import Graph
from neocog.nn.parameters import check_parameters
from neocog.nn.rewrite import fold_norms
from neocog.nn.scales import Scales
from neocog.reference import int8, loss, optimizer
from neocog.reference.network import Draw, backward, forward

Exact = dict[str, NDArray[np.float64]]
CHUNK = 256  # images that a prediction takes at a time: float64 activations are large


def _widen(values: Mapping[str, NDArray[np.generic]]) -> Exact:
    return {name: np.array(value, np.float64) for name, value in values.items()}


def _narrow(values: Exact) -> State:
    return {name: value.astype(np.float32) for name, value in values.items()}


class ReferencePredictor:
    """A network that answers.

    `exact_parameters` are what it computes with; `exact_logits`, `exact_features` and `exact_peaks` give float64.
    """

    def __init__(self, graph: Graph, parameters: Mapping[str, Array]) -> None:
        self.graph = graph
        self.load(parameters)

    def load(self, parameters: Mapping[str, NDArray[np.generic]]) -> None:
        """Take new parameters, in memory layout."""
        check_parameters(self.graph, parameters)
        self.exact_parameters = _widen(parameters)

    def logits(self, images: Images, batch_size: int | None = None) -> Array:
        """Return the answers to images (N, H, W, C), uint8 or float32 in [0, 1]; see engines/base.py."""
        return self.exact_logits(images).astype(np.float32)

    def features(self, images: Images) -> Array:
        """Return (N, features): the flattened output of the convolutional part, in (row, column, channel) order."""
        return self.exact_features(images).astype(np.float32)

    def peaks(self, images: Images) -> dict[int, Array]:
        """Return the largest value of every feature map; see engines/base.py."""
        return {index: peak.astype(np.float32) for index, peak in self.exact_peaks(images).items()}

    def outputs(self, images: Images, layers: Sequence[int]) -> dict[int, Array]:
        """Return what some layers give; see engines/base.py."""
        return {index: output.astype(np.float32) for index, output in self.exact_outputs(images, layers).items()}

    def exact_outputs(self, images: Images, layers: Sequence[int]) -> dict[int, NDArray[np.float64]]:
        """Return what some layers give in float64."""
        images, layers = check_images(self.graph, images), check_layers(self.graph, layers)
        _check_room(self.graph, len(images))
        found = forward(self.graph, self.exact_parameters, images, last=max(layers, default=-1)).outputs
        return {index: found[index].reshape(-1, *output_shape(self.graph, index)) for index in layers}

    def exact_logits(self, images: Images) -> NDArray[np.float64]:
        """Return the logits in float64."""
        answers = self._outputs(images, len(self.graph.nodes) - 1)
        return answers.reshape(len(answers), *self.graph.answer_shape)

    def exact_features(self, images: Images) -> NDArray[np.float64]:
        """Return the features in float64."""
        return self._outputs(images, self.graph.feature_node)

    def exact_peaks(self, images: Images) -> dict[int, NDArray[np.float64]]:
        """Return the largest value of every feature map in float64."""
        images = check_images(self.graph, images)
        result = {i: np.empty(room.shape) for i, room in room_for_peaks(self.graph, len(images)).items()}
        _check_room(self.graph, len(images))
        for start in range(0, len(images), CHUNK):
            chunk = slice(start, start + CHUNK)
            outputs = forward(self.graph, self.exact_parameters, images[chunk]).outputs
            for index, source in peak_sources(self.graph).items():
                result[index][chunk] = outputs[source].max(axis=(1, 2))
        return result

    def _outputs(self, images: Images, index: int) -> NDArray[np.float64]:
        """Return what a layer gives, flattened."""
        images = check_images(self.graph, images)
        result = np.empty((len(images), self.graph.nodes[index].output.size))
        _check_room(self.graph, len(images))
        for start in range(0, len(images), CHUNK):
            chunk = slice(start, start + CHUNK)
            run = forward(self.graph, self.exact_parameters, images[chunk], last=index)
            result[chunk] = run.outputs[index].reshape(-1, result.shape[1])
        return result


class Int8ReferencePredictor(ReferencePredictor):
    """A network that answers in int8, number for number as docs/int8.md has it."""

    def __init__(self, graph: Graph, parameters: Mapping[str, Array], scales: Scales) -> None:
        self._folded, self._scales = fold_norms(graph), scales
        scales.check(self._folded.graph)
        super().__init__(graph, parameters)

    def load(self, parameters: Mapping[str, NDArray[np.generic]]) -> None:
        """Take new parameters, in memory layout."""
        super().load(parameters)
        self._parameters = self._folded.fold({name: np.asarray(v, np.float32) for name, v in parameters.items()})

    def logits(self, images: Images, batch_size: int | None = None) -> Array:
        """Return the answers to images (N, H, W, C), uint8 or float32 in [0, 1]; see engines/base.py."""
        images, graph = check_images(self.graph, images), self._folded.graph
        result = np.empty((len(images), *graph.answer_shape), np.float32)
        _check_room(graph, len(images))
        for start in range(0, len(images), CHUNK):
            outputs, _ = int8.forward(graph, self._parameters, images[start : start + CHUNK], self._scales)
            result[start : start + CHUNK] = outputs[-1].reshape(-1, *graph.answer_shape)
        return result


def _check_room(graph: Graph, count: int) -> None:
    """Raise EngineError where what the layers give for so many images, all of it kept, is more than fits."""
    values = graph.input.size + sum(node.output.size for node in graph.nodes)
    images = min(count, CHUNK)
    check_room(f"prediction of {images} images", 8 * images * values)


class ReferenceTrainProgram:
    """A network that learns. Its state is float64; what the protocol's methods copy out is rounded to float32.

    Attributes:
        exact_parameters: name → float64 array, buffers too.
        exact_gradients: those of the last step; empty before the first.
        exact_memory: "name/slot" → float64 array.
        exact_logits: those of the last step.
        steps: number of steps taken.
    """

    def __init__(self, graph: Graph, parameters: Mapping[str, Array], settings: StepSettings) -> None:
        settings.loss.check_outputs(graph.classes)
        self.graph = graph
        self.settings = settings
        self.steps = 0
        self.exact_gradients: Exact = {}
        self.exact_logits: NDArray[np.float64] = np.empty((0, *graph.answer_shape))
        self.load(parameters)
        self._rules, self._slots = settings.rules(graph), settings.slots(graph)
        self._followed = [variable.name for variable in settings.followed(graph)]
        self.exact_memory: Exact = {
            f"{name}/{kind}": array
            for name, rule in self._rules.items()
            for kind, array in optimizer.initial_memory(rule.optimizer, self.exact_parameters[name]).items()
        }
        for follower in settings.followers:
            for name in self._followed:
                self.exact_memory[f"{name}/{follower.name}"] = self.exact_parameters[name].copy()

    def step(self, images: Images, targets: NDArray[np.generic], learning_rate: float) -> StepResult:
        """Take one optimizer step on images (N, H, W, C), N from 1 to the batch size."""
        images = check_images(self.graph, images)
        targets = check_targets(self.graph, self.settings.loss, targets, len(images))
        if not 1 <= len(images) <= self.settings.batch_size:
            raise ShapeError(f"a step takes 1 to {self.settings.batch_size} images, got {len(images)}")
        self.steps += 1
        run = forward(self.graph, self.exact_parameters, images, Draw(self.settings.seed, self.steps))
        value = loss.forward(self.settings.loss, run.logits, targets)
        d_logits = loss.backward(self.settings.loss, run.logits, targets)
        self.exact_logits = run.logits
        gradients = backward(self.graph, self.exact_parameters, run, d_logits).parameters
        self.exact_gradients = {name: gradients[name] for name in self._rules}
        self.exact_parameters |= run.buffers
        self._update(learning_rate)
        return StepResult(value, run.logits.astype(np.float32))

    def _update(self, learning_rate: float) -> None:
        gradients = optimizer.clipped(self.settings.clip, self.exact_gradients)
        for name, rule in self._rules.items():
            memory = {kind: self.exact_memory[f"{name}/{kind}"] for kind in rule.optimizer.memory}
            self.exact_parameters[name], memory = optimizer.update(
                rule.optimizer,
                self.exact_parameters[name],
                optimizer.penalised(rule.penalty, self.exact_parameters[name], gradients[name]),
                memory,
                learning_rate=learning_rate * rule.rate(self.steps),
                step=self.steps,
            )
            self.exact_memory |= {f"{name}/{kind}": array for kind, array in memory.items()}
        for follower in self.settings.followers:
            for name in self._followed:
                key = f"{name}/{follower.name}"
                self.exact_memory[key] = follower.follow(self.exact_memory[key], self.exact_parameters[name])

    def parameters(self) -> State:
        """Copy all that the network stores out, buffers too, in memory layout."""
        return _narrow(self.exact_parameters)

    def load(self, parameters: Mapping[str, NDArray[np.generic]]) -> None:
        """Take new parameters; the optimizer's memory stays."""
        check_parameters(self.graph, parameters)
        self.exact_parameters = _widen(parameters)

    def gradients(self) -> State:
        """Copy out the gradients of the last step (of the loss, without weight decay), named like the parameters."""
        return _narrow(self.exact_gradients)

    def optimizer_state(self) -> State:
        """Copy out the optimizer's memory: "name/memory" → array in memory layout."""
        return _narrow(self.exact_memory)

    def load_optimizer_state(self, state: Mapping[str, NDArray[np.generic]], steps: int) -> None:
        """Take the optimizer's memory back, and the number of steps already taken."""
        check_memory(self._slots, state)
        self.exact_memory = _widen(state)
        self.steps = steps


class ReferenceGradientProgram:
    """A way back through a network. `exact_run` gives float64."""

    def __init__(self, graph: Graph, parameters: Mapping[str, Array], value: int, last: int) -> None:
        check_parameters(graph, parameters)
        self._graph, self._parameters, self._value, self._last = graph, _widen(parameters), value, last

    def run(self, images: Images, gradient: Array) -> tuple[Array, Array]:
        """Return the output, and the gradient of the value; see engines/base.py."""
        output, found = self.exact_run(images, gradient.astype(np.float64))
        return output.astype(np.float32), found.astype(np.float32)

    def exact_run(
        self, images: Images, gradient: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return both in float64."""
        graph, images = self._graph, check_images(self._graph, images)
        run = forward(graph, self._parameters, images, last=self._last)
        found = backward(graph, self._parameters, run, gradient, start=self._last, image=True).outputs[self._value]
        return run.outputs[-1], found


class ReferenceEngine:
    """NumPy in float64. `threads` is accepted and ignored."""

    name = "reference"

    def predictor(
        self, graph: Graph, parameters: Mapping[str, Array], threads: int | None = None
    ) -> ReferencePredictor:
        """Make a network that answers."""
        return ReferencePredictor(graph, parameters)

    def int8_predictor(
        self, graph: Graph, parameters: Mapping[str, Array], scales: Scales, threads: int | None = None
    ) -> Int8ReferencePredictor:
        """Make a network that answers in int8."""
        return Int8ReferencePredictor(graph, parameters, scales)

    def train_program(
        self, graph: Graph, parameters: Mapping[str, Array], settings: StepSettings, threads: int | None = None
    ) -> ReferenceTrainProgram:
        """Make a network that learns."""
        return ReferenceTrainProgram(graph, parameters, settings)

    def gradient_program(
        self, graph: Graph, parameters: Mapping[str, Array], value: int, last: int, threads: int | None = None
    ) -> ReferenceGradientProgram:
        """Make a way back."""
        return ReferenceGradientProgram(graph, parameters, value, last)
