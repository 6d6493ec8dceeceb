"""A compiled network that answers."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from neocog.engines.base import Array, Images, check_images, check_layers, output_shape, room_for_peaks
from neocog.engines.native.calls import Compiler, ReadAnswers, make, set_images
from neocog.engines.native.parameters import write_parameter, write_parameters
from neocog.forks import tell_of_forks
from neocog.jit.executable import Executable, aligned_zeros
from neocog.jit.team import Team
from neocog.nn.graph import Graph
from neocog.nn.parameters import check_parameters, variables_of
from neocog.nn.rewrite import fold_norms
from neocog.nn.scales import Scales
from neocog.plan.parameters import lay_out_parameters
from neocog.plan.planner import plan_program
from neocog.plan.program import FEATURES, LOGITS, PEAKS

PREDICTION_BATCHES = (1, 8, 64)  # sizes that prediction programs are made for, on demand
PEAKS_BATCH = 64  # peaks are asked for many images, so that one size will do


@dataclass(frozen=True, slots=True)
class _Prediction:
    """A program that predicts, and where its answers lie."""

    executable: Executable
    logits: ReadAnswers
    features: ReadAnswers


class _LayerOutputs:
    """A program that gives what layers gave, each by itself: no normalization is folded into another layer."""

    def __init__(self, compiler: Compiler, graph: Graph, layers: tuple[int, ...], team: Team) -> None:
        self._apart = fold_norms(graph, apart=True)
        names = [graph.nodes[index].name for index in layers]
        program = plan_program(
            self._apart.graph,
            1,
            compiler.target,
            algorithm=compiler.algorithm,
            outputs=names,
            precision=compiler.precision,
        )
        self.layers = layers
        self._graph, self._team, self._layout = graph, team, program.parameters
        self._state = aligned_zeros(self._layout.size * 4)
        self._executable = make(compiler.cache, program, self._state, team, Executable)
        self._answers = [ReadAnswers(self._executable, program.outputs[name]) for name in names]

    def load(self, parameters: Mapping[str, Array]) -> None:
        """Take new parameters."""
        parameters = self._apart.fold(parameters)
        for variable in variables_of(self._apart.graph):
            write_parameter(self._state.view(np.float32), self._layout, variable, parameters[variable.name])
        self._executable.prepare()

    def of(self, images: Images) -> dict[int, Array]:
        """Return what the layers give, one image after the other."""
        shapes = {index: output_shape(self._graph, index) for index in self.layers}
        found = {index: np.empty((len(images), *shapes[index]), np.float32) for index in self.layers}
        for start in range(len(images)):
            set_images(self._executable, images[start : start + 1])
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

    def __init__(
        self,
        compiler: Compiler,
        graph: Graph,
        parameters: Mapping[str, Array],
        team: Team,
        scales: Scales | None = None,
    ) -> None:
        self._compiler, self._graph, self._team = compiler, graph, team
        self._folded, self._shape = fold_norms(graph), graph.answer_shape
        self._scales = scales  # where it answers in int8
        if scales is not None:
            scales.check(self._folded.graph)
        self._layout = lay_out_parameters(self._folded.graph, compiler.target, precision=compiler.precision)
        self._state = aligned_zeros(self._layout.size * 4)
        self._programs: dict[int, _Prediction] = {}
        self._peaks: _Peaks | None = None
        self._outputs: _LayerOutputs | None = None  # of the layers that were asked for last
        self._exact: NativePredictor | None = None  # in float32
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
        with self._lock:
            if self._outputs is not None:
                self._outputs.load(self._parameters)
            if self._exact is not None:
                self._exact.load(self._parameters)
            write_parameters(self._state, self._layout, self._folded.graph, parameters, self._scales)
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
        if self._scales is not None:
            return self._in_float32().features(images)
        return self._run(images, None, features=True)

    def peaks(self, images: Images) -> dict[int, Array]:
        """Return the largest value of every feature map; see engines/base.py. The first call makes a program."""
        if self._scales is not None:
            return self._in_float32().peaks(images)
        images = check_images(self._graph, images)
        answers = room_for_peaks(self._graph, len(images))
        if answers:
            with self._lock:
                self._find_peaks(images, answers)
        return answers

    def outputs(self, images: Images, layers: Sequence[int]) -> dict[int, Array]:
        """Return what some layers give; see engines/base.py. The first call for these layers makes a program."""
        if self._scales is not None:
            return self._in_float32().outputs(images, layers)
        images, layers = check_images(self._graph, images), check_layers(self._graph, layers)
        if not layers:
            return {}
        with self._lock:
            if self._outputs is None or self._outputs.layers != layers:
                self._outputs = _LayerOutputs(self._compiler, self._graph, layers, self._team)
                self._outputs.load(self._parameters)
            return self._outputs.of(images)

    def _in_float32(self) -> NativePredictor:
        """Return the same network in float32: what is inside a network is looked at as it was trained."""
        with self._lock:
            if self._exact is None:
                compiler = replace(self._compiler, precision="float32")
                self._exact = NativePredictor(compiler, self._graph, self._parameters, self._team)
            return self._exact

    def _find_peaks(self, images: Images, answers: dict[int, Array]) -> None:
        if self._peaks is None:
            self._peaks = self._peaks_program()
        executable = self._peaks.executable
        for start in range(0, len(images), PEAKS_BATCH):
            set_images(executable, images[start : start + PEAKS_BATCH])
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
            set_images(prediction.executable, images)
            prediction.executable.run(self._team)
            return wanted.copied(count)
        answers = np.empty((count, wanted.width), np.float32)
        for start in range(0, count, batch):
            set_images(prediction.executable, images[start : start + batch])
            prediction.executable.run(self._team)
            wanted.copy(answers[start : start + batch])
        return answers

    def executable(self, count: int) -> Executable:
        """Return the compiled program for so many images at a time, for measurements and plan dumps."""
        batch = _program_size(count)
        return (self._programs.get(batch) or self._prediction(batch)).executable

    def _prediction(self, batch: int) -> _Prediction:
        outputs = (LOGITS, FEATURES) if self._scales is None else (LOGITS,)
        program = plan_program(
            self._folded.graph,
            batch,
            self._compiler.target,
            algorithm=self._compiler.algorithm,
            outputs=outputs,
            precision=self._compiler.precision,
        )
        executable = make(self._compiler.cache, program, self._state, self._team, Executable)
        executable.prepare()
        answers = [ReadAnswers(executable, program.outputs[name]) for name in outputs]
        prediction = self._programs[batch] = _Prediction(executable, answers[0], answers[-1])
        return prediction

    def _peaks_program(self) -> _Peaks:
        program = plan_program(
            self._folded.graph,
            PEAKS_BATCH,
            self._compiler.target,
            algorithm=self._compiler.algorithm,
            outputs=(PEAKS,),
            precision=self._compiler.precision,
        )
        executable = make(self._compiler.cache, program, self._state, self._team, Executable)
        executable.prepare()
        return _Peaks(
            executable,
            {
                self._folded.index_in_source(layer): ReadAnswers(executable, peak)
                for layer, peak in program.peaks.items()
            },
        )
