"""What is made of logits: probabilities, and what the network says. As `Network.predict` does it, in float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neocog.explain.subject import Array, Subject
from neocog.nn.answer import UNKNOWN
from neocog.nn.losses import Loss
from neocog.reference.loss import sigmoid, softmax

LIKELY = 0.5  # probability above which a label is predicted that has no threshold of its own


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a network's logits become its answer.

    loss: what the network was trained with, which says whether an image may have several labels.
    temperature: what logits are divided by first, where it has one class.
    reject_below: the probability below which the answer is unknown; None: each is given.
    thresholds: where an image may have several labels, the probability above which each is predicted; None: a half.
    """

    loss: Loss
    temperature: float = 1.0
    reject_below: float | None = None
    thresholds: tuple[float, ...] | None = None

    @classmethod
    def of(cls, model: Subject) -> Judgement:
        """Return a model's; what it does not say of itself is as in a network that nobody calibrated."""
        return cls(
            model.loss,
            getattr(model, "temperature", 1.0),
            getattr(model, "reject_below", None),
            getattr(model, "thresholds", None),
        )

    def probabilities(self, logits: Array) -> Array:
        """Return the probabilities (..., classes) of logits: the softmax of logits / temperature, or the sigmoid of
        each where an image may have several labels.
        """
        return sigmoid(logits) if self.loss.several_labels else softmax(logits / self.temperature)

    def predicted(self, probabilities: Array) -> tuple[int, ...]:
        """Return what the network says: the most probable class, or UNKNOWN where that is not probable enough; or all
        labels of a probability above their thresholds.
        """
        # Rounded as predictions are, so that the image that gave a threshold stays on its own side of it.
        rounded = probabilities.astype(np.float32)
        if self.loss.several_labels:
            likely = rounded.astype(np.float64) > (self.thresholds or LIKELY)  # as `neocog.model.thresholds` compares
            return tuple(int(index) for index in np.flatnonzero(likely))
        if self.reject_below is not None and rounded.max() < self.reject_below:
            return (UNKNOWN,)
        return (int(probabilities.argmax()),)
