"""What training makes small. Frozen data; the engines compute it.

Logits and targets are (N, outputs), or (N, height, width, outputs) where a network answers pixel by pixel: what is said
of images then holds for pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from neocog.errors import SettingError
from neocog.nn.limits import is_number, shown


@dataclass(frozen=True, slots=True)
class Loss:
    """Base of all losses. A loss is a mean over the images of a batch.

    `several_labels` says that each output is an answer of its own, yes or no: an image may have several labels.
    """

    several_labels: ClassVar[bool] = False

    def check_outputs(self, outputs: int) -> None:
        """Raise SettingError where a network with so many outputs cannot be trained with this loss."""


@dataclass(frozen=True, slots=True)
class CrossEntropy(Loss):
    """Minus the logarithm of the probability that softmax gives to the true class.

    Targets are class indices, or rows of probabilities, one for each class, such as mixup and distillation make.

    Arguments:
        label_smoothing: the share of the target that is spread evenly over all classes, in [0, 1)
            (Szegedy et al. 2016, Rethinking the Inception architecture).
        weights: how much each class counts, 0 or more; None: all alike. As in PyTorch, with class indices the mean is
            one by the weights of the images' classes; with rows the sum is divided by the number of images.

    Raises:
        SettingError: a value is out of its range.

    >>> CrossEntropy(weights=[1, 2.5])
    CrossEntropy(label_smoothing=0.0, weights=(1.0, 2.5))
    """

    label_smoothing: float = 0.0
    weights: tuple[float, ...] | None = field(default=None, metadata={"later": True})

    def __post_init__(self) -> None:
        if not (is_number(self.label_smoothing) and 0.0 <= self.label_smoothing < 1.0):
            raise SettingError(f"CrossEntropy: label_smoothing must lie in [0, 1), got {shown(self.label_smoothing)}")
        if self.weights is not None:
            weights = _checked_weights("CrossEntropy: weights", self.weights)
            if not any(weights):
                raise SettingError("CrossEntropy: weights must not all be 0: nothing would be learnt")
            object.__setattr__(self, "weights", weights)

    def check_outputs(self, outputs: int) -> None:
        if self.weights is not None:
            _check_number("CrossEntropy: weights", self.weights, outputs)


@dataclass(frozen=True, slots=True)
class BinaryCrossEntropy(Loss):
    """For several labels an image: the mean, over images and outputs, of minus the logarithm of the probability that
    sigmoid gives to the true answer, yes or no.

    Targets are rows with a 1 for each label that an image has, and 0 for the others; or anything between.

    Arguments:
        pos_weight: how much more the labels that an image has count, a number or one for each label; above 1 for
            labels that are rare (as PyTorch's BCEWithLogitsLoss). None: alike.

    Raises:
        SettingError: a value is out of its range.

    >>> BinaryCrossEntropy(pos_weight=[1, 3])
    BinaryCrossEntropy(pos_weight=(1.0, 3.0))
    """

    several_labels: ClassVar[bool] = True

    pos_weight: float | tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if is_number(self.pos_weight):
            object.__setattr__(
                self, "pos_weight", _checked_weights("BinaryCrossEntropy: pos_weight", self.pos_weight)[0]
            )
        elif self.pos_weight is not None:
            weights = _checked_weights("BinaryCrossEntropy: pos_weight", self.pos_weight)
            object.__setattr__(self, "pos_weight", weights)

    def check_outputs(self, outputs: int) -> None:
        if isinstance(self.pos_weight, tuple):
            _check_number("BinaryCrossEntropy: pos_weight", self.pos_weight, outputs)


@dataclass(frozen=True, slots=True)
class MeanSquaredError(Loss):
    """The mean, over images and outputs, of (output - target)²; a class label stands for its one-hot vector."""


LOSSES: tuple[type[Loss], ...] = (CrossEntropy, BinaryCrossEntropy, MeanSquaredError)
"""All losses: what files may name."""


def balanced_weights(counts: Sequence[int]) -> tuple[float, ...]:
    """Return a weight for each class, so that all classes count alike however many images they have.

    It is images / (classes · images of the class), as "balanced" is in scikit-learn; a class without images gets 0.

    Arguments:
        counts: the number of images of each class.

    Raises:
        SettingError: there are no images.

    >>> balanced_weights([90, 10, 0])
    (0.5555555555555556, 5.0, 0.0)
    """
    present = sum(1 for count in counts if count)
    if not present:
        raise SettingError("balanced weights need images, got none of any class")
    total = sum(counts)
    return tuple(float(total / (present * count)) if count else 0.0 for count in counts)


def _checked_weights(name: str, values: object) -> tuple[float, ...]:
    """Return weights as a tuple of floats."""
    entries: Any = (values,) if is_number(values) else values
    try:
        weights = tuple(entries)
    except TypeError:  # it cannot be gone through
        weights = ()
    if not weights or not all(is_number(weight) and weight >= 0 for weight in weights):
        raise SettingError(f"{name} must be finite numbers of 0 or more, got {shown(values)}")
    return tuple(map(float, weights))


def _check_number(name: str, weights: tuple[float, ...], outputs: int) -> None:
    if len(weights) != outputs:
        raise SettingError(f"{name} must be as many as the outputs, {outputs}, got {len(weights)}")
