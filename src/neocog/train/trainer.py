"""Training step by step: a model, an optimizer and a loss on an engine."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neocog.data.identity import Identities, union
from neocog.engines.base import (
    AheadProgram,
    Array,
    Engine,
    SharedTrainProgram,
    State,
    StepResult,
    check_images,
    check_values,
    followed_values,
)
from neocog.engines.precision import Precision, Settled
from neocog.engines.sharing import program_for
from neocog.engines.targets import check_targets
from neocog.errors import DataError, NeocogWarning, SettingError
from neocog.model.arguments import check_count, resolve_engine
from neocog.model.network import Network
from neocog.nn.layers import Sigmoid, Softmax
from neocog.nn.limits import is_number, shown
from neocog.nn.losses import BinaryCrossEntropy, CrossEntropy, Loss
from neocog.nn.optimizers import SGD, Optimizer
from neocog.ranks.world import World
from neocog.train.given import check_trains, settled
from neocog.train.settings import TrainingSettings


class Trainer:
    """Takes optimizer steps on a model.

    `model.parameters` is always up to date; it is copied from the engine only when it is read. Parameters loaded into
    the model between two steps are used from the next step on; the optimizer keeps its state.

    Arguments:
        model: the model to train.
        optimizer: default SGD().
        loss: default: the model's.
        batch_size: the largest number of images in a step; fewer are fine.
        threads, engine: default: the model's.
        seed: decides which values a Dropout drops; default: the model's.
        precision: what steps compute with; default: the model's.
        settings: in place of all of these; see `TrainingSettings`. It also knows frozen parameters and groups.
        learnt_from: which images the steps are taken on (see `neocog.data.identity`), and those that choose among their
            results; default: not known, and then `model.learnt_from` is not either.
        keeps_gradients: whether `gradients()` can be asked for; without, a large network takes less memory.
        world: the processes that share each step, where settings cut it into slices; default: this one alone.
        fast_reduce: whether gradients are added up in an order of the world's, so that the number of processes changes
            their rounding.

    Attributes:
        learning_rate: of the next step; initially the optimizer's.
        steps: steps taken so far.
        last: the loss and logits of the last step, or None before the first.
        precision: what steps compute with.

    >>> from neocog.nn.blocks import Sequential
    >>> from neocog.nn.layers import Flatten, Linear
    >>> model = Network(Sequential(Flatten(), Linear(2)), (2, 2, 1), engine="reference")
    >>> trainer = Trainer(model, SGD(learning_rate=0.1))
    >>> x, y = np.eye(4, dtype=np.float32).reshape(4, 2, 2, 1), np.array([0, 1, 0, 1])
    >>> first = trainer.step(x, y)
    >>> trainer.step(x, y) < first
    True
    """

    def __init__(
        self,
        model: Network,
        optimizer: Optimizer | None = None,
        loss: Loss | None = None,
        batch_size: int = 64,
        *,
        threads: int | None = None,
        engine: str | Engine | None = None,
        seed: int | None = None,
        precision: Precision | None = None,
        learnt_from: Identities | None = None,
        settings: TrainingSettings | None = None,
        keeps_gradients: bool = True,
        world: World | None = None,
        fast_reduce: bool = False,
    ) -> None:
        check_trains(model.precision)
        if settings is None:
            given = {"optimizer": optimizer if optimizer is not None else SGD(), "loss": loss, "seed": seed}
            settings = settled(
                {**given, "batch_size": batch_size, "precision": precision},
                seed=model.seed,
                loss=model.loss,
                precision=model.precision,
            )
        runs_on = resolve_engine(model.engine if engine is None else engine, settings.precision)
        self.precision: Settled = getattr(runs_on, "precision", "float32")
        _warn_of_shares(model, settings.loss)
        self.model = model
        self.optimizer = settings.optimizer
        self.loss = settings.loss
        self.batch_size = settings.batch_size
        self.seed = settings.seed
        self.steps = 0
        self.last: StepResult | None = None
        self._learnt_from = learnt_from
        self._told = False  # the model, of these images
        self._learning_rate = self.optimizer.learning_rate
        self._version = model.weights.version
        of_steps = replace(settings.for_engine(), keeps_gradients=keeps_gradients)
        self._keeps_gradients = keeps_gradients
        self._train_program = program_for(
            runs_on,
            model.graph,
            model.parameters,
            of_steps,
            model.threads if threads is None else check_count("threads", threads),
            world,
            fast=fast_reduce,
        )
        self._stand_in = next((follower for follower in of_steps.followers if follower.stands_in), None)
        self._twin: Network | None = None

    @property
    def learning_rate(self) -> float:
        """The step size of the next step."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        if not (is_number(value) and value >= 0.0):
            raise SettingError(f"learning_rate must be 0 or more, got {shown(value)}")
        self._learning_rate = float(value)

    def step(self, images: NDArray[np.generic], labels: NDArray[np.generic], whole: int | None = None) -> float:
        """Take one optimizer step.

        Arguments:
            images: (N, height, width, channels), uint8 or floating-point in [0, 1]; N from 1 to the batch size.
            labels: (N,) class indices, or rows (N, outputs), as `Model.fit` takes them. Of networks that end in an
                image: (N, height, width), and (N, height, width, outputs).
            whole: where processes share the step, how many images all of them have; `images` are then those of this
                one's slices, and may be none.

        Returns:
            The mean loss of the batch, before the update.

        Raises:
            ShapeError, DataError: the batch does not fit the network or the batch size.
        """
        return float(self.begin(images, labels, whole)().loss)

    @property
    def ahead(self) -> int:
        """Steps that may be begun before the first of them is read: where a device of its own computes, more than 0."""
        program = self._train_program
        return program.ahead if isinstance(program, AheadProgram) else 0

    def begin(
        self, images: NDArray[np.generic], labels: NDArray[np.generic], whole: int | None = None
    ) -> Callable[[], StepResult]:
        """Begin one optimizer step, as `step` takes it, and return who tells what it gave.

        A device of its own then computes while this process prepares the next step; elsewhere the step is done.
        """
        x = check_values(self.model.graph, check_images(self.model.graph, images))
        shared = isinstance(self._train_program, SharedTrainProgram)
        if not (shared or len(x)) or len(x) > self.batch_size:
            raise DataError(
                f"a step takes 1 to {self.batch_size} images, got {len(x)}",
                hint=f"make the trainer with batch_size={len(x)}" if len(x) else None,
            )
        y = check_targets(self.model.graph, self.loss, labels, len(x))
        if self._version != self.model.weights.version:
            self._train_program.load(self.model.parameters)
        if not self._told:
            self.model.learnt_from = union(self.model.learnt_from, self._learnt_from)
            self._told = True
        # what was fitted to the weights before, whenever that was
        self.model.thresholds = self.model.calibration = self.model.reject_below = self.model.scales = None
        self.model.loss, self.model.trained_in = self.loss, self.precision
        program, of_all = self._train_program, (whole,) if shared else ()
        if isinstance(program, AheadProgram):
            read = program.begin(x, y, self._learning_rate, *of_all)
        else:
            result = program.step(x, y, self._learning_rate, *of_all)
            read = lambda: result  # noqa: E731 - as brief as it is
        self.steps += 1
        self._version = self.model.weights.follow(program.parameters)

        def told() -> StepResult:
            self.last = read()
            return self.last

        return told

    def gradients(self) -> State:
        """Return the gradients of the last step's loss, without weight decay: name → array, in memory layout.

        Raises:
            SettingError: no step was taken yet, or this trainer keeps none.
        """
        if not self._keeps_gradients:
            raise SettingError(
                "this training keeps no gradients, to take less memory",
                hint="take the steps of a Trainer of your own, made with keeps_gradients=True",
            )
        if self.last is None:
            raise SettingError("gradients need a step first", hint="call step(images, labels)")
        return self._train_program.gradients()

    def optimizer_state(self) -> State:
        """Return a copy of the optimizer's state: "0.weight/momentum" → array in memory layout."""
        return self._train_program.optimizer_state()

    def load_optimizer_state(self, state: Mapping[str, Array], steps: int) -> None:
        """Continue where another trainer stopped, with its optimizer's state and its number of steps."""
        self._train_program.load_optimizer_state(state, steps)
        self.steps = steps

    def measured(self) -> Network:
        """Return the model as it is measured and kept: itself, or a copy that holds what stands in for its weights,
        such as their running average. The copy is the same object every time.
        """
        if self._stand_in is None:
            return self.model
        if self._twin is None:
            self._twin = copy(self.model)
        self._twin.load_parameters(followed_values(self._train_program, self._stand_in))
        self._twin.learnt_from, self._twin.loss = self.model.learnt_from, self.model.loss
        self._twin.origin, self._twin.trained_in = self.model.origin, self.model.trained_in
        return self._twin

    def settle(self) -> None:
        """Round the engine's values to float32, which is what files hold.

        Without this, training on an engine of higher precision would differ, by rounding, from training that was
        resumed. For an engine that computes in float32 nothing changes.
        """
        self._train_program.load(self.model.parameters)
        self._train_program.load_optimizer_state(self._train_program.optimizer_state(), self.steps)


def _warn_of_shares(model: Network, loss: Loss) -> None:
    """Warn where the loss takes the softmax of a softmax, or the sigmoid of a sigmoid: all classes get nearly the same
    probability, and little is learnt.
    """
    last = model.graph.nodes[-1]
    softmax = isinstance(last.layer, Softmax) and isinstance(loss, CrossEntropy)
    if softmax or (isinstance(last.layer, Sigmoid) and isinstance(loss, BinaryCrossEntropy)):
        again = "softmax" if softmax else "sigmoid"
        warning = NeocogWarning(
            f"the network ends in {last.title}, and {type(loss).__name__} takes the {again} of that once more",
            hint="remove the layer: predict_proba gives probabilities without it",
        )
        warnings.warn(warning, stacklevel=3)
