"""Whether memory can hold what a packed or declared size would unpack to, asked before it is unpacked.

A few megabytes of gzip or zip unpack to a thousand times as many. Images pack to a half or a tenth, rarely to a
fiftieth; much of nothing packs to a thousandth.
"""

from __future__ import annotations

from pathlib import Path

from neocog.errors import DataError, FormatError
from neocog.resources import available_memory

_UNSUSPECTED = 1 << 28  # bytes below which nothing is refused: nearly any machine holds them, or fails without harm
_RATIO = 100  # bytes unpacked for one packed, from which it is a bomb rather than a data set
_IMAGE = 160  # bytes that an image takes beside its pixels: a label, an identifier, bookkeeping


def check_room(name: str, needed: int, images: int = 0, *, packed: int | None = None) -> None:
    """Refuse data that do not fit into memory, or unpack to suspiciously much.

    Arguments:
        name: what the error calls them.
        needed: bytes, unpacked.
        images: how many images that is.
        packed: bytes that they are unpacked from, if they are packed.

    Raises:
        DataError: they would not fit, or are more than a hundred times what they are unpacked from.
    """
    if packed is not None and needed > _UNSUSPECTED and needed > _RATIO * packed:
        raise DataError(
            f"{name}: {packed:,} bytes would unpack to {needed:,}, "
            f"{needed // max(1, packed):,} times as many, which no images do",
            hint="if it is what you want, unpack it first",
        )
    needed += images * _IMAGE
    if needed > _UNSUSPECTED and needed > (available := available_memory()):
        raise DataError(
            f"{name}: needs {needed:,} bytes of memory, {available:,} are available",
            hint="use fewer images, or a folder of image files, which are read as they are needed",
        )


def cannot_read(path: Path, error: OSError | ValueError) -> FormatError:
    """Return what to say of a file that the system does not let read."""
    reason = error.strerror if isinstance(error, OSError) else None
    return FormatError(f"{path}: the file cannot be read: {reason or error}")
