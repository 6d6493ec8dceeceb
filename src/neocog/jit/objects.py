"""Object files of one program as one entry of the cache, and back.

What comes from a disk is looked at before LLVM gets it, which trusts an object file and may end the process over a bad
one: lengths must add up, and each file must be of this system's kind and reach as far as it says.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

LENGTH_BYTES = 8
_ELF, _MACH_O = b"\x7fELF\x02", b"\xcf\xfa\xed\xfe"  # of 64 bits
_COFF = (b"\x64\x86", b"\x64\xaa")  # x86-64, ARM64


def pack(images: Sequence[bytes]) -> bytes:
    """Return object files as one entry, each behind its length."""
    return b"".join(len(image).to_bytes(LENGTH_BYTES, "little") + image for image in images)


def unpack(entry: bytes) -> list[bytes] | None:
    """Return the object files of an entry; None where it is not what `pack` makes of object files."""
    images, start = [], 0
    while start < len(entry):
        first = start + LENGTH_BYTES
        start = first + int.from_bytes(entry[start:first], "little")
        images.append(entry[first:start])
    whole = bool(images) and start == len(entry)
    return images if whole and all(map(_is_object, images)) else None


def _is_object(image: bytes) -> bool:
    if sys.platform == "darwin":
        return image.startswith(_MACH_O)
    if sys.platform == "win32":
        return image.startswith(_COFF)
    return image.startswith(_ELF) and len(image) >= 64 and _elf_end(image) <= len(image)


def _elf_end(image: bytes) -> int:
    """Return where an ELF file's table of sections ends, which LLVM writes last (ELF-64, file header)."""
    table, size, count = (
        int.from_bytes(image[start:end], "little") for start, end in ((0x28, 0x30), (0x3A, 0x3C), (0x3C, 0x3E))
    )
    return table + size * count
