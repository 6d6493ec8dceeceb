"""The worked example's two filters learn, from noise, while the reader looks on."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from neocog.app.page.question import Question
from neocog.engines.base import Array
from neocog.errors import SettingError
from neocog.explain.lesson import LINES, lesson_examples, lesson_image, lesson_model, lesson_net
from neocog.nn.layers import Conv2d
from neocog.nn.optimizers import Optimizer
from neocog.train.callbacks import Callback
from neocog.train.events import Run
from neocog.train.history import EpochResult
from neocog.train.model import Model
from neocog.train.named import make_optimizer

EPOCHS = 40  # of one step each: all images at once
OPTIMIZERS = ("sgd", "adagrad", "adam")
WITH_MOMENTUM = ("sgd",)
RATES = (0.01, 0.03, 0.1, 0.3, 1.0)
MOMENTA = (0.0, 0.5, 0.9)
SEEDS = 3  # beginnings that are offered
NOISE = 0.1  # standard deviation of the weights that the filters begin as


@dataclass(frozen=True, slots=True)
class Practice:
    """What the filters learn with.

    optimizer: one of OPTIMIZERS. rate: how large steps are. momentum: how much of the last step goes on in the next,
    of those that have one. seed: of the noise that they begin as.
    """

    optimizer: str = "sgd"
    rate: float = 0.1
    momentum: float = 0.9
    seed: int = 1

    @classmethod
    def asked(cls, question: Question) -> Practice:
        """Read the settings out of a question; those that are missing are the usual ones.

        Raises:
            SettingError: one is out of its range.
        """
        usual = cls()
        made = cls(
            question.text("optimizer", usual.optimizer),
            question.real("rate") if "rate" in question.arguments else usual.rate,
            question.real("momentum") if "momentum" in question.arguments else usual.momentum,
            question.whole("seed", usual.seed),
        )
        if made.optimizer not in OPTIMIZERS:
            raise SettingError(f"optimizer must be one of {', '.join(OPTIMIZERS)}, got {made.optimizer!r}")
        return made

    def arguments(self) -> dict[str, str]:
        """Return the arguments of a question that asks for it."""
        return {
            "momentum": f"{self.momentum:g}",
            "optimizer": self.optimizer,
            "rate": f"{self.rate:g}",
            "seed": str(self.seed),
        }

    def offered(self) -> list[Practice]:
        """Return all that a reader can choose, with this beginning."""
        return [
            Practice(optimizer, rate, momentum, self.seed)
            for optimizer, rate in itertools.product(OPTIMIZERS, RATES)
            for momentum in (MOMENTA if optimizer in WITH_MOMENTUM else MOMENTA[:1])
        ]

    def make(self) -> Optimizer:
        """Return the optimizer.

        Raises:
            SettingError: rate or momentum are out of its range.
        """
        return make_optimizer(
            self.optimizer, self.rate, 0.0, self.momentum if self.optimizer in WITH_MOMENTUM else None
        )


@dataclass(frozen=True, slots=True)
class Practised:
    """What came of it.

    epochs: as in a history. kept: after which there are filters: 0, 1, ..., 8, 12, 16, ... filters: (kept, 3, 3, 1, 2).
    maps: (kept, 4, 4, 2) of the worked example's image.
    """

    epochs: tuple[EpochResult, ...]
    kept: tuple[int, ...]
    filters: Array
    maps: Array


class _Watch(Callback):
    def __init__(self, model: Model, layer: str) -> None:
        self.filters: list[Array] = []
        self.maps: list[Array] = []
        self.kept: list[int] = []
        self._model, self._layer = model, layer
        self._look(0)

    def _look(self, epoch: int) -> None:
        self.kept.append(epoch)
        self.filters.append(self._model.parameters[f"{self._layer}.weight"])
        self.maps.append(self._model.outputs(lesson_image()[None], [self._layer])[0][0])

    def on_epoch_end(self, run: Run, epoch: EpochResult) -> None:
        if epoch.epoch <= 8 or epoch.epoch % 4 == 0:
            self._look(epoch.epoch)


def practise(settings: Practice) -> Practised:
    """Train the two filters on their task: lines, falling or upright, at all places. The last layer, which adds up what
    each filter found, stays as it is.
    """
    model = Model(lesson_net(), (6, 6, 1), LINES, seed=settings.seed, engine="reference")
    layer = next(node.name for node in model.graph.nodes if isinstance(node.layer, Conv2d))
    drawn = lesson_model().parameters
    noise = NOISE * np.random.default_rng(settings.seed).standard_normal(drawn[f"{layer}.weight"].shape)
    model.load_parameters({**drawn, f"{layer}.weight": noise})
    images, labels = lesson_examples()
    watch = _Watch(model, layer)
    history = model.fit(
        images,
        labels,
        epochs=EPOCHS,
        batch_size=len(images),
        optimizer=settings.make(),
        freeze=model.graph.nodes[-1].name,
        callbacks=[watch],
        verbose=0,
    )
    return Practised(tuple(history.epochs), tuple(watch.kept), np.stack(watch.filters), np.stack(watch.maps))
