"""The loss that `neocog train` is asked for: its name, label smoothing and the weights of classes."""

from __future__ import annotations

import math

from neocog.app.cli.errors import CommandLineError, nearest
from neocog.app.cli.measured import shorten
from neocog.data.dataset import Dataset
from neocog.nn.losses import BinaryCrossEntropy, CrossEntropy, Loss, MeanSquaredError, balanced_weights
from neocog.train.recipe import NO_WEIGHTS, ROOTS

BALANCED = "balanced"
LOSSES = ("auto", "cross-entropy", "binary-cross-entropy", "mean-squared-error")


def make_loss(name: str, smoothing: float, weights: str | None, data: Dataset) -> Loss:
    """Return the loss that flags ask for.

    Arguments:
        name: one of LOSSES; "auto" is cross-entropy, or binary where images may have several labels.
        smoothing: label smoothing, of cross-entropy alone.
        weights: "balanced", "roots" (the square roots of that), "none", or NAME=WEIGHT of some classes with commas
            between; the others get 1. None: all alike.
        data: what is trained on.

    Raises:
        CommandLineError: the flags do not fit each other or the data.
    """
    weights = None if weights == NO_WEIGHTS else weights
    if name == "auto":
        name = LOSSES[2] if data.several_labels else LOSSES[1]
    if data.several_labels and name == LOSSES[1]:
        raise CommandLineError(
            "--loss cross-entropy needs one label an image, and these may have several",
            hint="leave --loss out, or write --loss binary-cross-entropy",
        )
    if smoothing and name != LOSSES[1]:
        raise CommandLineError(
            f"--label-smoothing only applies to --loss cross-entropy, got {name}", hint="leave one of the two out"
        )
    if name == LOSSES[3]:
        if weights is not None:
            raise CommandLineError(
                "--class-weights does not apply to --loss mean-squared-error", hint="leave one of the two out"
            )
        return MeanSquaredError()
    if name == LOSSES[2]:
        return BinaryCrossEntropy(None if weights is None else _positive_weights(weights, data))
    return CrossEntropy(smoothing, None if weights is None else _class_weights(weights, data))


def _class_weights(weights: str, data: Dataset) -> tuple[float, ...]:
    if weights in (BALANCED, ROOTS):
        balanced = balanced_weights([int(images) for images in data.counts()])
        return balanced if weights == BALANCED else tuple(map(math.sqrt, balanced))
    return _named(weights, data.class_names)


def _positive_weights(weights: str, data: Dataset) -> tuple[float, ...]:
    """Return for each label the images without it for each image that has it; 1 where none has."""
    if weights in (BALANCED, ROOTS):
        balanced = [(len(data) - int(images)) / int(images) if images else 1.0 for images in data.counts()]
        return tuple(balanced if weights == BALANCED else map(math.sqrt, balanced))
    return _named(weights, data.class_names)


def _named(text: str, names: tuple[str, ...]) -> tuple[float, ...]:
    found: dict[str, float] = {}
    for entry in text.split(","):
        name, equals, value = entry.strip().rpartition("=")
        try:
            weight = float(value)
        except ValueError:
            weight = math.nan
        if not equals or not 0 <= weight < math.inf:
            raise CommandLineError(
                f"--class-weights must be {BALANCED}, {ROOTS}, {NO_WEIGHTS}, or NAME=WEIGHT of some classes, "
                f"weights of 0 or more, got {entry.strip()!r}",
                hint=f"such as --class-weights {names[0]}=2,{names[-1]}=0.5",
            )
        if name not in names:
            guess = nearest(name, names)
            raise CommandLineError(
                f"--class-weights: there is no class {name!r}; the classes are {shorten(names)}",
                hint=f"did you mean {guess}?" if guess else None,
            )
        found[name] = weight
    if len(found) == len(names) and not any(found.values()):
        raise CommandLineError("--class-weights must not all be 0: nothing would be learnt")
    return tuple(found.get(name, 1.0) for name in names)
