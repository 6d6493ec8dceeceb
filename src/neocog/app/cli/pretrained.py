"""`neocog train --pretrained`: a training that begins with a network that learnt elsewhere, by itself where that helps.

Which networks are at hand is for `neocog.interop.pretrained` to know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import click

from neocog.app.cli import options
from neocog.app.cli.errors import CommandLineError, note
from neocog.app.cli.flags import Flags
from neocog.data.augment.flip import RandomFlip
from neocog.data.dataset import DataSplits
from neocog.data.resize import ImageSize
from neocog.interop.packages import install
from neocog.model.network import Network
from neocog.model.remade import for_classes, remade
from neocog.nn.transfer import with_norms
from neocog.train.checkpoint import Checkpoint
from neocog.train.given import settled
from neocog.train.recipe import AUTO, Recipe, Start, helps_to_start
from neocog.train.settings import TrainingSettings
from neocog.train.tuning import HEAD, WHOLE, Tuning, check_changes, head_settings, next_settings, rates_by_depth

Function = TypeVar("Function", bound=Callable[..., Any])
NONE = "none"
FROZEN, LIVE = "frozen", "live"
HOW = install("pretrained")


def flags(command: Function) -> Function:
    """Add the flags of fine-tuning to a command."""
    for flag in (
        click.option(
            "--batch-norm",
            type=options.WordOption((FROZEN, LIVE)),
            help="With a pretrained network: whether BatchNorm2d layers keep their statistics, or learn new ones.  "
            f"[default: {FROZEN}]",
        ),
        click.option(
            "--head-only",
            is_flag=True,
            help="With a pretrained network: train its new last layer alone, which takes seconds once features are "
            "computed.",
        ),
        click.option(
            "--pretrained",
            metavar="NAME|FILE|none",
            help="Begin with a network that learnt elsewhere.  [default: one that is at hand, for photographs, up to "
            "20,000 of them]",
        ),
    ):
        command = flag(command)
    return command


def begin(flags: Flags, splits: DataSplits, size: ImageSize) -> tuple[Start, Network] | None:
    """Return what a training begins with, with a head for its classes; None: with random weights.

    Raises:
        CommandLineError: flags that do not go together.
        NeocogError: there is no such network, it cannot be read, or does not take such images.
    """
    asked = flags.pretrained
    by_itself = (
        asked is None and flags.model == AUTO and flags.recipe is None and helps_to_start(len(splits.train), size)
    )
    name = _at_hand(flags, len(splits.train)) if by_itself else asked
    if name is None or name == NONE:
        _refuse_alone(flags, asked, by_itself=by_itself)
        return None
    _refuse_of_second_phase(flags)
    if flags.model != AUTO or flags.recipe is not None:
        other = "--recipe" if flags.recipe is not None else "--model"
        raise CommandLineError(
            f"{other} names a network, and so does --pretrained {name}", hint="leave one of the two out"
        )
    network = _read(name, flags)
    if flags.channels is not None and int(flags.channels) != network.input_shape[2]:
        raise CommandLineError(
            f"{name} takes images of {network.input_shape[2]} channels, got --channels {flags.channels}",
            hint="leave --channels out: grey images are brought to it",
        )
    made = for_classes(network, splits.class_names, size=flags.img_size, seed=flags.settings.get("seed", 0))
    frozen = flags.batch_norm != LIVE
    made = remade(made, with_norms(made.graph, frozen=frozen), made.class_names)
    why = f"{len(splits.train):,} photographs teach it sooner than random weights" if by_itself else "asked for"
    start = Start(name=name, why=why, graph=made.graph, head_only=flags.head_only, frozen_norms=frozen)
    if by_itself and not flags.quiet:
        note(f"begins with {name}, which learnt elsewhere: {why}; --pretrained none begins with random weights")
    return start, made


def _at_hand(flags: Flags, images: int) -> str | None:
    """Return the name of a network that is at hand; where there is none, say how to get one."""
    names = backbones_at_hand()
    if not names and not flags.quiet:
        note(f"so few photographs are learnt sooner, and better, with a network that learnt elsewhere: {HOW}")
    return names[0] if names else None


def backbones_at_hand() -> list[str]:
    """Return the names of networks that learnt elsewhere and are on this machine, the one to begin with first."""
    from neocog.interop.pretrained import at_hand  # here, since most commands need none

    return at_hand()


def _read(name: str, flags: Flags) -> Network:
    from neocog.interop.pretrained import backbone

    return backbone(name, engine=flags.engine, threads=flags.threads, quiet=flags.quiet)


def _refuse_alone(flags: Flags, asked: str | None, *, by_itself: bool) -> None:
    """Raise CommandLineError where flags of fine-tuning are given without a network that it begins with."""
    hint = f"name one with --pretrained FILE, or {HOW}"
    if asked == NONE:
        why = "--pretrained none asks for random weights"
    elif flags.recipe is not None or flags.model != AUTO:
        other = f"--model {flags.model}" if flags.recipe is None else f"--recipe {flags.recipe}"
        why, hint = f"{other} begins with random weights", f"leave {other} out, or name another with --pretrained FILE"
    elif by_itself:
        why = "none is at hand"
    else:
        why = "none is taken unasked for images that are grey, small, or many"
    for given, flag in ((flags.head_only, "--head-only"), (flags.batch_norm is not None, "--batch-norm")):
        if given:
            raise CommandLineError(f"{flag} needs a network that learnt elsewhere, and {why}", hint=hint)


def _refuse_of_second_phase(flags: Flags) -> None:
    """Raise CommandLineError where a flag is of the second phase, and the head is trained alone."""
    of_second = ((flags.batch_norm is not None, "--batch-norm"), (bool(flags.settings.get("freeze")), "--freeze"))
    for given, flag in of_second:
        if given and flags.head_only:
            raise CommandLineError(
                f"{flag} is of the second phase, which --head-only leaves out", hint="leave one of the two out"
            )


def own_settings(recipe: Recipe) -> dict[str, object]:
    """Return what a training's settings are where it begins with a network that learnt elsewhere.

    Raises:
        SettingError: images are to be changed otherwise than by mirroring, for a head alone.
    """
    start = recipe.start
    assert start is not None
    if not start.head_only:
        return {"groups": rates_by_depth(start.graph)}
    check_changes(recipe.augment)
    return {"augment": ()}


def tuning_of(recipe: Recipe, settings: TrainingSettings, images: int) -> Tuning | None:
    """Return the phases of a training; None: it has one."""
    start = recipe.start
    if start is None:
        return None
    mirrored = any(isinstance(transform, RandomFlip) for transform in recipe.augment)
    if start.head_only:
        return Tuning(head=settings, mirrored=mirrored)
    head = head_settings(settings.loss, settings.seed, images)
    return Tuning(head=head, whole=settings, mirrored=mirrored)


def recorded(start: Start, model: Network, tuning: Tuning) -> dict[str, object]:
    """Return what config.json says of the beginning."""
    return {
        "pretrained": start.name,
        "pretrained_because": start.why,
        "origin": None if model.origin is None else model.origin.to_json(),
        "head_only": start.head_only,
        "batch_norm": FROZEN if start.frozen_norms else LIVE,
        "phases": [HEAD] if tuning.whole is None else [HEAD, WHOLE],
        "head_epochs": tuning.head.epochs,
        "head_sees_mirror_images": tuning.mirrored,
    }


def resumed(checkpoint: Checkpoint, given: Mapping[str, object]) -> tuple[TrainingSettings, Tuning | None]:
    """Return the settings of a training that goes on, and its phases, if it has several."""
    config = checkpoint.config
    if "pretrained" not in config:
        return settled(given, before=checkpoint.settings), None
    mirrored = config.get("head_sees_mirror_images") is True
    if any(epoch.phase == WHOLE for epoch in checkpoint.history.epochs):
        settings = settled(given, before=checkpoint.settings)
        return settings, Tuning(head=settings, whole=settings, mirrored=mirrored)
    head, whole = replace(checkpoint.settings, freeze=()), next_settings(config)
    if whole is None:
        settings = settled(given, before=head)
        return settings, Tuning(head=settings, mirrored=mirrored)
    settings = settled(given, before=whole)
    return settings, Tuning(head=head, whole=settings, mirrored=mirrored)
