"""One door to both kinds of shards: tar archives (tar.py) and Parquet files (parquet.py)."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

from neocog.data import tar
from neocog.data.archive import TarMember
from neocog.data.dataset import ReadProgress, Source
from neocog.data.decode import MAX_BYTES
from neocog.data.faults import unreadable_file
from neocog.data.shards import PARQUET, TAR, find_shards, is_pattern
from neocog.errors import DataError

Content = Callable[[], BinaryIO]
"""Gives an image's bytes; raises DataError where there are none."""


def is_shards(location: str | Path) -> bool:
    """Whether a location is a shard by its name, a pattern of such, or a folder in or below which some lie.

    What folders hold that may not be looked into does not count: whoever reads folders tells of those.
    """
    path = Path(location)
    if is_pattern(path):
        return True
    if path.is_dir():
        try:
            return any(find_shards(path, ending) for ending in (TAR, PARQUET))
        except DataError:
            return False
    return path.suffix.lower() in (TAR, PARQUET)


def read_shards(location: str | Path, progress: ReadProgress | None = None) -> Source:
    """Read the images that shards hold, with their labels. Where a folder has both kinds, the archives are taken.

    Arguments:
        progress: called with (done, total) shards.

    Raises:
        FormatError, DataError: as `read_tars` and `read_parquets`.
    """
    if _ending(location) == TAR:
        return tar.read_tars(location, progress)
    from neocog.data.parquet import read_parquets  # here, as below: few data sets need it

    return read_parquets(location, progress)


def images_in(location: str | Path) -> Iterator[tuple[str, Content]]:
    """Yield the name of each image in shards, and what gives its bytes; read as they are asked for, labels aside.

    Raises:
        DataError: at once: a shard of a pattern is missing. FormatError: in its turn: a shard is damaged.
    """
    ending = _ending(location)
    paths = [path for part in find_shards(location, ending).values() for path in part]
    return _in_tars(paths) if ending == TAR else _in_parquets(paths)


def _in_tars(paths: list[Path]) -> Iterator[tuple[str, Content]]:
    for path in paths:
        state = tar.state_of(path)
        for member in tar.images_in(path):
            name = f"{path}/{member.name}"
            yield name, partial(_member, name, path, member, state)


def _member(name: str, path: Path, member: TarMember, state: tuple[int, int]) -> BinaryIO:
    if member.size > MAX_BYTES:
        raise DataError(f"{name}: an image file may hold {MAX_BYTES:,} bytes, found {member.size:,}")
    try:
        return io.BytesIO(tar.read_member(path, member.offset, member.size, state))
    except OSError as error:
        raise unreadable_file(name, error) from error


def _in_parquets(paths: list[Path]) -> Iterator[tuple[str, Content]]:
    from neocog.data.parquet import images_in

    for path in paths:
        for name, content in images_in(path):
            yield name, partial(_value, name, content)


def _value(name: str, content: bytes | None) -> BinaryIO:
    if content is None:
        raise DataError(f"{name}: there are no bytes of the image, only a path")
    return io.BytesIO(content)


def _ending(location: str | Path) -> str:
    path = Path(location)
    if not is_pattern(path) and path.is_dir():
        return TAR if find_shards(path, TAR) else PARQUET
    return path.suffix.lower()
