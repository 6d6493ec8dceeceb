"""What a training will be: what flags decide at once, and what the images decide when they are read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from neocog.app.cli import datasets, pretrained, published
from neocog.app.cli.errors import (
    CommandLineError,
    note,
    warn,
)
from neocog.app.cli.flags import Flags
from neocog.app.cli.losses import make_loss
from neocog.app.cli.measured import shorten
from neocog.app.cli.output import count
from neocog.data.augment.pipeline import Pipeline
from neocog.data.augment.transform import Transform
from neocog.data.dataset import DataSplits
from neocog.data.resize import DEFAULT_RESIZE, ImageSize, ResizeRule
from neocog.errors import DataError
from neocog.model.network import Network
from neocog.nn.losses import CrossEntropy
from neocog.train.given import settled
from neocog.train.named import OPTIMIZER_NAMES, default_of, make_optimizer, make_schedule
from neocog.train.pictures import channel_statistics, choose_size, may_be_mirrored
from neocog.train.recipe import OPTIMIZER, Recipe, choose, mirrored
from neocog.train.recipes import airbench
from neocog.train.settings import TrainingSettings

FEW_IMAGES = 10  # of a class; too few to learn from


@dataclass(frozen=True, slots=True)
class Plan:
    """What flags and the names of the images decide, before any image is read."""

    splits: DataSplits
    size: ImageSize
    recipe: Recipe
    beginning: Network | None = None


def plan(data: str, flags: Flags) -> Plan:
    """Decide what the flags leave open, and tell what does not fit: reading the images may take minutes."""
    optimizer = flags.optimizer or OPTIMIZER
    if flags.momentum is not None and default_of(optimizer, "momentum") is None:
        having = [name for name in OPTIMIZER_NAMES if default_of(name, "momentum") is not None]
        raise CommandLineError(
            f"--momentum only applies to --optimizer {', '.join(having[:-1])} or {having[-1]}, got {optimizer}",
            hint="leave one of the two out",
        )
    source = datasets.open_source(data, quiet=flags.quiet)
    splits = datasets.split(source, quiet=flags.quiet)
    if flags.recipe is not None:
        splits = published.all_to_learn_from(source, splits)
    names = splits.class_names
    if len(names) < (1 if splits.train.several_labels else 2):
        raise DataError(
            f"{splits.name}: training needs at least 2 classes, found {len(names)}: {', '.join(names)}",
            details=splits.notes,
            hint="put the images of each class into a folder of its own: DATA/cat/1.jpg, DATA/dog/1.jpg",
        )
    # tells what does not fit early
    loss = make_loss(flags.loss, flags.label_smoothing or 0.0, flags.class_weights, splits.train)
    if flags.reject is not None and (splits.validation is None or splits.train.several_labels):
        raise CommandLineError(
            f"--reject {flags.reject} needs "
            + ("images of one label each" if splits.train.several_labels else "validation images to choose by"),
            hint="put some into DATA/val" if splits.validation is None else "leave --reject out",
        )
    size = choose_size(splits.train, flags.img_size, int(flags.channels) if flags.channels else None)
    begun = pretrained.begin(flags, splits, size)
    start, beginning = begun if begun is not None else (None, None)
    if beginning is not None:
        size = ImageSize(*beginning.input_shape)
    if flags.recipe is not None:
        published.check_size(flags.recipe, size)
    recipe = choose(
        splits.train.counts(),
        size,
        images=len(splits.train),
        classes=isinstance(loss, CrossEntropy),
        calibrated=splits.validation is not None,
        model=flags.recipe or flags.model,
        start=start,
        asked=_asked(flags),
    )
    # A network that does not fit the images, and layers to freeze that are not there.
    settled(flags.settings).for_engine().rules(Network(recipe.net, size.shape, names).graph)
    return Plan(splits, size, recipe, beginning)


def _asked(flags: Flags) -> dict[str, Any]:
    """Return what the flags say of a recipe."""
    named = ("optimizer", "weight_decay", "momentum", "lookahead", "schedule", "warmup", "label_smoothing")
    own = {name: getattr(flags, name) for name in (*named, "class_weights", "views")}
    settings = ("epochs", "batch_size", "time_limit", "patience", "ema", "keep", "augment", "sampling")
    return {"learning_rate": flags.lr, **own, **{name: flags.settings.get(name) for name in settings}}


def decide(planned: Plan, flags: Flags) -> tuple[DataSplits, int, Network, TrainingSettings, Recipe]:
    """Read the images; return those that can be read, the number of the others, the model, how it is trained, and the
    recipe that this follows from.
    """
    size, recipe, asked = planned.size, planned.recipe, _asked(flags)
    model = planned.beginning
    rule = DEFAULT_RESIZE if model is None else model.resize
    splits, unreadable = read_parts(planned.splits, size, recipe.augment, flags, rule)
    at_hand = training_size(splits, size, recipe.augment)
    open_yet = asked["augment"] is None or asked["views"] is None
    if open_yet and may_be_mirrored(splits.train, at_hand, rule):
        recipe = mirrored(recipe, asked)
    settings = settled(
        {
            **flags.settings,
            "epochs": recipe.epochs,
            "batch_size": recipe.batch_size,
            "ema": recipe.ema,
            "keep": recipe.keep,
            "augment": recipe.augment,
            "optimizer": make_optimizer(
                recipe.optimizer, recipe.learning_rate, recipe.weight_decay, recipe.momentum, recipe.lookahead
            ),
            "loss": make_loss(flags.loss, recipe.label_smoothing, recipe.class_weights, splits.train),
            "schedule": make_schedule(recipe.schedule, recipe.warmup),
            **({} if recipe.start is None else pretrained.own_settings(recipe)),
        }
    )
    if model is not None:
        model.views, model.loss, model.seed = recipe.views, settings.loss, settings.seed
        return splits, unreadable, model, settings, recipe
    mean, std = channel_statistics(splits.train, at_hand)
    model = Network(
        recipe.net,
        size.shape,
        splits.class_names,
        seed=settings.seed,
        mean=mean,
        std=std,
        views=recipe.views,
        engine=flags.engine,
        threads=flags.threads,
    )
    if flags.recipe is not None:
        settings = published.settings_of(model, image_counts(splits)["train"], flags.settings)
        published.begin_as_published(model, splits.train)
        model.views = flags.views or airbench.VIEWS
    return splits, unreadable, model, settings, recipe


def image_counts(splits: DataSplits) -> dict[str, int]:
    """Return the number of images of each part that can be read."""
    return {name: len(part) - len(part.unreadable) for name, part in splits.items()}


def training_size(splits: DataSplits, size: ImageSize, augment: tuple[Transform, ...]) -> ImageSize:
    """Return the size that images to train on are read in, which may be larger than the network's."""
    return Pipeline(augment).read_size(size, splits.train.native_size)


def read_parts(
    splits: DataSplits,
    size: ImageSize,
    augment: tuple[Transform, ...],
    flags: Flags,
    resize: ResizeRule = DEFAULT_RESIZE,
) -> tuple[DataSplits, int]:
    """Read every image once and name those that cannot be read; give the parts that something is left of, and their
    number.
    """
    reasons = []
    sizes = {"train": training_size(splits, size, augment)}
    for name, part in splits.items():
        of_part = sizes.get(name, size)
        reasons += datasets.verify(part, of_part, resize, name=name, workers=flags.workers, quiet=flags.quiet)
    datasets.list_unreadable(reasons, strict=flags.strict)
    readable = image_counts(splits)
    if readable["train"] < 2:
        raise DataError(
            f"{splits.name}: training needs at least 2 images that can be read, found {readable['train']}",
            hint="find out why with: neocog check DATA",
        )
    _tell_notes(splits, flags)
    if not flags.quiet and not splits.train.fits(sizes["train"]):
        needed = sum(len(part) for _, part in splits.items()) * sizes["train"].values / 2**20
        note(
            f"the decoded images ({needed:,.0f} MiB) take more than a quarter of the free memory, and there is no room "
            "on disk for them (NEOCOG_CACHE names another folder); each epoch decodes them again"
        )
    left = replace(
        splits,
        validation=splits.validation if readable.get("validation") else None,
        test=splits.test if readable.get("test") else None,
    )
    return left, len(reasons)


def _tell_notes(splits: DataSplits, flags: Flags) -> None:
    images = dict(zip(splits.class_names, map(int, splits.train.counts()), strict=True))
    bare = [name for name, number in images.items() if not number]
    few = [f"{name} ({number})" for name, number in images.items() if 0 < number < FEW_IMAGES]
    if bare:
        warn(f"{count(len(bare), 'class', 'classes')} without training images: {shorten(bare)}")
    if splits.empty_classes:
        folders = count(len(splits.empty_classes), "folder")
        warn(f"{folders} ignored, without an image: {shorten(splits.empty_classes)}")
    if few:
        warn(f"{count(len(few), 'class', 'classes')} with fewer than {FEW_IMAGES} training images: {shorten(few)}")
    if not flags.quiet:
        for text in splits.notes:
            note(text)
