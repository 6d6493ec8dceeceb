"""Which files are the shards of a data set, and which part each belongs to.

    photos.tar, photos.parquet                one file
    photos-{000000..000099}.tar               a pattern of names, as WebDataset writes it (a shell needs quotes)
    folder with .tar or .parquet files        all of them, in folders below it too

A shard belongs to the part that its name, or else its folder's, tells: train-0001.tar, val/0001.tar,
test-00000-of-00004.parquet. Where some tell one, the others are for training; where none does, there are no parts.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from neocog.data.dataset import ReadProgress
from neocog.data.parts import part_name
from neocog.data.walk import Walk, listed
from neocog.errors import DataError
from neocog.reading import expanded

TAR, PARQUET = ".tar", ".parquet"
MOST_SHARDS = 100_000

_RANGE = re.compile(r"(\d+)\.\.(\d+)", re.ASCII)
_BRACES = re.compile(r"\{([^{}]*)\}")

Shards = dict[str, list[Path]]
"""Part ("train", "validation", "test" or "unsplit") → its shards, sorted."""


def is_pattern(location: str | Path) -> bool:
    """Whether a location is a pattern of shards' names, and no file of that name.

    >>> is_pattern("photos-{0..3}.tar"), is_pattern("photos.tar")
    (True, False)
    """
    text = str(location)
    return text.lower().endswith((TAR, PARQUET)) and bool(_BRACES.search(text)) and not _is_there(text)


def _is_there(text: str) -> bool:
    return os.path.exists(text)  # noqa: PTH110 - a pattern may be longer than names are, which Path.exists does not take


def expand(pattern: str) -> list[str]:
    """Return the names that a pattern stands for, as a shell expands it.

    Raises:
        DataError: they are too many, or a brace holds neither numbers nor words.

    >>> expand("a-{08..10}.tar"), expand("{train,val}.tar")
    (['a-08.tar', 'a-09.tar', 'a-10.tar'], ['train.tar', 'val.tar'])
    """
    pieces = _BRACES.split(pattern)  # text, what stands in braces, text, …
    choices: list[list[str]] = []
    count = 1
    for place, piece in enumerate(pieces):
        numbers = _RANGE.fullmatch(piece) if place % 2 else None
        if numbers is not None:
            first, last = int(numbers[1]), int(numbers[2])
            count *= abs(last - first) + 1
            _check_count(pattern, count)
            width = max(map(len, numbers.groups())) if numbers[1][0] == "0" or numbers[2][0] == "0" else 0
            step = 1 if last >= first else -1
            choices.append([f"{number:0{width}}" for number in range(first, last + step, step)])
        elif place % 2 and "," not in piece:
            raise DataError(
                f"{pattern}: braces need numbers or words, got {{{piece}}}", hint="such as {000..099} or {train,val}"
            )
        else:
            choices.append(piece.split(",") if place % 2 else [piece])
            count *= len(choices[-1])
            _check_count(pattern, count)
    return ["".join(names) for names in itertools.product(*choices)]


def find_shards(location: str | Path, ending: str) -> Shards:
    """Return the shards that a file, a pattern or a folder stands for; none where a folder has none.

    Arguments:
        ending: ".tar" or ".parquet".

    Raises:
        DataError: a shard of a pattern is missing, or a folder cannot be read.
    """
    path = expanded(location)
    if is_pattern(path):
        paths = [Path(name) for name in expand(str(path))]
        if len({shard.is_absolute() for shard in paths}) > 1:  # else they have no folder in common
            paths = [shard.absolute() for shard in paths]
        missing = [str(shard) for shard in paths if not shard.is_file()]
        if missing:
            raise DataError(f"{location}: {len(missing):,} of {len(paths):,} files are missing: {listed(missing)}")
        return in_parts(paths, paths[0].parent)
    if path.is_dir():
        return in_parts(sorted(_below(path, ending)), path)
    return {"unsplit": [path]}


def root_of(shards: Shards) -> Path:
    """Return the folder that all shards lie in, or below."""
    folders = {path.parent for paths in shards.values() for path in paths}
    first = next(iter(folders))
    return next(folder for folder in (first, *first.parents) if all(f.is_relative_to(folder) for f in folders))


def steps(progress: ReadProgress | None, total: int) -> Callable[[], None]:
    """Return what to call as often as a shard is done."""
    done = itertools.count(1)

    def told() -> None:
        if progress is not None:
            progress(next(done), total)

    return told


def in_parts(paths: list[Path], root: Path) -> Shards:
    """Return shards by their parts, as the rule at the top of this file says."""
    told = [_part_of(path, root) for path in paths]
    rest = "train" if any(told) else "unsplit"
    shards: Shards = {}
    for path, part in zip(paths, told, strict=True):
        shards.setdefault(part or rest, []).append(path)
    return shards


def _part_of(path: Path, root: Path) -> str | None:
    folders = path.parent.relative_to(root).parts if path.is_relative_to(root) else ()
    names = (part_name(name) for name in (path.stem, *reversed(folders)))
    return next((found.part for found in names if found is not None), None)


def _below(folder: Path, ending: str) -> Iterator[Path]:
    for current, found in Walk(folder).below():
        if found.closed is not None:
            raise DataError(f"{folder / current}: the folder cannot be read: {found.closed}")
        for name in found.others:
            if name.lower().endswith(ending):
                yield folder / current / name


def _check_count(pattern: str, count: int) -> None:
    if count > MOST_SHARDS:
        raise DataError(f"{pattern}: a pattern may stand for {MOST_SHARDS:,} files, got {count:,} or more")
