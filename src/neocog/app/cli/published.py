"""`neocog train --recipe NAME`: trainings as somebody published them, for data of the kind that they were made for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import click
import numpy as np

from neocog.app.cli import options
from neocog.app.cli.errors import CommandLineError
from neocog.data.dataset import Dataset, DataSplits, Source
from neocog.data.resize import ImageSize
from neocog.model.network import Network
from neocog.nn.losses import CrossEntropy
from neocog.nn.optimizers import SGD, Lookahead
from neocog.nn.schedules import Warmup
from neocog.train.given import settled
from neocog.train.recipes import airbench
from neocog.train.settings import TrainingSettings

RECIPES = (airbench.MODEL,)
DECIDES = (
    *("model", "batch_size", "optimizer", "lr", "weight_decay", "momentum", "lookahead", "schedule", "warmup"),
    *("label_smoothing", "loss", "class_weights", "freeze"),
)
"""What a recipe decides, so that flags cannot."""

flag = click.option(
    "--recipe",
    type=options.WordOption(RECIPES),
    help="Train as published: airbench94, for RGB images of 32 x 32 pixels such as CIFAR-10.",
)


def check_alone(ctx: click.Context, recipe: str | None) -> None:
    """Raise CommandLineError where flags ask for what the recipe decides."""
    for name in DECIDES if recipe is not None else ():
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise CommandLineError(
                f"--{name.replace('_', '-')} cannot be given with --recipe {recipe}, which decides it",
                hint="leave one of the two out",
                ctx=ctx,
            )


def check_size(recipe: str, size: ImageSize) -> None:
    """Raise CommandLineError unless the recipe was made for images of this size."""
    if size.shape != airbench.IMAGE:
        height, width, channels = size.shape
        raise CommandLineError(
            f"--recipe {recipe} needs RGB images of 32 x 32 pixels, these are {height} x {width} of {channels} "
            f"channel{'s' if channels > 1 else ''}",
            hint="--img-size 32 --channels 3 makes them so, and the recipe may still not be for them",
        )


def all_to_learn_from(source: Source, splits: DataSplits) -> DataSplits:
    """Return splits without validation images where these would be taken from the training images of data with a test
    part: the recipe keeps its last epoch, so that there is nothing to choose.
    """
    if source.train is None or source.test is None or source.validation is not None:
        return splits
    return replace(splits, train=source.train, validation=None)


def settings_of(model: Network, images: int, given: Mapping[str, Any]) -> TrainingSettings:
    """Return the recipe's settings, but for what flags ask for."""
    asked = {name: given[name] for name in ("epochs", "seed") if name in given}
    return settled({**airbench.settings(model.graph, images, **asked).given(), **given})


def begin_as_published(model: Network, data: Dataset) -> None:
    """Set the weights of a model to those that the recipe begins with, made of images from all of the data."""
    few = min(len(data), airbench.WHITENED_IMAGES)
    indices = np.unique(np.linspace(0, len(data) - 1, few).round().astype(np.int64))
    images, readable = data.read(indices, ImageSize(*model.input_shape), model.resize)
    airbench.start(model, np.asarray(images[readable], np.uint8))


def recorded(settings: TrainingSettings) -> dict[str, object]:
    """Return what config.json says of the recipe's choices, under the names of the flags that could not be given."""
    around, schedule, loss = settings.optimizer, settings.schedule, settings.loss
    assert isinstance(around, Lookahead)
    assert isinstance(around.optimizer, SGD)
    assert isinstance(schedule, Warmup)
    assert isinstance(loss, CrossEntropy)
    return {
        "optimizer": "sgd",
        "lr": around.learning_rate,
        "weight_decay": around.weight_decay,
        "momentum": around.optimizer.momentum,
        "lookahead": around.every,
        "schedule": "linear",
        "warmup": schedule.share,
        "label_smoothing": loss.label_smoothing,
    }
