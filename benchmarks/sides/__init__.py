"""The sides of a comparison: neocog and its peers, all handed the same task.

Each module here imports one library, and holds TRAINING and INFERENCE: name of a side → function that takes a Task and
gives a call without arguments. A training call takes one step and gives the loss before it; an inference call gives
the logits. What can be prepared once (programs, the layout of the images) is prepared outside of the call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.figures import HALF, ROUNDED
from benchmarks.networks import Network
from benchmarks.process import reason, say
from benchmarks.rounds import CHECKS, ROUNDED_TOLERANCE, TOLERANCE, Call, DisagreementError, check_equal
from neocog.engines.base import Array
from neocog.nn.graph import Graph, trace
from neocog.nn.layers import BatchNorm2d
from neocog.nn.parameters import LAST_LAYER, initial_parameters, variables_of

Mode = Literal["training", "inference"]
Makers = Mapping[str, Callable[["Task"], Call]]

HOMES = {
    "neocog": "native",
    "PyTorch": "pytorch",
    "PyTorch channels_last": "pytorch",
    "torch.compile": "pytorch",
    "JAX": "jax",
    "ONNX Runtime": "onnxruntime",
    "OpenVINO": "openvino",
    ROUNDED: "openvino",
    **dict(zip(HALF, ("native", "pytorch", "pytorch"), strict=True)),
}
"""Every side, and the module that makes it."""

TRAINING_SIDES = ("neocog", "PyTorch", "PyTorch channels_last", "torch.compile", "JAX", *HALF)
INFERENCE_SIDES = tuple(HOMES)
EAGER_SIDES = ("neocog", "PyTorch", "PyTorch channels_last")

MOMENTUM = 0.9


@dataclass(frozen=True, slots=True)
class Task:
    """What every side gets.

    Arguments:
        graph: the network.
        parameters: in memory layout, buffers included.
        images: (N, height, width, channels), in [0, 1].
        labels: (N,), int32.
        threads: threads to use.
        learning_rate: of training steps.
    """

    graph: Graph
    parameters: Mapping[str, Array]
    images: Array
    labels: NDArray[np.int32]
    threads: int
    learning_rate: float

    @property
    def channels_first(self) -> Array:
        """The images as (N, channels, height, width)."""
        return np.ascontiguousarray(self.images.transpose(0, 3, 1, 2))


def make_task(network: Network, threads: int, batch: int | None = None) -> Task:
    """Draw images, labels and parameters for a network; the same ones every time.

    Initial parameters hide faults: a normalization does nothing with running averages of 0 and 1, and the last layer's
    weights are so small that every loss is about that of chance. So averages are drawn, and those weights enlarged.
    """
    graph = trace(network.net, network.input_shape)
    random = np.random.default_rng(0)
    batch = batch or network.batch
    images = random.random((batch, *network.input_shape), np.float32)
    labels = random.integers(0, graph.classes, batch).astype(np.int32)
    parameters = initial_parameters(graph)
    drawn = [p.name for p in variables_of(graph) if p.variable.start is None]
    if len(drawn) > 1:
        parameters[drawn[-1]] /= np.float32(LAST_LAYER)
    for p in variables_of(graph):
        if isinstance(p.node.layer, BatchNorm2d):
            about_one = p.variable.name in ("weight", "running_var")
            value = random.uniform(0.5, 1.5, p.shape) if about_one else random.normal(0.0, 0.1, p.shape)
            parameters[p.name] = value.astype(np.float32)
    return Task(graph, parameters, images, labels, threads, network.learning_rate)


def make_call(name: str, mode: Mode, task: Task) -> Call:
    """Make one side's call.

    Raises:
        ImportError: its library is not installed.
    """
    module: Any = import_module(f"benchmarks.sides.{HOMES[name]}")
    makers: Makers = module.TRAINING if mode == "training" else module.INFERENCE
    return makers[name](task)


def agreeing_calls(mode: Mode, names: Sequence[str], task: Task) -> tuple[dict[str, Call], dict[str, str]]:
    """Make the sides' calls, and hold the first results of each to those of the first side, which is neocog's.

    Returns:
        name → call, of all that can run here; and name → why not, of the others.

    Raises:
        DisagreementError: a side that computes in float32 computes something else.
    """
    calls: dict[str, Call] = {}
    skipped: dict[str, str] = {}
    results: dict[str, list[Any]] = {}
    for name in names:
        say(f"    preparing {name}")
        try:
            call = make_call(name, mode, task)
            results[name] = [call() for _ in range(CHECKS)]
        except Exception as error:  # a peer that cannot run here is no reason to measure nothing
            if name == names[0]:
                raise
            skipped[name] = reason(error)
        else:
            calls[name] = call
    for name, result in results.items():
        try:
            rounds = name in (ROUNDED, *HALF)
            check_equal(name, results[names[0]], result, ROUNDED_TOLERANCE if rounds else TOLERANCE)
        except DisagreementError as error:
            if not rounds:
                raise
            del calls[name]  # deep networks lose their answers in so few bits; it stands beside the peers, and is none
            skipped[name] = str(error)
    return calls, skipped
