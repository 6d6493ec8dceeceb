"""The flags of a training's settings, made from what `neocog.train.settings` says of each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import fields
from typing import Any, TypeVar

import click

from neocog.app.cli import options
from neocog.train.about import About, Flag, about
from neocog.train.forms import Augmentation, Form, Real, Several, Text, Whole, Word, YesNo
from neocog.train.settings import TrainingSettings

Function = TypeVar("Function", bound=Callable[..., Any])


def asked_settings() -> Iterator[tuple[str, About, Flag]]:
    """List the settings that have a flag: their name, what is known of them, and the flag."""
    for entry in fields(TrainingSettings):
        known = about(entry)
        if known.flag is not None:
            yield entry.name, known, known.flag


def setting_flags(without: Collection[str] = ()) -> Callable[[Function], Function]:
    """Return what adds to a command a flag for each setting that has one, but some; its value is None if not given."""

    def add(command: Function) -> Function:
        for name, known, flag in reversed(list(asked_settings())):
            if name in without:
                continue
            spellings = [f"--{flag.name}", *([f"-{flag.letter}"] if flag.letter else []), name]
            text = f"{flag.help}  [default: {flag.default}]" if flag.default else flag.help
            if isinstance(known.form, YesNo):
                command = click.option(f"--{flag.name}", name, is_flag=True, default=None, help=text)(command)
                continue
            kind = _type_of(known.form, flag)
            command = click.option(*spellings, type=kind, metavar=flag.value, help=text)(command)
        return command

    return add


def _type_of(form: Form, flag: Flag) -> click.ParamType[Any]:
    if isinstance(form, Whole):
        return options.WholeOption(form.least, form.most if flag.most is None else flag.most)
    if flag.name == "precision" and isinstance(form, Word):
        return options.PrecisionOption(form.words, refused=("int8",))  # TrainingSettings says why
    if isinstance(form, Word):
        return options.WordOption(form.words)
    if isinstance(form, Real) and form.unit == "seconds":
        return options.DurationOption()
    if isinstance(form, Real):
        return options.RealOption(form.low, form.high, above=form.above)
    if isinstance(form, Augmentation):
        return options.TransformsOption()
    assert form == Several(Text()), f"--{flag.name}: the command line knows no values of this form"
    return options.Names()


def take_settings(given: dict[str, Any]) -> dict[str, Any]:
    """Take the values of the settings' flags out of a command's arguments; those that were not given are left out."""
    values = {name: (given.pop(name, None), flag) for name, _, flag in asked_settings()}
    return {
        name: value * flag.factor if flag.factor != 1.0 else value
        for name, (value, flag) in values.items()
        if value is not None
    }


def record_settings(settings: TrainingSettings) -> Mapping[str, object]:
    """Return settings as config.json has them: by their flags, in the units of these."""
    record: dict[str, object] = {}
    for name, known, flag in asked_settings():
        value = getattr(settings, name)
        if value is not None:
            value = value / flag.factor if flag.factor != 1.0 else known.form.to_json(value)
        record[flag.key] = value
    return record
