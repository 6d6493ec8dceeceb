"""What `neocog train` does where it is not told: a network, how long and by which steps it learns, what it is shown.

Every choice hangs on the data and on what is asked for alone, so that the same command gives the same training
anywhere; whatever is asked for goes first. Weights to begin with are random, or those of a network that learnt
elsewhere (`Start`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from neocog.data.augment.colour import ColorJitter
from neocog.data.augment.crop import RandomCrop, RandomResizedCrop
from neocog.data.augment.erasing import RandomErasing
from neocog.data.augment.flip import RandomFlip
from neocog.data.augment.transform import Transform
from neocog.data.augment.words import as_text, parsed
from neocog.data.resize import ImageSize
from neocog.data.sampling import ALL, Sampling
from neocog.model.views import PLAIN, Views
from neocog.nn.graph import Graph, trace
from neocog.nn.layer import Layer
from neocog.nn.parameters import parameters_of
from neocog.nn.shapes import ImageShape
from neocog.nn.summary import multiply_adds
from neocog.nn.zoo import MODELS, default_net
from neocog.nn.zoo.default import PHOTO_SIDE
from neocog.train.named import default_of

AUTO = "auto"
SECONDS = 300.0  # that a training takes on two cores, about, where no time is asked for
PACE = 2e11  # multiply-adds a second: what two cores with AVX-512 do in such networks, and taken for every machine
PASSES = 3  # of each multiply-add in a training step: forward, and two gradients
LEAST_EPOCHS = 8
MOST_EPOCHS, MOST_PHOTO_EPOCHS = 40, 60  # parts of photographs differ more than small images that are shifted
WIDTHS = (1.0, 0.75, 0.5)  # of the network: the first with which there is time for the least epochs

BATCH, LARGE_BATCH = 64, 128
MANY_IMAGES = 20_000  # from which on batches are large
LEAST_STEPS, LEAST_BATCH = 20, 16  # of an epoch: few images make small batches

OPTIMIZER, SCHEDULE, WARMUP = "adamw", "one-cycle", 0.15
SMOOTHING = 0.1
AVERAGED = 0.04  # share of the training's steps that the running average of the weights reaches over, about
LEAST_AVERAGED, MOST_AVERAGED = 10, 10_000  # steps
NO_WEIGHTS, ROOTS = "none", "roots"  # of classes: all count alike; as "balanced", but by the roots of their numbers
UNEVEN = 10.0  # times the images of the rarest class, from which on classes count by the roots of their numbers

ANNEALED = ("cosine", "linear", "one-cycle", "polynomial")  # schedules whose learning rate falls to the end
OFTEN = 30  # epochs, from which on photographs are changed more, so that they are not learnt by heart
CROPPED_AREA, SMALL_AREA = 0.35, 0.25  # of a photograph, at least; the second where it is seen often
SHIFTED = 14  # of a small image's side, one part of which it is shifted by, at most
Keep = Literal["best", "last"]

HEAD_EPOCHS, HEAD_BATCH = 40, 128
HEAD_RATE, HEAD_DECAY = 0.003, 2.0  # of adamw, for features whose mean square is about 1
HEAD_STEPS, MOST_HEAD_EPOCHS = 1000, 200  # that it takes at least, and epochs in which it takes them at most
TUNED_RATE, TUNED_DECAY = 0.001, 0.05  # of adamw, where a network learnt already
TUNED_EPOCHS = 5
TUNED_IMAGES = 15_000  # that all of its epochs show together, about, so that few images are seen more often
MOST_TUNED_EPOCHS = 30
FEW_ENOUGH = 20_000  # images, up to which photographs are learnt sooner from a network that learnt elsewhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A network that learnt elsewhere, from which a training begins.

    Arguments:
        name: what it is called.
        why: it is chosen, in words.
        graph: with a new head.
        head_only: whether the head alone is trained.
        frozen_norms: whether its BatchNorm2d layers keep their statistics.
    """

    name: str
    why: str
    graph: Graph
    head_only: bool = False
    frozen_norms: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All that a training is made of, but for the data.

    Arguments:
        model: name of the network, or "auto".
        net: the network; graph: the same with all shapes.
        epochs: None: as many as a time limit lets it.
        batch_size: images of a step.
        optimizer, schedule: by name; learning_rate, weight_decay, momentum, lookahead, warmup: their settings, None
            where they have none.
        label_smoothing: of cross-entropy.
        class_weights: "balanced", "roots" or NAME=WEIGHT,...; None: all count alike.
        sampling: which images an epoch shows. Uneven classes get weights, since those show every image, and rare ones
            no more often than others, which are learnt by heart; weights are left out where sampling is asked for.
        ema: decay of the running average of the weights; None: no average.
        keep: which epoch's weights are kept.
        augment: what is done to images.
        views: how the model looks at an image where it answers.
        start: the network that it begins from; None: random weights.
    """

    model: str
    net: Layer
    graph: Graph
    epochs: int | None
    batch_size: int
    optimizer: str
    learning_rate: float | None
    weight_decay: float | None
    momentum: float | None
    lookahead: int | None
    schedule: str
    warmup: float | None
    label_smoothing: float
    class_weights: str | None
    sampling: Sampling
    ema: float | None
    keep: Keep
    augment: tuple[Transform, ...]
    views: Views
    start: Start | None = None

    def told(self) -> str:
        """Say it in one line."""
        size = sum(parameter.size for parameter in parameters_of(self.graph))
        name = "" if self.model == AUTO else f"{self.model}, "
        decay = f", decay {self.weight_decay:g}" if self.weight_decay else ""
        rate = f" {self.learning_rate:g}" if self.learning_rate is not None else ""
        lasting = "" if self.epochs is None else f"{self.epochs} epoch{'s' if self.epochs > 1 else ''} in "
        parts = [
            f"{name}{size:,} parameters from {'scratch' if self.start is None else self.start.name}",
            *([] if self.start is None else [self._phases(self.start)]),
            *([f"augment {as_text(self.augment)}"] if self.augment or self.start is None else []),
            f"{lasting}batches of {self.batch_size}",
            f"{self.optimizer}{rate}{decay}, {self.schedule}",
            *([f"label smoothing {self.label_smoothing:g}"] if self.label_smoothing else []),
            *([f"class weights {self.class_weights}"] if self.class_weights else []),
            *([f"sampling {self.sampling}"] if self.sampling != ALL else []),
            *([f"EMA {self.ema:g}"] if self.ema is not None else []),
            f"keeps the {self.keep} epoch",
            *([f"views {self.views}"] if self.views != PLAIN else []),
        ]
        return "; ".join(parts)

    def _phases(self, start: Start) -> str:
        if start.head_only:
            return "its head alone, on features"
        norms = "frozen" if start.frozen_norms else "live"
        return f"its head on features, then all layers, batch norms {norms}"


def choose(
    counts: np.ndarray[Any, np.dtype[np.int64]],
    size: ImageSize,
    *,
    images: int | None = None,
    classes: bool = True,
    calibrated: bool = True,
    model: str = AUTO,
    start: Start | None = None,
    asked: Mapping[str, Any] | None = None,
) -> Recipe:
    """Choose a recipe, as for images that may not be mirrored; see `mirrored`.

    Arguments:
        counts: (classes,) images of each class that are learnt from.
        size: of the images.
        images: how many there are; default: the sum of `counts`.
        classes: whether the loss is cross-entropy, over classes.
        calibrated: whether there are validation images, on which probabilities are put right at the end. Label
            smoothing makes them too small; without such images they would stay so, and there is none.
        model: name of a network, or "auto".
        start: what to begin from, in place of a network by name.
        asked: fields of a Recipe that are asked for, and "time_limit" in seconds; None: not asked for.
    """
    wish = {name: value for name, value in (asked or {}).items() if value is not None}
    total = max(1, int(counts.sum()) if images is None else images)
    shape = ImageShape(size.height, size.width, size.channels)
    seconds = wish.pop("time_limit", None)
    if start is None:
        net, graph = _network(model, shape, len(counts), total, SECONDS if seconds is None else seconds)
        usual = choose_epochs(graph, total)
    else:
        net = graph = start.graph
        usual = head_epochs(total) if start.head_only else tuning_epochs(total)
    epochs = wish.get("epochs", None if seconds is not None and not (start and start.head_only) else usual)
    batch = wish.get("batch_size", batch_for(total))
    optimizer, schedule = wish.get("optimizer", OPTIMIZER), wish.get("schedule", SCHEDULE)
    lasting = epochs if epochs is not None else choose_epochs(graph, total, seconds or SECONDS)
    steps = lasting * -(-total // batch)
    chosen = {
        "epochs": epochs,
        "batch_size": batch,
        "optimizer": optimizer,
        "learning_rate": default_of(optimizer, "learning_rate"),
        "weight_decay": default_of(optimizer, "weight_decay"),
        "momentum": default_of(optimizer, "momentum"),
        "lookahead": None,
        "schedule": schedule,
        "warmup": WARMUP if schedule == "one-cycle" else None,
        "label_smoothing": SMOOTHING if classes and calibrated else 0.0,
        "class_weights": ROOTS if classes and _uneven(counts) and wish.get("sampling", ALL) == ALL else None,
        "sampling": ALL,
        "ema": round(1.0 - 1.0 / min(MOST_AVERAGED, max(LEAST_AVERAGED, AVERAGED * steps)), 4),
        "keep": "last" if schedule in ANNEALED and "patience" not in wish else "best",
        "augment": _augmentation(size, lasting),
        "views": PLAIN,
    }
    if start is not None and start.head_only:
        chosen |= _of_head()
    elif start is not None:
        chosen["augment"] = (RandomResizedCrop(CROPPED_AREA),)
        if optimizer == OPTIMIZER:
            chosen |= {"learning_rate": TUNED_RATE, "weight_decay": TUNED_DECAY}
    wish.pop("patience", None)
    chosen |= wish
    if isinstance(chosen["augment"], str):
        chosen["augment"] = parsed(chosen["augment"])
    if not chosen["ema"]:
        chosen["ema"] = None  # --ema 0
    if chosen["class_weights"] == NO_WEIGHTS:
        chosen["class_weights"] = None
    return Recipe(model=model, net=net, graph=graph, start=start, **chosen)


def tuning_epochs(images: int) -> int:
    """Return how many epochs all layers of a network that learnt elsewhere are trained for: at least 5, at most 30.

    >>> tuning_epochs(200), tuning_epochs(3000)
    (30, 5)
    """
    return min(MOST_TUNED_EPOCHS, max(TUNED_EPOCHS, TUNED_IMAGES // images))


def head_epochs(images: int) -> int:
    """Return how many epochs a head on features is trained for: at least 40, at most 200.

    >>> head_epochs(100), head_epochs(3000)
    (200, 42)
    """
    return min(MOST_HEAD_EPOCHS, max(HEAD_EPOCHS, round(HEAD_STEPS / -(-images // HEAD_BATCH))))


def helps_to_start(images: int, size: ImageSize) -> bool:
    """Whether a network that learnt from many photographs is a better beginning than chance: for few photographs."""
    return images <= FEW_ENOUGH and size.channels == 3 and min(size.height, size.width) >= PHOTO_SIDE


def _of_head() -> dict[str, Any]:
    """Return the fields of a recipe that trains a head alone."""
    return {
        "batch_size": HEAD_BATCH,
        "optimizer": OPTIMIZER,
        "learning_rate": HEAD_RATE,
        "weight_decay": HEAD_DECAY,
        "schedule": "cosine",
        "warmup": None,
        "label_smoothing": 0.0,
        "ema": None,
        "augment": (),
    }


def choose_epochs(graph: Graph, images: int, seconds: float = SECONDS) -> int:
    """Return the number of epochs that two cores do in about so many seconds; at least 8, and at most 40, or 60 of
    photographs.
    """
    most = MOST_PHOTO_EPOCHS if min(graph.input.height, graph.input.width) >= PHOTO_SIDE else MOST_EPOCHS
    return min(most, max(LEAST_EPOCHS, round(seconds * PACE / _work(graph, images))))


def mirrored(recipe: Recipe, asked: Mapping[str, Any] | None = None) -> Recipe:
    """Return a recipe for images that may be mirrored: they are, in training and where the model answers, unless
    something else is asked for.
    """
    wish = {name for name, value in (asked or {}).items() if value is not None}
    if "augment" not in wish:
        recipe = replace(recipe, augment=(*recipe.augment[:1], RandomFlip(), *recipe.augment[1:]))
    if "views" not in wish and any(isinstance(transform, RandomFlip) for transform in recipe.augment):
        recipe = replace(recipe, views="flip")
    return recipe


def _network(model: str, shape: ImageShape, classes: int, images: int, seconds: float) -> tuple[Layer, Graph]:
    if model != AUTO:
        net = MODELS[model].make(classes)
        return net, trace(net, shape)
    for width in WIDTHS:
        net = default_net(shape, classes, width)
        graph = trace(net, shape)
        if seconds * PACE >= LEAST_EPOCHS * _work(graph, images):
            break
    return net, graph


def _work(graph: Graph, images: int) -> int:
    """Return the multiply-adds of an epoch."""
    return max(1, PASSES * images * sum(map(multiply_adds, graph.nodes)))


def batch_for(images: int) -> int:
    """Return how many images a step takes, of so many: few make small batches, so that an epoch has several steps."""
    if images >= MANY_IMAGES:
        return LARGE_BATCH
    batch = BATCH
    while batch > LEAST_BATCH and images < LEAST_STEPS * batch:
        batch //= 2
    return batch


def _uneven(counts: np.ndarray[Any, np.dtype[np.int64]]) -> bool:
    present = counts[counts > 0]
    return len(present) > 1 and bool(present.max() >= UNEVEN * present.min())


def _augmentation(size: ImageSize, epochs: int) -> tuple[Transform, ...]:
    """Return what is done to images of a size, but for mirroring: parts of photographs, in other colours and with holes
    where they are seen often; shifts of small images.
    """
    side = min(size.height, size.width)
    if side < PHOTO_SIDE:
        shift = round(side / SHIFTED)
        return (RandomCrop(shift),) if shift else ()
    if epochs < OFTEN:
        return (RandomResizedCrop(CROPPED_AREA),)
    colours = (ColorJitter(),) if size.channels == 3 else ()
    return (RandomResizedCrop(SMALL_AREA), *colours, RandomErasing())
