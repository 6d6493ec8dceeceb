"""Preparing a model for int8: scales from images that it was trained on, and what they cost on others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass

from neocog.engines.base import Images
from neocog.errors import NeocogError, SettingError
from neocog.model.making import int8_engine
from neocog.model.network import Network
from neocog.model.ranges import check_rounds, find_scales, in_float32
from neocog.nn.limits import is_number, shown
from neocog.train.evaluation import Evaluation, evaluate
from neocog.train.labels import LabelsEvaluation
from neocog.train.source import Batch

MAX_DROP = 0.5
"""Points of accuracy that int8 may cost unless somebody allows more."""

ENOUGH = 300
"""Images that scales are found with: more change little."""


@dataclass(frozen=True, slots=True)
class Quantised:
    """What int8 costs a model, measured on images that its scales were not found with.

    Arguments:
        measure: "accuracy"; "macro F1", where an image may have several labels.
        images: how many were measured.
        float32, int8: the share before and after.
    """

    measure: str
    images: int
    float32: float
    int8: float

    @property
    def drop(self) -> float:
        """Points that are lost; below 0, points that are won."""
        return 100 * (self.float32 - self.int8)

    def to_json(self) -> dict[str, object]:
        """Return the same as JSON values."""
        shares = {"float32": self.float32, "int8": self.int8, "drop_points": self.drop}
        return {"measure": self.measure, "images": self.images, **shares}


def quantise(
    model: Network,
    images: Iterable[Images],
    measured: Callable[[], Iterable[Batch]],
    *,
    max_drop: float = MAX_DROP,
    progress: Callable[[int], None] = lambda images: None,
) -> Quantised:
    """Find the scales of a model, measure what they cost, and give it them; `neocog.Model.quantise` says more.

    Arguments:
        model: gets the scales, unless they cost too much.
        images: batches of those that it was trained on.
        measured: gives pairs of images and labels, of others, from the first one each time.
        max_drop: points that may be lost.
        progress: told how many images each step took.

    Raises:
        NeocogError: more is lost; the model is as it was.
        SettingError: max_drop is no number from 0 to 100, the engine does not compute in int8, or the network has
            nothing to multiply.
        DataError: there are no images.
    """
    check_drop(max_drop)
    check_quantises(model)
    plain = in_float32(model)
    scales = find_scales(plain, images, progress)
    rounded = copy(plain)
    rounded.scales = scales
    rounded.precision = "int8"
    measure, before, count = _measured(evaluate(plain, measured()))
    _, after, _ = _measured(evaluate(rounded, measured()))
    found = Quantised(measure, count, before, after)
    if found.drop > max_drop + 1e-9:
        raise NeocogError(
            f"int8 loses {found.drop:.2f} points of {measure} on {count:,} images, at most {max_drop:g} may be lost",
            details=(f"float32 {before:.2%}, int8 {after:.2%}",),
            hint="allow more (--max-drop, max_drop=), or measure on more images: one of them counts "
            f"{100 / count:.2g} points",
        )
    model.scales = scales
    return found


def check_drop(max_drop: float) -> None:
    """Raise SettingError unless `max_drop` is a number of points."""
    if not (is_number(max_drop) and 0 <= max_drop <= 100):
        raise SettingError(f"max_drop must be a number of points from 0 to 100, got {shown(max_drop)}")


def check_quantises(model: Network) -> None:
    """Raise SettingError unless a model's engine computes in int8, and its network has what that is for."""
    int8_engine(model.engine)
    check_rounds(model)


def _measured(evaluation: Evaluation | LabelsEvaluation) -> tuple[str, float, int]:
    """Return what is measured, the share, and the images."""
    if isinstance(evaluation, LabelsEvaluation) and evaluation.macro_f1 is not None:
        return "macro F1", evaluation.macro_f1, evaluation.images
    return "accuracy", evaluation.accuracy, evaluation.images
