"""What an object file holds: the sizes of code and constants, and what it needs of others. ELF, of 32 or 64 bits.

Source: Tool Interface Standard, Executable and Linking Format specification 1.2; for 64 bits, chapter 4 of the System V
ABI.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_MAGIC = b"\x7fELF"
_WRITTEN, _LOADED, _RUN = 1, 2, 4  # flags of sections
_SYMBOLS = 2  # a kind of sections
_RELOCATED = b".data.rel.ro"  # begins the name of such sections
_ARM_ATTRIBUTES = 0x70000003  # likewise
_VFP_ARGUMENTS, _EITHER = 28, 3  # a tag of those attributes, and its value


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
    labels = sections[fields[13]][4]  # where the names of sections lie
    for name, kind, flags, _, start, length, link, *_ in sections:
        if flags & _LOADED and not kind >= 0x60000000:  # those kinds are notes for linkers
            # Constant addresses are written once, by whoever loads the code.
            constant = not flags & _WRITTEN or content.startswith(_RELOCATED, labels + name)
            sizes["code" if flags & _RUN else "constants" if constant else "variables"] += length
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


def with_any_float_abi(content: bytes) -> bytes:
    """Return a 32-bit ARM object that says that its functions fit both ways of passing floating-point arguments: by
    registers, and by none. They take addresses alone, and linkers refuse objects that seem to differ.

    Source: Addenda to, and errata in, the ABI for the Arm architecture, section 3.3.6: Tag_ABI_VFP_args = 3.
    """
    header = struct.Struct("<16s2HI3II6H").unpack_from(content)
    table, size, count = header[6], header[11], header[12]
    for number in range(count):
        place = table + number * size
        fields = list(struct.unpack_from("<10I", content, place))
        if fields[1] != _ARM_ATTRIBUTES:
            continue
        old = content[fields[4] : fields[4] + fields[5]]
        # "A", the length of what one vendor says, its name, a tag, the length of what is said of the whole file
        name_end = old.index(b"\0", 5) + 1
        lengths = (1, name_end + 1)
        new = bytearray(old + bytes((_VFP_ARGUMENTS, _EITHER)))
        for at in lengths:
            new[at : at + 4] = (int.from_bytes(old[at : at + 4], "little") + 2).to_bytes(4, "little")
        fields[4:6] = len(content), len(new)
        return content[:place] + struct.pack("<10I", *fields) + content[place + size :] + bytes(new)
    return content
