"""What `neocog train` does: decide what is left open, train with a run folder, measure the best model."""

from __future__ import annotations

import contextlib
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from neocog.app.cli import datasets, doubts, learnt, models, pretrained, published
from neocog.app.cli.compiling import told_of_compiling
from neocog.app.cli.errors import (
    CommandLineError,
    format_error,
    interrupted_by,
    interrupted_code,
    note,
    warn,
)
from neocog.app.cli.flags import Flags
from neocog.app.cli.loggers import heard_on_stderr, loggers_of
from neocog.app.cli.measured import shorten
from neocog.app.cli.output import count
from neocog.app.cli.plan import decide, image_counts, plan, read_parts, training_size
from neocog.app.cli.processes import copy_folder, folder_of_its_own, is_first
from neocog.app.cli.runs import Successor, files_of, has_begun, make_folder, removed_if_empty, removed_if_unfinished
from neocog.app.cli.settings import record_settings
from neocog.app.cli.trained import Outcome
from neocog.app.cli.words import words_given
from neocog.app.report.starts import record_start
from neocog.data.batches import Batches
from neocog.data.builtin import DIGITS
from neocog.data.dataset import Dataset, DataSplits
from neocog.data.identity import NOBODY, Identities
from neocog.data.resize import ImageSize
from neocog.errors import DataError, NeocogError
from neocog.model import kinds
from neocog.model.calibration import Reject
from neocog.model.network import Network
from neocog.ranks.world import World
from neocog.text import printable
from neocog.train.calibrate import calibrate
from neocog.train.checkpoint import Checkpoint
from neocog.train.evaluation import Evaluation, evaluate
from neocog.train.fine_tune import fine_tune
from neocog.train.fit import fit
from neocog.train.history import History
from neocog.train.labels import LabelsEvaluation
from neocog.train.recipe import Recipe
from neocog.train.runfolder import RunFolder
from neocog.train.settings import TrainingSettings
from neocog.train.source import DataSource
from neocog.train.thresholds import fit_thresholds_on
from neocog.train.tuning import WHOLE, Tuning

EVALUATION_BATCH = 256  # images; no gradients are kept, so more than a training batch
LAST_FILE = "last.safetensors"  # of a run folder
NAME_DATA = "name the folder where its images lie now: neocog train DATA --resume RUN"


@dataclass(slots=True)
class TrainingJob:
    """All that a training needs, made from flags or from a checkpoint."""

    data: str
    splits: DataSplits
    model: Network
    folder: RunFolder
    settings: TrainingSettings
    checkpoint: Checkpoint | None = None
    config: dict[str, object] = field(default_factory=dict)
    learnt_from: Identities = field(default_factory=lambda: NOBODY)
    unreadable: int = 0
    tuning: Tuning | None = None
    world: World | None = None

    @property
    def size(self) -> ImageSize:
        """What images are brought to."""
        return ImageSize(*self.model.input_shape)


def begin(data: str, flags: Flags, held: contextlib.ExitStack, world: World | None = None) -> TrainingJob:
    """Make the model and its run folder, and lock that as long as `held` is open."""
    planned = plan(data, flags)
    if is_first(world):
        folder = make_folder(planned.splits.name, flags.output, held, overwrite=flags.overwrite)
    else:
        folder = folder_of_its_own(held)
    with removed_if_empty(folder):
        splits, unreadable, model, settings, recipe = decide(planned, flags)
        training = TrainingJob(data, splits, model, folder, settings, unreadable=unreadable, world=world)
        training.learnt_from = learnt.images_of(splits, quiet=flags.quiet)
        learnt.tell_copies(splits)
        sizes = (training.size, training_size(splits, training.size, settings.augment))
        doubts.tell_doubts(splits, sizes)
        if flags.img_size is None and not flags.quiet:
            doubts.tell_odd_sizes(splits.train, training.size)
        training.tuning = pretrained.tuning_of(recipe, settings, len(splits.train))
        training.config = _config(training, flags, recipe)
    return training


def resume(
    run: Path, data: str | None, flags: Flags, held: contextlib.ExitStack, world: World | None = None
) -> TrainingJob:
    """Go on with the training that lies in a run folder, and lock that as long as `held` is open."""
    path = run.parent if run.name == LAST_FILE else run
    if is_first(world) and not (path / LAST_FILE).is_file():
        raise CommandLineError(
            f"{run} cannot be resumed: it has no {LAST_FILE}",
            hint="name a run folder, such as runs/NAME; a training writes that file after its first epoch",
        )
    folder = RunFolder(path) if is_first(world) else folder_of_its_own(held)
    held.enter_context(folder.locked())
    if world is not None:
        copy_folder(world, folder)
    checkpoint = folder.load_last(engine=flags.engine, threads=flags.threads)
    model = checkpoint.model
    kept = checkpoint.config.get("data")
    location = data if data is not None else datasets.located(kept) if isinstance(kept, str) else None
    if location is None:
        raise CommandLineError(f"{run} does not say what it was trained on", hint=NAME_DATA)
    if data is None and location != DIGITS and not datasets.is_there(location):
        raise CommandLineError(f"{location}, which {run} was trained on, is not there any more", hint=NAME_DATA)
    source = datasets.open_source(location, quiet=flags.quiet)
    splits = datasets.split(source, recorded=folder.read_split(), quiet=flags.quiet)
    if checkpoint.config.get("recipe") in published.RECIPES:
        splits = published.all_to_learn_from(source, splits)
    if splits.class_names != model.class_names:
        raise DataError(
            f"{location}: the classes are not those that {run} was trained on",
            details=(f"trained on: {shorten(model.class_names)}", f"found: {shorten(splits.class_names)}"),
            hint=NAME_DATA if data is None else "name data with the same classes, or start a new run without --resume",
        )
    settings, tuning = pretrained.resumed(checkpoint, flags.settings)
    splits, unreadable = read_parts(splits, ImageSize(*model.input_shape), settings.augment, flags, model.resize)
    learnt_from = learnt.images_of(splits, quiet=flags.quiet)
    learnt.tell_changes(model, learnt_from, str(run))
    return TrainingJob(
        location,
        splits,
        model,
        folder,
        settings,
        checkpoint=checkpoint,
        config={**checkpoint.config, "data": datasets.absolute(location)},
        learnt_from=learnt_from,
        unreadable=unreadable,
        tuning=tuning,
        world=world,
    )


def _config(training: TrainingJob, flags: Flags, recipe: Recipe) -> dict[str, object]:
    """Return what a resumed training needs to know beyond the checkpoint, and a reader of config.json wants to."""
    normalisation = training.model.graph.normalisation
    return {
        "data": datasets.absolute(training.data),
        "source": training.splits.source,
        "classes": list(training.model.class_names),
        "images": image_counts(training.splits),
        "model": flags.recipe or flags.model,
        "recipe": flags.recipe or recipe.told(),
        "img_size": [training.size.height, training.size.width],
        "channels": training.size.channels,
        "mean": list(normalisation.mean),
        "std": list(normalisation.std),
        **record_settings(training.settings),
        "optimizer": recipe.optimizer,
        "lr": recipe.learning_rate,
        "weight_decay": recipe.weight_decay,
        "momentum": recipe.momentum,
        "lookahead": recipe.lookahead,
        "schedule": recipe.schedule,
        "warmup": recipe.warmup,
        "label_smoothing": recipe.label_smoothing,
        "class_weights": recipe.class_weights,
        "loss": kinds.to_json(training.settings.loss),
        "reject": None if flags.reject is None else str(flags.reject),
        "engine": flags.engine,
        "views": training.model.views,
        **(
            {}
            if recipe.start is None or training.tuning is None
            else pretrained.recorded(recipe.start, training.model, training.tuning)
        ),
        **({} if flags.recipe is None else published.recorded(training.settings)),
    }


def run(training: TrainingJob, flags: Flags) -> Outcome | None:
    """Train, then measure the best model on the test part, or on the validation part where there is none.

    Where processes share the training, the first one measures; the others return None.
    """
    if not flags.quiet:
        click.echo(printable(_opening(training)), err=True)
        told = training.config.get("recipe")
        if isinstance(told, str):
            click.echo(printable(f"recipe: {told}"), err=True)
        _tell_if_done(training)
    try:
        with removed_if_empty(training.folder), removed_if_unfinished(training.folder):
            if training.checkpoint is None:
                _write_beginning(training)
            else:
                record_start(training.folder, words_given(), first=False)
                if training.config.get("data") != training.checkpoint.config.get("data"):
                    training.folder.write_config(training.config)  # the images were moved
            history = _fit(training, flags)
    except KeyboardInterrupt as error:
        if is_first(training.world):
            click.echo(_interrupted(training, interrupted_by(error)), err=True)
        raise click.exceptions.Exit(interrupted_code(error)) from None
    if not is_first(training.world):
        return None
    _fit_thresholds(training, flags)
    _calibrate(training, flags)
    part, evaluation = _measure(training, flags)
    if part == "test":  # those of the validation part are in the file already
        training.model.metrics.update(test_accuracy=evaluation.accuracy, test_loss=evaluation.loss)
        training.folder.save_best(training.model)
    return Outcome(
        data=training.data,
        splits=training.splits,
        folder=training.folder,
        model=training.model,
        history=history,
        part=part,
        evaluation=evaluation,
        unreadable=training.unreadable,
        keep=training.settings.keep,
    )


def _write_beginning(training: TrainingJob) -> None:
    """Write what the training starts from; over a training that is to be replaced, only once an epoch is done."""
    folder = training.folder

    def write() -> None:
        folder.write_config(training.config)
        folder.write_split(training.splits)
        folder.report.unlink(missing_ok=True)  # of what lay here before
        record_start(folder, words_given(), first=True)

    if isinstance(folder, Successor):
        folder.on_first_epoch = write
        return
    for path in set(files_of(folder)) - {folder.features(part) for part in ("train", "validation")}:
        path.unlink(missing_ok=True)  # features say themselves what they are of
    write()


def source_of(
    part: Dataset, model: Network, settings: TrainingSettings, flags: Flags, *, shuffle: bool = True
) -> DataSource:
    """Return the batches of a part, to train on (shuffled) or to measure on."""
    batches = Batches(
        part,
        settings.batch_size if shuffle else EVALUATION_BATCH,
        ImageSize(*model.input_shape),
        resize=model.resize,
        shuffle=shuffle,
        seed=settings.seed,
        workers=flags.workers,
        on_error="skip",
    )
    return DataSource(batches)


def _fit(training: TrainingJob, flags: Flags) -> History:
    validation = training.splits.validation
    loggers = loggers_of(flags.log, training.folder.path.resolve(), training.splits.name, training.config)

    def source(part: Dataset, *, shuffle: bool) -> DataSource:
        return source_of(part, training.model, training.settings, flags, shuffle=shuffle)

    train = source(training.splits.train, shuffle=True)
    shared: dict[str, Any] = {
        "validation": None if validation is None else source(validation, shuffle=False),
        "callbacks": loggers,
        "threads": flags.threads,
        "resume": training.checkpoint,
        "folder": training.folder,
        "config": training.config,
        "restore_best": True,
        "verbose": 0 if flags.quiet else 1,
        "learnt_from": training.learnt_from,
        "world": training.world,
        "fast_reduce": flags.fast_reduce,
    }
    if training.settings.precision == "float32" and flags.engine == "native" and not flags.quiet:
        models.tell_of_tiles()
    with told_of_compiling(quiet=flags.quiet), heard_on_stderr(flags.log):
        if training.tuning is None:
            return fit(training.model, train, engine=flags.engine, **shared, **training.settings.given())
        in_order = source(training.splits.train, shuffle=False)
        with datasets.progress_bar("features", quiet=flags.quiet) as progress:
            return fine_tune(training.model, train, training.tuning, in_order=in_order, progress=progress, **shared)


def _fit_thresholds(training: TrainingJob, flags: Flags) -> None:
    """Where an image may have several labels, fit their thresholds on the validation part, and save them."""
    model, validation = training.model, training.splits.validation
    if model.loss.several_labels and validation is not None:
        source = source_of(validation, model, training.settings, flags, shuffle=False)
        with told_of_compiling(quiet=flags.quiet):
            fit_thresholds_on(model, source.batches(0))
        training.folder.save_best(model)


def _calibrate(training: TrainingJob, flags: Flags) -> None:
    """Where an image has one label, find what probabilities are worth on the validation part, and save that."""
    model, validation = training.model, training.splits.validation
    if model.loss.several_labels or validation is None:
        return
    asked = training.config.get("reject")
    reject = Reject.parse(asked) if flags.reject is None and isinstance(asked, str) else flags.reject
    source = source_of(validation, model, training.settings, flags, shuffle=False)
    with told_of_compiling(quiet=flags.quiet):
        calibrate(model, source.batches(0))
    if reject is not None:
        try:
            model.reject(reject)
        except NeocogError as error:  # which is no reason to lose a training
            warn(
                f"{error.message}, so that all images are answered", error.details, "ask predict for less with --reject"
            )
    training.folder.save_best(model)


def _measure(training: TrainingJob, flags: Flags) -> tuple[str, Evaluation | LabelsEvaluation]:
    parts = dict(training.splits.items())
    part = next(name for name in ("test", "validation", "train") if name in parts)
    source = source_of(parts[part], training.model, training.settings, flags, shuffle=False)
    with told_of_compiling(quiet=flags.quiet):
        return part, evaluate(training.model, source.batches(0))


def _interrupted(training: TrainingJob, what: str) -> str:
    folder = training.folder
    if not has_begun(folder):
        kept = "the training before it" if isinstance(folder, Successor) else "nothing"
        return format_error(f"{what} before the first epoch was finished; {kept} is kept")
    again = f"neocog train {shlex.quote(training.data)} --resume {shlex.quote(str(folder.path))}"
    return format_error(f"{what}; the finished epochs are saved in {folder.path}", hint=f"continue with: {again}")


def _tell_if_done(training: TrainingJob) -> None:
    """Say so where a training that goes on has nothing more to do."""
    checkpoint = training.checkpoint
    if checkpoint is None:
        return
    planned = training.settings.epochs
    phases = training.tuning is not None and training.tuning.whole is not None
    done = len(checkpoint.history.of_phase(WHOLE)) if phases else len(checkpoint.history)
    if planned is not None and done >= planned:
        note(f"all planned epochs are done already ({planned:,}), so nothing is left; ask for more with --epochs")


def _opening(training: TrainingJob) -> str:
    parts = ", ".join(f"{images:,} {name}" for name, images in image_counts(training.splits).items())
    size = training.size
    return (
        f"{training.splits.name}: {count(len(training.model.class_names), 'class', 'classes')}; images: {parts}; "
        f"{size.height} x {size.width} pixels, {'grey' if size.channels == 1 else f'{size.channels} channels'}"
        + ("" if training.world is None else f"; shared by {count(training.world.size, 'process', 'processes')}")
    )
