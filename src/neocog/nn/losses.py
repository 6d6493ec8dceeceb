"""What training makes small. Frozen data; the engines compute it."""

from __future__ import annotations

from dataclasses import dataclass

from neocog.errors import SettingError
from neocog.nn.limits import is_number, shown


@dataclass(frozen=True, slots=True)
class Loss:
    """Base of all losses. A loss is the mean over the images of a batch."""


@dataclass(frozen=True, slots=True)
class CrossEntropy(Loss):
    """Minus the logarithm of the probability that softmax gives to the true class.

    Arguments:
        label_smoothing: the share of the target that is spread evenly over all classes, in [0, 1)
            (Szegedy et al. 2016, Rethinking the Inception architecture).
    """

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if not (is_number(self.label_smoothing) and 0.0 <= self.label_smoothing < 1.0):
            raise SettingError(f"CrossEntropy: label_smoothing must lie in [0, 1), got {shown(self.label_smoothing)}")


@dataclass(frozen=True, slots=True)
class MeanSquaredError(Loss):
    """The mean, over images and outputs, of (output - target)²; a class label stands for its one-hot vector."""
