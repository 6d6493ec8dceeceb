"""How fast this machine is, and how near the kernels come: the numbers behind `neocog bench`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from neocog.emit.peak import emit_peak, peak_operations
from neocog.engines.base import StepSettings, allowed_threads
from neocog.engines.native import NativeEngine, NativePredictor, NativeTrainProgram
from neocog.engines.precision import Precision, settled
from neocog.jit.cache import ObjectCache
from neocog.jit.compile import build
from neocog.jit.executable import aligned_zeros
from neocog.nn.blocks import Sequential
from neocog.nn.graph import Graph, trace
from neocog.nn.layers import Conv2d, Flatten
from neocog.nn.losses import CrossEntropy, MeanSquaredError
from neocog.nn.optimizers import SGD
from neocog.nn.parameters import initial_parameters
from neocog.nn.summary import multiply_adds
from neocog.nn.zoo import article
from neocog.plan.algorithm import Algorithm
from neocog.target.processor import Target

BenchProgress = Callable[[str], None]
PEAK_TURNS = 30_000
# images, height, width, channels, filters of 3 × 3 convolutions, padding 1 but for the first row
SHAPES = (
    (64, 13, 13, 32, 64),
    (32, 48, 48, 32, 64),
    (32, 24, 24, 64, 128),
    (32, 12, 12, 128, 128),
    (8, 56, 56, 64, 64),
    (8, 28, 28, 128, 128),
    (8, 14, 14, 256, 256),
    (8, 7, 7, 512, 512),
)
QUICK_SHAPES = SHAPES[:3]
# What each pass of a convolution consists of, transforms and sums of partial results included, and how many times the
# operations of a forward pass it stands for. By Winograd's algorithm, filters are transformed once for a program that
# predicts and in each step of training, and both gradients are one pass.
PASSES: dict[Algorithm, dict[str, tuple[int, tuple[str, ...]]]] = {
    "direct": {
        "forward": (1, ("forward",)),
        "input gradient": (1, ("input gradient", "transpose")),
        "weight gradient": (1, ("weight gradient", "reduce partials")),
    },
    "winograd": {
        "forward": (1, ("forward",)),
        "with filters": (1, ("forward", "transform weights")),
        "both gradients": (
            2,
            ("gradients", "weight gradient", "transpose", "transform transposed weights", "reduce partials"),
        ),
    },
}


@dataclass(frozen=True, slots=True)
class KernelRate:
    """One kernel: what it computes, its rate, and its share of the peak measured beside it (medians)."""

    shape: tuple[int, int, int, int, int]
    kernel: str
    gflops: float
    share_of_peak: float


@dataclass(frozen=True, slots=True)
class NetworkRate:
    """One use of a network: images per second, the time of a batch, and the share of peak of its multiply-adds."""

    network: str
    use: str
    batch: int
    milliseconds: float
    images_per_second: float
    share_of_peak: float | None


@dataclass(frozen=True, slots=True)
class BenchReport:
    """What `run_bench` measured.

    `use` of a network is "training", "prediction" or, for predictions in it, "bfloat16"; its share of the peak is that
    of float32 all the same. Rates count the multiply-adds of the direct sum as two operations each, in GFLOP/s. As is
    usual, the taps that meet padding count too, though they are left out; so a rate may pass the peak.
    """

    cpu: str
    lanes: int
    threads: int
    peak_gflops: float
    kernels: tuple[KernelRate, ...]
    winograd: tuple[KernelRate, ...]
    networks: tuple[NetworkRate, ...]

    def to_json(self) -> dict[str, object]:
        """Return the report as plain values."""
        return asdict(self)

    def to_text(self) -> str:
        """Lay the report out for reading."""
        lines = [
            f"{self.cpu}, {32 * self.lanes}-bit vectors",
            f"multiply-add peak of one core: {self.peak_gflops:.0f} GFLOP/s",
            "",
            "3 x 3 convolutions, direct sum, one thread: GFLOP/s, taps in the padding counted (share of the peak)",
            *_table(self.kernels, "direct"),
            "",
            "the same by Winograd's algorithm: GFLOP/s of the direct sum that it stands for",
            *_table(self.winograd, "winograd"),
        ]
        lines += ["", f"networks, {self.threads} thread{'s' if self.threads > 1 else ''}"]
        for rate in self.networks:
            share = "" if rate.share_of_peak is None else f"  {rate.share_of_peak:4.0%} of peak"
            lines.append(
                f"{rate.network:8} {rate.use:20} batch {rate.batch:3d}  {rate.milliseconds:8.3f} ms"
                f"  {rate.images_per_second:10,.0f} images/s{share}"
            )
        return "\n".join(lines)


def _table(rates: Sequence[KernelRate], algorithm: Algorithm) -> list[str]:
    passes = PASSES[algorithm]
    lines = ["images, size, channels -> filters".ljust(34) + "".join(name.rjust(17) for name in passes)]
    for start in range(0, len(rates), len(passes)):
        row = rates[start : start + len(passes)]
        n, h, w, c, k = row[0].shape
        cells = [f"{r.gflops:5.0f} ({r.share_of_peak:4.0%})".rjust(17) for r in row]
        lines.append(f"{n:4d}, {h:2d} x {w:2d}, {c:3d} -> {k:3d}".ljust(34) + "".join(cells))
    return lines


def run_bench(
    threads: int | None = None,
    quick: bool = False,
    progress: BenchProgress | None = None,
    precision: Precision = "auto",
) -> BenchReport:
    """Measure the multiply-add peak of a core, each kernel as a share of it, and the article's network.

    Arguments:
        threads: threads for the networks; None: as many as this process may use. Kernels run on one.
        quick: fewer shapes and repetitions.
        progress: called with a line about what is measured now.
        precision: where that is bfloat16 on this processor, training and predictions are measured in it too.
    """
    threads = allowed_threads(threads)
    say = progress or (lambda _: None)
    engine = NativeEngine()
    repeats = 7 if quick else 21
    peak = Peak(engine.target, engine.cache)
    rates: dict[Algorithm, list[KernelRate]] = {"direct": [], "winograd": []}
    for shape in QUICK_SHAPES if quick else SHAPES:
        for algorithm, kernels in rates.items():
            say(f"3 x 3 convolution, {shape}, {algorithm}")
            made = NativeEngine(engine.target, engine.cache, algorithm)
            kernels += measure_convolution(made, shape, peak, repeats)
    say("article network")
    networks = _measure_article(engine, threads, peak, 3 * repeats)
    if settled(precision) == "bfloat16":
        say("article network, bfloat16")
        half = NativeEngine(cache=engine.cache, precision="bfloat16")
        networks += _measure_article(half, threads, peak, 3 * repeats)
    return BenchReport(
        engine.target.cpu,
        engine.target.lanes,
        threads,
        median(peak.seen),
        tuple(rates["direct"]),
        tuple(rates["winograd"]),
        tuple(networks),
    )


class Peak:
    """The multiply-add rate of one core, measured again beside every kernel: processors change their clock."""

    def __init__(self, target: Target, cache: ObjectCache) -> None:
        self._operations = peak_operations(target)
        self._library = build("peak", lambda: emit_peak(target), target, ["peak"], cache)
        self._out = aligned_zeros(target.vector_bytes)
        self.seen: list[float] = []

    def measure(self) -> float:
        """Run the loop once (about a millisecond: processors need a while to reach full width) and give GFLOP/s."""
        start = time.perf_counter()
        self._library.functions["peak"](0, 0, 0, self._out.ctypes.data, 0, PEAK_TURNS)
        rate = self._operations * PEAK_TURNS / (time.perf_counter() - start) / 1e9
        self.seen.append(rate)
        return rate


def measure_convolution(
    engine: NativeEngine, shape: tuple[int, int, int, int, int], peak: Peak, repeats: int
) -> list[KernelRate]:
    """Time the passes of one convolution in turn with the peak loop, on one thread."""
    n, h, w, c, k = shape
    padding = 0 if shape == SHAPES[0] else 1
    graph = trace(Sequential(Conv2d(c, 1), Conv2d(k, 3, padding=padding), Flatten()), (h, w, 1))
    settings = StepSettings(MeanSquaredError(), SGD(), n)
    train_program = engine.train_program(graph, initial_parameters(graph), settings, threads=1)
    random = np.random.default_rng(0)
    images = random.random((n, h, w, 1), np.float32)
    train_program.step(images, np.zeros((n, graph.classes), np.float32), 1e-6)
    executable = train_program.executable
    names = [stage.name for stage in executable.program.every_stage()]
    operations = 2 * n * (h - 2 + 2 * padding) * (w - 2 + 2 * padding) * 9 * c * k
    rates: dict[str, list[float]] = {}
    shares: dict[str, list[float]] = {}
    for _ in range(repeats):
        beside = peak.measure()
        seconds = executable.time_stages()
        for name, (times, parts) in PASSES[engine.algorithm].items():
            wanted = {f"1:Conv2d {part}" for part in parts}
            spent = sum(took for stage, took in zip(names, seconds, strict=True) if stage in wanted)
            rate = times * operations / spent / 1e9
            rates.setdefault(name, []).append(rate)
            shares.setdefault(name, []).append(rate / beside)
    return [KernelRate(shape, name, median(rates[name]), median(shares[name])) for name in rates]


def _measure_article(engine: NativeEngine, threads: int, peak: Peak, repeats: int) -> list[NetworkRate]:
    graph = trace(article(), (28, 28, 1))
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (64, 28, 28, 1), np.uint8)
    labels = random.integers(0, 10, 64).astype(np.int32)
    parameters = initial_parameters(graph)
    of = "" if engine.precision == "float32" else f", {engine.precision}"
    predictor = engine.predictor(graph, parameters, threads)
    train_program = engine.train_program(
        graph, parameters, StepSettings(CrossEntropy(), SGD(momentum=0.9), 64), threads
    )
    uses: Sequence[_Use] = (
        (f"training{of}", 64, lambda: train_program.step(images, labels, 1e-4), _operations(train_program)),
        *_predictions(f"prediction{of}", graph, predictor, images),
    )
    return _rates(uses, threads, peak, repeats)


_Use = tuple[str, int, Callable[[], object], int]
"""What is measured: a name, the images of a batch, a call, and its floating-point operations."""


def _predictions(name: str, graph: Graph, predictor: NativePredictor, images: NDArray[np.uint8]) -> tuple[_Use, ...]:
    return (
        (name, 64, lambda: predictor.logits(images), _forward_operations(graph, 64)),
        (name, 1, lambda: predictor.logits(images[:1]), _forward_operations(graph, 1)),
    )


def _rates(uses: Sequence[_Use], threads: int, peak: Peak, repeats: int) -> list[NetworkRate]:
    rates = []
    for use, batch, call, operations in uses:
        for _ in range(5):
            call()
        times, shares = [], []
        for _ in range(repeats):
            beside = peak.measure() * threads
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
            shares.append(operations / times[-1] / 1e9 / beside)
        seconds = median(times)
        rates.append(NetworkRate("article", use, batch, seconds * 1e3, batch / seconds, median(shares)))
    return rates


def _operations(train_program: NativeTrainProgram) -> int:
    """Count the floating-point operations of a step's contractions; Winograd's transforms are left out."""
    stages = (scheduled.stage for scheduled in train_program.executable.program.stages)
    return sum(2 * stage.multiply_adds for stage in stages)


def _forward_operations(graph: Graph, batch: int) -> int:
    return 2 * batch * sum(map(multiply_adds, graph.nodes))
