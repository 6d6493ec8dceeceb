"""neocog's own side: the engine behind Model, as `fit` and `predict` call it."""

from __future__ import annotations

from functools import partial

from benchmarks.figures import HALF
from benchmarks.rounds import Call
from benchmarks.sides import MOMENTUM, Task
from neocog.engines.base import StepSettings
from neocog.engines.native import NativeEngine
from neocog.engines.precision import Settled
from neocog.nn.losses import CrossEntropy
from neocog.nn.optimizers import SGD


def train(task: Task, precision: Settled = "float32") -> Call:
    """Make a training step."""
    optimizer = SGD(task.learning_rate, momentum=MOMENTUM)
    settings = StepSettings(CrossEntropy(), optimizer, len(task.images), keeps_gradients=False)
    program = NativeEngine(precision=precision).train_program(task.graph, task.parameters, settings, task.threads)
    return lambda: program.step(task.images, task.labels, task.learning_rate).loss


def answer(task: Task, precision: Settled = "float32") -> Call:
    """Make a prediction."""
    predictor = NativeEngine(precision=precision).predictor(task.graph, task.parameters, task.threads)
    return lambda: predictor.logits(task.images)


TRAINING = {"neocog": train, HALF[0]: partial(train, precision="bfloat16")}
INFERENCE = {"neocog": answer, HALF[0]: partial(answer, precision="bfloat16")}
