"""What an object file holds: the sizes of code and constants, and what it needs of others. ELF, of 32 or 64 bits.

Source: Tool Interface Standard, Executable and Linking Format specification 1.2; for 64 bits, chapter 4 of the System V
ABI.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_MAGIC = b"\x7fELF"
_WRITTEN, _LOADED, _RUN = 1, 2, 4  # flags of sections
_SYMBOLS, _WITHOUT_BYTES = 2, 8  # kinds of sections


@dataclass(frozen=True, slots=True)
class ObjectFile:
    """What an object file holds.

    Arguments:
        code, constants: bytes that are run, and that are read alone.
        variables: bytes that are written; none, where code is reentrant.
        undefined: symbols that others must bring.
    """

    code: int
    constants: int
    variables: int
    undefined: tuple[str, ...]


def read_object(content: bytes) -> ObjectFile | None:
    """Return what a little-endian ELF object holds; None of another kind of file."""
    if content[:4] != _MAGIC or content[5] != 1:
        return None
    wide = content[4] == 2
    header, section = struct.Struct("<16s2HI3QI6H" if wide else "<16s2HI3II6H"), "<2I4Q2I2Q" if wide else "<10I"
    fields = header.unpack_from(content)
    table, size, count = fields[6], fields[11], fields[12]
    sections = [struct.unpack_from(section, content, table + number * size) for number in range(count)]
    sizes = {"code": 0, "constants": 0, "variables": 0}
    undefined: list[str] = []
    for _, kind, flags, _, start, length, link, *_ in sections:
        if flags & _LOADED and not kind >= 0x60000000:  # those kinds are notes for linkers
            # Constant addresses are written once, by whoever loads the code.
            what = (
                "code" if flags & _RUN else "variables" if flags & _WRITTEN and kind == _WITHOUT_BYTES else "constants"
            )
            sizes[what] += length
        if kind == _SYMBOLS:
            names = sections[link][4]
            undefined += _undefined(content, start, length, names, wide)
    return ObjectFile(sizes["code"], sizes["constants"], sizes["variables"], tuple(sorted(undefined)))


def _undefined(content: bytes, start: int, length: int, names: int, wide: bool) -> list[str]:
    """Return the symbols of a table that lie in no section."""
    entry = struct.Struct("<I2BH2Q" if wide else "<3I2BH")
    found = []
    for fields in entry.iter_unpack(content[start : start + length]):
        name, place = fields[0], fields[3] if wide else fields[5]
        if name and place == 0:
            first = names + name
            found.append(content[first : content.index(b"\0", first)].decode())
    return found
