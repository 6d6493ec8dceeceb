"""Where the time of a network goes: every stage of its program, and its share of the processor's peak."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import median

import numpy as np

from neocog.engines.base import Array, StepSettings
from neocog.engines.bench import Peak
from neocog.engines.native import NativeEngine
from neocog.engines.precision import Precision, settled
from neocog.errors import SettingError
from neocog.jit.executable import Executable
from neocog.nn.graph import Graph
from neocog.nn.losses import CrossEntropy
from neocog.nn.optimizers import SGD
from neocog.nn.scales import Scales

REPEATS = 15


@dataclass(frozen=True, slots=True)
class StageTime:
    """One stage of a program.

    Arguments:
        name: what it computes.
        milliseconds: median time for the whole batch, on one thread.
        share: of the program's time.
        gflops: rate of the multiply-adds that it does; None where it does none.
        share_of_peak: that rate beside the peak of the core.
    """

    name: str
    milliseconds: float
    share: float
    gflops: float | None
    share_of_peak: float | None


@dataclass(frozen=True, slots=True)
class Profile:
    """The stages of one program, in order."""

    use: str
    batch: int
    stages: tuple[StageTime, ...]

    @property
    def milliseconds(self) -> float:
        """The time of all stages."""
        return sum(stage.milliseconds for stage in self.stages)

    def to_json(self) -> dict[str, object]:
        """Return the profile as plain values."""
        return asdict(self) | {"milliseconds": self.milliseconds}

    def to_text(self) -> str:
        """Lay the profile out for reading."""
        width = max(len(stage.name) for stage in self.stages)
        lines = [f"{self.use}, batch {self.batch}, one thread: {self.milliseconds:.3f} ms"]
        for stage in self.stages:
            line = f"  {stage.name.ljust(width)}  {stage.milliseconds:9.3f} ms  {stage.share:4.0%}"
            if stage.gflops is not None:
                line += f"  {stage.gflops:6.1f} GFLOP/s"
            if stage.share_of_peak is not None:
                line += f"  {stage.share_of_peak:4.0%} of peak"
            lines.append(line)
        return "\n".join(lines)


def profile(
    graph: Graph,
    parameters: Mapping[str, Array],
    batch: int = 64,
    repeats: int = REPEATS,
    precision: Precision = "float32",
    scales: Scales | None = None,
) -> tuple[Profile, Profile]:
    """Time every stage of a training step (cross-entropy, SGD with momentum) and of a prediction, on one thread.

    Rates count the multiply-adds that are done: with Winograd's algorithm, those of its products alone. Images and
    labels are random, and the learning rate is zero.

    Arguments:
        graph: the network.
        parameters: its parameters, in memory layout.
        batch: images of a training step; prediction programs are made for sizes of their own.
        repeats: medians are taken over so many runs.
        precision: of both.
        scales: to predict in int8, and train in float32, whatever `precision` is.

    Returns:
        the profiles of training and prediction.
    """
    if batch < 1:
        raise SettingError(f"the batch size must be at least 1, got {batch}")
    engine = NativeEngine(precision="float32" if scales is not None else settled(precision))
    training, predicting = (
        use if engine.precision == "float32" else f"{use} in {engine.precision}" for use in ("training", "prediction")
    )
    predicting = predicting if scales is None else f"{predicting} in int8"
    peak = Peak(engine.target, engine.cache)
    random = np.random.default_rng(0)
    shape = graph.input.height, graph.input.width, graph.input.channels
    images = random.integers(0, 256, (batch, *shape), np.uint8)
    labels = random.integers(0, graph.classes, batch).astype(np.int32)
    settings = StepSettings(CrossEntropy(), SGD(momentum=0.9), batch)
    train_program = engine.train_program(graph, parameters, settings, threads=1)
    train_program.step(images, labels, 0.0)
    if scales is None:
        predictor = engine.predictor(graph, parameters, threads=1)
    else:
        predictor = engine.int8_predictor(graph, parameters, scales, threads=1)
    predictor.logits(images)
    return (
        _measure(training, train_program.executable, peak, repeats),
        _measure(predicting, predictor.executable(batch), peak, repeats),
    )


def _measure(use: str, executable: Executable, peak: Peak, repeats: int) -> Profile:
    beside, times = [], []
    for _ in range(repeats):
        beside.append(peak.measure())
        times.append(executable.time_stages())
    seconds = [median(stage) for stage in zip(*times, strict=True)]
    total = sum(seconds)
    stages = []
    for (stage, times_run), took in zip(executable.program.every_stage_with_times(), seconds, strict=True):
        work = 2 * times_run * stage.multiply_adds
        rate = work / took / 1e9 if work else None
        share = rate / median(beside) if rate else None
        stages.append(StageTime(stage.name, took * 1e3, took / total, rate, share))
    return Profile(use, executable.program.batch, tuple(stages))
