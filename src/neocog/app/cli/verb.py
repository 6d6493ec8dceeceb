"""A verb of the command line, such as train, and how its flags may be spelt."""

from __future__ import annotations

import os
import re
from pathlib import Path

import click

from neocog.app.cli.errors import CommandLineError, nearest

# spellings of other tools, as key=value and as --key
ALIASES = {
    "imgsz": "img-size",
    "image-size": "img-size",
    "batch": "batch-size",
    "lr0": "lr",
    "learning-rate": "lr",
    "opt": "optimizer",
}
_SETTING = re.compile(r"(?P<key>[A-Za-z][A-Za-z0-9_-]*)=(?P<value>.*)", re.DOTALL)
_YES, _NO = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}


class Verb(click.Command):
    """A command that also takes its flags as key=value, in the spelling of this tool or of others."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, _spell_out(self, ctx, args))
        except click.UsageError as error:
            error.ctx = error.ctx or ctx  # some of click's own do not say which verb they are about
            file = _file_like_a_flag(args)
            if file is not None:
                raise CommandLineError(
                    f"{file} is taken for a flag of {ctx.command_path}, though there is a file of that name",
                    hint=f"write ./{file}, or put -- before the names of files",
                    ctx=ctx,
                ) from error
            raise


def _file_like_a_flag(words: list[str]) -> str | None:
    """Return the first word that click takes for a flag, and that is the name of a file."""
    flags = words[: words.index("--")] if "--" in words else words
    return next((word for word in flags if word.startswith("-") and word != "-" and os.path.lexists(word)), None)


def _flags(command: click.Command) -> dict[str, click.Option]:
    return {
        name.lstrip("-"): option
        for option in command.params
        if isinstance(option, click.Option)
        for name in option.opts
        if name.startswith("--")
    }


def _flag_name(key: str, flags: dict[str, click.Option]) -> str | None:
    name = key.replace("_", "-")
    name = name if name in flags else ALIASES.get(name, name)
    return name if name in flags else None


def _spell_out(command: click.Command, ctx: click.Context, words: list[str]) -> list[str]:
    """Rewrite key=value as --key=value, and other tools' names of a flag as ours."""
    flags = _flags(command)
    spelt: list[str] = []
    named: dict[int, tuple[int, str]] = {}  # place among the words → (place among the arguments, value): data=PHOTOS
    arguments = [p.name for p in command.params if isinstance(p, click.Argument)]
    for position, word in enumerate(words):
        if word == "--":
            spelt += words[position:]
            break
        setting = _SETTING.fullmatch(word)
        if word.startswith("--"):
            key, equals, value = word[2:].partition("=")
            name = _flag_name(key, flags)
            spelt.append(f"--{name}{equals}{value}" if name is not None else word)
        elif setting is None or _belongs_to_flag(words, position, flags) or Path(word).exists():
            spelt.append(word)
        elif setting["key"] in arguments and _flag_name(setting["key"], flags) is None:
            named[len(spelt)] = (arguments.index(setting["key"]), setting["value"])
            spelt.append(word)
        else:
            spelt += _setting(setting["key"], setting["value"], flags, ctx)
    for place, (_, value) in zip(named, sorted(named.values()), strict=True):
        spelt[place] = value
    return spelt


def _belongs_to_flag(words: list[str], position: int, flags: dict[str, click.Option]) -> bool:
    # In `--output a=b` the second word belongs to the first.
    before = words[position - 1] if position else ""
    option = flags.get(_flag_name(before[2:], flags) or "") if before.startswith("--") else None
    return option is not None and not option.is_flag


def _setting(key: str, value: str, flags: dict[str, click.Option], ctx: click.Context) -> list[str]:
    name = _flag_name(key, flags)
    if name is None:
        guess = nearest(key, [*flags, *ALIASES])
        raise CommandLineError(
            f"{ctx.command_path} has no setting {key!r}, and there is no file {key}={value}",
            hint=f"did you mean {guess}={value}?" if guess else None,
            ctx=ctx,
        )
    if not flags[name].is_flag:
        return [f"--{name}={value}"]
    if value.lower() in _YES:
        return [f"--{name}"]
    if value.lower() in _NO:
        return []
    raise CommandLineError(f"{key} must be true or false, got {value!r}", ctx=ctx)
