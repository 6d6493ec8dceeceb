"""Object files of one program as one entry of the cache, and back.

What comes from a disk is looked at before LLVM gets it, which trusts an object file and may end the process over a bad
one: lengths must add up, and each file must be of the target's kind and, of ELF, have its sections within it.

That is against damage. Who can write to the cache can write programs that are sound and do anything; see trust.py.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import llvmlite.binding as llvm

LENGTH_BYTES = 8
_ELF, _MACH_O = b"\x7fELF\x02", b"\xcf\xfa\xed\xfe"  # of 64 bits
_COFF = (b"\x64\x86", b"\x64\xaa")  # x86-64, ARM64
_ELF_HEADER = struct.Struct("<16s2HI3QI6H")  # the last: bytes of a section's entry, sections, and that of their names
_ELF_SECTION = struct.Struct("<2I4Q2I2Q")  # name, kind, flags, address, place, bytes, link, about, alignment, entry
_ELF_SYMBOL_BYTES = 24  # and those of a relocation
_RELOCATABLE = 1
_CODE, _SYMBOLS, _TEXTS, _RELOCATIONS, _WITHOUT_BYTES = 1, 2, 3, 4, 8  # kinds of sections


def pack(images: Sequence[bytes]) -> bytes:
    """Return object files as one entry, each behind its length."""
    return b"".join(len(image).to_bytes(LENGTH_BYTES, "little") + image for image in images)


def unpack(entry: bytes, triple: str) -> list[bytes] | None:
    """Return the object files of an entry; None where it is not what `pack` makes of object files for a triple."""
    images, start = [], 0
    while start < len(entry):
        first = start + LENGTH_BYTES
        start = first + int.from_bytes(entry[start:first], "little")
        images.append(entry[first:start])
    whole = bool(images) and start == len(entry)
    return images if whole and all(_is_object(image, triple) for image in images) else None


def _is_object(image: bytes, triple: str) -> bool:
    form = llvm.get_object_format(triple)
    if form == "MachO":
        return image.startswith(_MACH_O)
    if form == "COFF":
        return image.startswith(_COFF)
    return form == "ELF" and image.startswith(_ELF) and len(image) >= _ELF_HEADER.size and _is_whole_elf(image)


def _is_whole_elf(image: bytes) -> bool:
    """Whether the table of sections, all sections, and the names of sections lie within an ELF file (ELF-64)."""
    _, kind, _, _, _, _, table, _, _, _, _, entry, count, names = _ELF_HEADER.unpack_from(image)
    if kind != _RELOCATABLE or entry != _ELF_SECTION.size or table + entry * count > len(image) or names >= count:
        return False
    sections = list(_ELF_SECTION.iter_unpack(image[table : table + entry * count]))
    kinds = [section[1] for section in sections]
    if kinds[names] != _TEXTS or not {_CODE, _SYMBOLS} <= set(kinds):
        return False
    _, _, _, _, start, size, *_ = sections[names]
    if not size or start + size > len(image) or image[start + size - 1]:  # each name ends with a NUL
        return False
    return all(_is_section(section, kinds, size, len(image)) for section in sections)


def _is_section(section: tuple[int, ...], kinds: list[int], names: int, length: int) -> bool:
    name, kind, _, _, start, size, link, about, _, entry = section
    if name >= names or link >= len(kinds) or (kind != _WITHOUT_BYTES and start + size > length):
        return False
    if kind == _SYMBOLS:
        return entry == _ELF_SYMBOL_BYTES and size % entry == 0 and kinds[link] == _TEXTS
    if kind == _RELOCATIONS:
        return entry == _ELF_SYMBOL_BYTES and size % entry == 0 and kinds[link] == _SYMBOLS and about < len(kinds)
    return True
