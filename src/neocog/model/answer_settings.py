"""How a network answers: with which engine, looking how, in what precision, and from which probability on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neocog.data.resize import ResizeRule, check_rule
from neocog.engines.base import (
    Engine,
    Predictor,
)
from neocog.engines.precision import Precision, check_precision
from neocog.errors import SettingError
from neocog.model.arguments import check_count
from neocog.model.calibration import Calibration, Reject
from neocog.model.making import check_scales
from neocog.model.pictures import piece_size
from neocog.model.thresholds import Thresholds, check_thresholds
from neocog.model.views import Views, check_views
from neocog.model.weights import Weights
from neocog.nn.graph import Graph
from neocog.nn.limits import is_number, shown
from neocog.nn.losses import Loss
from neocog.nn.rewrite import fold_norms
from neocog.nn.scales import Scales


class AnswerSettings:
    """What can be said of how a network answers, and asked; what it answers is `neocog.model.answering.Answering`.

    Arguments:
        graph, weights: what computes.
        loss: whether an image may have several labels.
        resize, views, engine, threads, precision: as those of Network.

    Raises:
        SettingError: an argument is out of its range.
    """

    def __init__(
        self,
        graph: Graph,
        weights: Weights,
        *,
        loss: Loss,
        resize: ResizeRule | str,
        views: Views,
        engine: str | Engine,
        threads: int | None,
        precision: Precision = "float32",
    ) -> None:
        self.graph: Graph = graph
        self.weights: Weights = weights
        self.loss: Loss = loss
        self.resize: ResizeRule = check_rule(resize)
        self.views = views
        self.images_at_once: int = piece_size(graph)
        """How many images the engine gets at a time, so that memory stays bounded; of large images fewer."""
        self.calibration: Calibration | None = None
        """What validation images say of its probabilities, as `neocog.Model.calibrate` finds it; saved with it."""
        self._scales: Scales | None = None
        self._reject_below: float | None = None
        self._thresholds: Thresholds | None = None
        self._engine: str | Engine = engine
        self.precision = precision
        self._threads: int | None = None if threads is None else check_count("threads", threads)
        self._predictor: Predictor | None = None
        self._predictor_version = -1
        self._part: tuple[tuple[int, bool, int], Any] | None = None

    @property
    def threads(self) -> int | None:
        """Threads of the engine; None means as many as this process may use. A new number counts from the next answer.

        Raises:
            SettingError: it is no whole number from 1 up.
        """
        return self._threads

    @threads.setter
    def threads(self, threads: int | None) -> None:
        self._threads = None if threads is None else check_count("threads", threads)
        self._predictor = self._part = None

    @property
    def views(self) -> Views:
        """How it looks at an image where it answers; see `neocog.model.views`.

        Raises:
            SettingError: there is no such way, or not for this network.
        """
        return self._views

    @views.setter
    def views(self, views: Views) -> None:
        self._views: Views = check_views(views, self.graph)

    @property
    def engine(self) -> str | Engine:
        """The engine: "native", "reference" or "torch", or an Engine. Another one gives the next answer."""
        return self._engine

    @engine.setter
    def engine(self, engine: str | Engine) -> None:
        self._engine, self._predictor, self._part = engine, None, None

    @property
    def precision(self) -> Precision:
        """What it computes with where it answers: "float32", "bfloat16", "int8", or "auto", which is bfloat16 on
        processors that multiply tiles of it (AMX) and float32 on others. Another one gives the next answer.

        In bfloat16, the factors of all products are rounded to 8 bits, and so is what layers hand on to those that
        multiply; sums, and all other arithmetic, are float32. It is no property of the file; a training computes with
        it too unless it is told another one. int8 is for networks with `scales`, and for answers: `features`, `peaks`
        and `outputs` are those of float32.

        Raises:
            SettingError: it is none of the four, or int8 without scales.
        """
        return self._precision

    @precision.setter
    def precision(self, precision: Precision) -> None:
        precision = check_precision(precision)
        if precision == "int8":
            check_scales(self._scales)
        self._precision: Precision = precision
        self._predictor = self._part = None

    @property
    def scales(self) -> Scales | None:
        """What the rounded values of the network are worth where it predicts in int8 (docs/int8.md); None: it cannot.
        Saved with it; `neocog.Model.quantise` finds them, and other weights set them back to None.

        Raises:
            SettingError: they are those of another network.
        """
        return self._scales

    @scales.setter
    def scales(self, scales: Scales | None) -> None:
        if scales is not None:
            scales.check(fold_norms(self.graph).graph)
        self._scales, self._predictor = scales, None

    @property
    def thresholds(self) -> Thresholds | None:
        """Where an image may have several labels, the probability above which each label is given; None: a half. Saved
        with the model; `neocog.Model.fit_thresholds` finds them, and training on sets them back to None.

        Raises:
            SettingError: they are no numbers from 0 to 1, or an image has one class.
            ShapeError: they are neither one number, nor one for each label.
        """
        return self._thresholds

    @thresholds.setter
    def thresholds(self, values: float | Sequence[float] | None) -> None:
        if values is not None and not self.loss.several_labels:
            raise SettingError(
                "thresholds need a model for several labels an image, this one gives one class",
                hint="such a model is trained with loss=nc.BinaryCrossEntropy()",
            )
        self._thresholds = None if values is None else check_thresholds(values, self.graph.classes)

    @property
    def reject_below(self) -> float | None:
        """The probability below which an answer is "unknown"; None: each is given. Saved with the model; see `reject`.

        Raises:
            SettingError: it is no number from 0 to 1.
        """
        return self._reject_below

    @reject_below.setter
    def reject_below(self, value: float | None) -> None:
        if value is not None and not (is_number(value) and 0 <= value <= 1):
            raise SettingError(f"reject_below must be a number from 0 to 1, or None, got {shown(value)}")
        self._reject_below = None if value is None else float(value)

    @property
    def temperature(self) -> float:
        """What logits are divided by before they become probabilities; 1.0 until `neocog.Model.calibrate` finds one."""
        return 1.0 if self.calibration is None else self.calibration.temperature

    def reject(self, wanted: str | Reject | None) -> None:
        """Withhold the answers that the network is least certain of: set `reject_below` by what validation images say.

        Arguments:
            wanted: "coverage=0.9": so many that nine tenths of the images are answered; "precision=0.95": as few as
                needed for 95 % of the answers to be right; None: none.

        Raises:
            SettingError: it is none of these, or there is no `calibration`.
            NeocogError: no threshold gives the precision.
        """
        if wanted is None:
            self.reject_below = None
            return
        rule = wanted if isinstance(wanted, Reject) else Reject.parse(wanted)
        if self.calibration is None:
            raise SettingError(
                "rejecting needs a calibration, and this model has none",
                hint="model.calibrate(images, labels) makes one, of images that it was not trained on",
            )
        self.reject_below = self.calibration.threshold(rule)
