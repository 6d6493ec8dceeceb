"""The flags that say what is trained, and how a step is taken: those that `neocog train` and `neocog lr-find` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from neocog.app.cli import options
from neocog.app.cli.losses import LOSSES
from neocog.nn.optimizers import MAX_EVERY
from neocog.nn.zoo import MODELS
from neocog.train.named import OPTIMIZER_NAMES, default_of
from neocog.train.recipe import OPTIMIZER, SMOOTHING

Function = TypeVar("Function", bound=Callable[..., Any])


def defaults_of(setting: str) -> str:
    """Say what a setting is by default: for most optimizers, and for those that differ or alone have it."""
    values = {name: default_of(name, setting) for name in OPTIMIZER_NAMES}
    every = list(values.values())
    usual = None if None in every else max(every, key=every.count)
    apart = [f"{name}: {value:g}" for name, value in values.items() if value is not None and value != usual]
    return "; ".join([*([] if usual is None else [f"{usual:g}"]), *apart])


model_flag = click.option(
    "--model",
    type=options.WordOption(("auto", *MODELS), listing="neocog models"),
    metavar="NAME",
    default="auto",
    show_default=True,
    help="Network to train: one of those that neocog models lists, or auto: one that fits images and time.",
)
FLAGS = (
    click.option(
        "--img-size",
        type=options.SizeOption(),
        metavar="N|HxW",
        help="Size that images are resized to, in pixels.  [default: their own size up to 128; else 32, 64, 96 or 128]",
    ),
    click.option(
        "--channels", type=options.WordOption(("1", "3")), help="1 (grey) or 3 (RGB).  [default: as in the images]"
    ),
    click.option(
        "--weight-decay",
        type=options.RealOption(),
        help=f"L2 penalty on the weights.  [default: {defaults_of('weight_decay')}]",
    ),
    click.option(
        "--optimizer",
        type=options.WordOption(tuple(OPTIMIZER_NAMES)),
        help=f"How weights follow their gradients.  [default: {OPTIMIZER}]",
    ),
    click.option("--momentum", type=options.RealOption(0, 1), help=f"Momentum.  [default: {defaults_of('momentum')}]"),
    click.option(
        "--lookahead",
        type=options.WholeOption(1, MAX_EVERY),
        help="Every N steps, go on from halfway between the weights and slow ones that follow them.  [default: never]",
    ),
    click.option(
        "--label-smoothing",
        type=options.RealOption(0, 1),
        help="Label smoothing: the share of each target that is spread evenly over all classes.  "
        f"[default: {SMOOTHING:g}; 0 without classes]",
    ),
    click.option(
        "--loss",
        type=options.WordOption(LOSSES),
        default="auto",
        show_default=True,
        help="What training makes smaller; auto: cross-entropy, or binary-cross-entropy for several labels an image.",
    ),
    click.option(
        "--class-weights",
        metavar="balanced|roots|none|NAME=W,...",
        help="How much classes count: balanced (rare ones more), roots (half-way to that), none (all alike), or "
        "weights of some, such as cat=2,dog=0.5.  [default: roots where one has ten times the images of another]",
    ),
    options.threads,
    options.workers,
    options.engine,
)


def recipe_flags(command: Function) -> Function:
    """Add all of them but --model to a command."""
    for flag in reversed(FLAGS):
        command = flag(command)
    return command
