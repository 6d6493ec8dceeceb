"""Transforms as text: `flip,crop=2,jitter:brightness=0.2:hue=0.1`.

A word for each, with commas between. A value behind "=" sets what matters most (`crop=2`: pixels of padding); fields by
name follow, each behind a ":"; one that is true or false needs no value (`flip:alternating`). "none" is no transform.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import fields

from neocog.data.augment.affine import RandomAffine
from neocog.data.augment.blur import GaussianBlur
from neocog.data.augment.colour import ColorJitter, RandomGrayscale
from neocog.data.augment.crop import RandomCrop, RandomResizedCrop
from neocog.data.augment.erasing import Cutout, RandomErasing
from neocog.data.augment.flip import RandomFlip
from neocog.data.augment.mixing import CutMix, MixUp
from neocog.data.augment.transform import Transform
from neocog.data.augment.trivial import TrivialAugment
from neocog.errors import SettingError

TRANSFORMS: tuple[type[Transform], ...] = (
    RandomFlip,
    RandomCrop,
    RandomResizedCrop,
    RandomAffine,
    ColorJitter,
    RandomGrayscale,
    GaussianBlur,
    RandomErasing,
    Cutout,
    TrivialAugment,
    MixUp,
    CutMix,
)
"""All transforms: what files and the command line may name."""

NONE = "none"
MOST = 100  # transforms of a text
_WORDS = {kind.word: kind for kind in TRANSFORMS}


def parsed(text: str) -> tuple[Transform, ...]:
    """Return the transforms that a text names.

    Raises:
        SettingError: a word or field is not known, or a value is out of its range.

    >>> parsed("flip:alternating,crop=2")
    (RandomFlip(share=0.5, alternating=True, axis='horizontal'), RandomCrop(padding=2, border='reflect'))
    """
    if text.strip() == NONE:
        return ()
    parts = text.split(",")
    if len(parts) > MOST:
        raise SettingError(f"augment may hold at most {MOST} transforms, got {len(parts):,}")
    return tuple(_transform(part.strip()) for part in parts)


def as_text(transforms: Sequence[Transform]) -> str:
    """Return transforms as `parsed` reads them.

    >>> as_text(parsed("flip,crop=2,jitter:hue=0.1"))
    'flip,crop=2,jitter:hue=0.1'
    """
    return ",".join(map(_text, transforms)) or NONE


def _transform(part: str) -> Transform:
    first, *rest = part.split(":")
    word, equals, value = first.partition("=")
    kind = _WORDS.get(word)
    if kind is None:
        near = difflib.get_close_matches(word, _WORDS, 1)
        hint = f"did you mean {near[0]}?" if near else "an example: flip,crop=4"
        if word == NONE:
            hint = "none stands alone: no transform at all"
        raise SettingError(
            f"augment knows no {word!r}; it knows {', '.join(_WORDS)}",
            hint=hint,
        )
    known = {entry.name: type(entry.default) for entry in fields(kind)}
    given = {name: _value(word, name, value, known[name]) for name in kind.main} if equals else {}
    for setting in rest:
        name, equals, value = setting.partition("=")
        if name not in known:
            raise SettingError(f"augment: {word} has no {name!r}; it has {', '.join(known)}")
        given[name] = _value(word, name, value if equals else "true", known[name])
    return kind(**given)


def _value(word: str, name: str, text: str, kind: type) -> object:
    if kind is bool:
        if text in ("true", "false"):
            return text == "true"
        raise SettingError(f"augment: {name} of {word} must be true or false, got {text!r}")
    try:
        return kind(text)
    except ValueError:
        need = "a whole number" if kind is int else "a number"
        raise SettingError(f"augment: {name} of {word} must be {need}, got {text!r}") from None


def _text(transform: Transform) -> str:
    changed = {
        entry.name: getattr(transform, entry.name)
        for entry in fields(transform)
        if getattr(transform, entry.name) != entry.default
    }
    main = [changed.get(name) for name in transform.main]
    text = transform.word
    if None not in main and len(set(main)) == 1:
        text += f"={main[0]}"
        changed = {name: value for name, value in changed.items() if name not in transform.main}
    for name, value in changed.items():
        shown = "" if value is True else f"={str(value).lower() if isinstance(value, bool) else value}"
        text += f":{name}{shown}"
    return text
