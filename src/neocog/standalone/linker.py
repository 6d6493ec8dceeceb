"""One WebAssembly object file made a module that runs by itself.

An object has gaps where addresses of memory belong, because a linker may lay several objects side by side. Here is one
object alone, so that each of its functions, types and globals keeps its number; what is left is to choose where data
lie, to fill the gaps in, to give it memory, and to name what others may call.

Source: WebAssembly Object File Linking (WebAssembly/tool-conventions, Linking.md); WebAssembly Core Specification 2.0,
chapter 5, Binary Format.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from neocog.errors import EngineError

_MAGIC = b"\0asm\1\0\0\0"
_CUSTOM, _TYPE, _IMPORT, _FUNCTION, _MEMORY, _GLOBAL, _EXPORT, _CODE, _DATA = 0, 1, 2, 3, 5, 6, 7, 10, 11
_AS_LEB, _AS_SIGNED_LEB, _AS_WORD = 3, 4, 5  # kinds of gaps for addresses in memory
_WITH_ADDEND = (_AS_LEB, _AS_SIGNED_LEB, _AS_WORD, 8, 9)
_KEPT = (0, 6, 7)  # gaps for numbers of functions, types and globals, which stay what they are
_INFO_OF_SEGMENTS, _SYMBOLS = 5, 8  # parts of the section "linking"
_UNDEFINED, _NAMED_THOUGH_UNDEFINED = 0x10, 0x40  # flags of symbols
_OF_FUNCTION, _OF_DATA, _OF_SECTION = 0, 1, 3  # kinds of symbols
_I32, _CONSTANT, _END = 0x7F, 0x41, 0x0B
_HINT = "this is a bug in neocog: please report it; neocog export --to onnx writes a file that ONNX Runtime Web runs"
PAGE = 1 << 16
_FIRST = 1024  # bytes: so that no address of data is null, as wasm-ld has it
_STACK = 1 << 16  # bytes; it grows down to `_FIRST`
_ALIGNED = 64  # bytes, where rooms begin


@dataclass(frozen=True, slots=True)
class Linked:
    """A module.

    Arguments:
        content: of the file.
        code, constants: bytes of it.
        memory: bytes that it works in, constants included.
    """

    content: bytes
    code: int
    constants: int
    memory: int


@dataclass(slots=True)
class _Reader:
    """Reads a part of a file, from its beginning on."""

    content: bytes
    place: int = 0

    @property
    def ended(self) -> bool:
        return self.place >= len(self.content)

    def number(self) -> int:
        """Read an unsigned number as LEB128."""
        value = shift = 0
        while True:
            byte = self.content[self.place]
            self.place += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def signed(self) -> int:
        """Read a signed number of 32 bits as LEB128."""
        first = self.place
        value = self.number()
        bits = 7 * (self.place - first)
        return value - (1 << bits) if value >> (bits - 1) else value

    def take(self, count: int) -> bytes:
        self.place += count
        return self.content[self.place - count : self.place]

    def counted(self) -> bytes:
        return self.take(self.number())

    def text(self) -> str:
        return self.counted().decode()


@dataclass(frozen=True, slots=True)
class _Symbol:
    """Something that has a name: its kind, the number of the function or of the segment, and where it begins in it."""

    kind: int
    name: str
    number: int
    start: int = 0


@dataclass(frozen=True, slots=True)
class _Gap:
    """Where an address belongs in a section."""

    kind: int
    place: int
    symbol: int
    addend: int


@dataclass(slots=True)
class _Object:
    """What an object file holds: sections, and what its own say of the others."""

    sections: dict[int, bytes] = field(default_factory=dict)
    gaps: dict[int, list[_Gap]] = field(default_factory=dict)
    symbols: list[_Symbol] = field(default_factory=list)
    alignments: list[int] = field(default_factory=list)


def link(content: bytes, functions: Mapping[str, str], rooms: Mapping[str, int]) -> Linked:
    """Link an object file.

    Arguments:
        content: of the object.
        functions: which functions others may call: their names there, by symbol.
        rooms: bytes of memory that are set aside for whoever calls, by the names that their addresses get.

    Raises:
        EngineError: the object needs something that it does not hold.
    """
    found = _read(content)
    stack = _uses_a_stack(found.sections.get(_IMPORT, b"\0"))
    segments = _segments(found.sections.get(_DATA, b"\0"))
    place = _FIRST + (_STACK if stack else 0)
    top, begins = place, []
    for (_, data), alignment in zip(segments, found.alignments, strict=True):
        place = _up(place, 1 << alignment)
        begins.append(place)
        place += len(data)
    addresses = {}
    for name, size in rooms.items():
        addresses[name] = place = _up(place, _ALIGNED)
        place += size
    pages = -(-place // PAGE)
    code = _filled(found, _CODE, begins, 0)
    parts = []
    for (offset, data), begin in zip(segments, begins, strict=True):
        inside = _filled(found, _DATA, begins, offset, data)
        parts.append(bytes([0, _CONSTANT]) + _signed_leb(begin) + bytes([_END]) + _counted(inside))
    globals_ = [bytes([_I32, 1, _CONSTANT]) + _signed_leb(top) + bytes([_END])] if stack else []
    exports = [_counted(b"memory") + bytes([2, 0])]
    numbers = {symbol.name: symbol.number for symbol in found.symbols if symbol.kind == _OF_FUNCTION}
    exports += [_counted(name.encode()) + b"\0" + _leb(numbers[symbol]) for symbol, name in functions.items()]
    for name, address in addresses.items():
        exports.append(_counted(name.encode()) + b"\3" + _leb(len(globals_)))
        globals_.append(bytes([_I32, 0, _CONSTANT]) + _signed_leb(address) + bytes([_END]))
    sections = {
        _TYPE: found.sections[_TYPE],
        _FUNCTION: found.sections[_FUNCTION],
        _MEMORY: _vector([b"\1" + _leb(pages) + _leb(pages)]),
        _GLOBAL: _vector(globals_),
        _EXPORT: _vector(exports),
        _CODE: code,
        _DATA: _vector(parts),
    }
    written = b"".join(bytes([kind]) + _counted(section) for kind, section in sections.items())
    return Linked(_MAGIC + written, len(code), sum(len(data) for _, data in segments), pages * PAGE)


def _read(content: bytes) -> _Object:
    if content[: len(_MAGIC)] != _MAGIC:
        raise EngineError("this is no WebAssembly object", hint=_HINT)
    found, order, reader = _Object(), [], _Reader(content, len(_MAGIC))
    while not reader.ended:
        kind = reader.take(1)[0]
        section = _Reader(reader.counted())
        order.append(kind)
        if kind != _CUSTOM:
            found.sections[kind] = section.content
            continue
        name = section.text()
        if name == "linking":
            _read_linking(section, found)
        elif name.startswith("reloc."):
            target = order[section.number()]
            found.gaps[target] = [_read_gap(section) for _ in range(section.number())]
    return found


def _read_gap(reader: _Reader) -> _Gap:
    kind, place, symbol = reader.take(1)[0], reader.number(), reader.number()
    return _Gap(kind, place, symbol, reader.signed() if kind in _WITH_ADDEND else 0)


def _read_linking(reader: _Reader, found: _Object) -> None:
    reader.number()  # the version
    while not reader.ended:
        kind, part = reader.take(1)[0], _Reader(reader.counted())
        if kind == _SYMBOLS:
            found.symbols = [_read_symbol(part) for _ in range(part.number())]
        elif kind == _INFO_OF_SEGMENTS:
            for _ in range(part.number()):
                part.text()
                found.alignments.append(part.number())
                part.number()  # flags


def _read_symbol(reader: _Reader) -> _Symbol:
    kind, flags = reader.take(1)[0], reader.number()
    missing = bool(flags & _UNDEFINED)
    if kind == _OF_DATA:
        name = reader.text()
        if missing:
            raise EngineError(f"a module for browsers must hold all that it needs, and lacks {name}", hint=_HINT)
        number, start = reader.number(), reader.number()
        reader.number()  # the size
        return _Symbol(kind, name, number, start)
    if kind == _OF_SECTION:
        return _Symbol(kind, "", reader.number())
    number = reader.number()
    return _Symbol(kind, reader.text() if not missing or flags & _NAMED_THOUGH_UNDEFINED else "", number)


def _uses_a_stack(imports: bytes) -> bool:
    """Return whether code keeps something on a stack; other things than that and memory cannot be brought in."""
    reader, stack = _Reader(imports), False
    for _ in range(reader.number()):
        reader.text()
        name, kind = reader.text(), reader.take(1)[0]
        if (name, kind) == ("__linear_memory", 2):
            limits = reader.number()
            reader.number()
            if limits & 1:
                reader.number()
        elif (name, kind) == ("__stack_pointer", 3):
            reader.take(2)
            stack = True
        else:
            raise EngineError(f"a module for browsers must hold all that it needs, and lacks {name}", hint=_HINT)
    return stack


def _segments(section: bytes) -> list[tuple[int, bytes]]:
    """Return the segments of data: where each begins in the section, and its bytes."""
    reader, found = _Reader(section), []
    for _ in range(reader.number()):
        reader.number()  # of the memory
        reader.take(1)
        reader.signed()  # where the object would have it
        reader.take(1)
        size = reader.number()
        found.append((reader.place, reader.take(size)))
    return found


def _filled(found: _Object, section: int, begins: list[int], offset: int, part: bytes | None = None) -> bytes:
    """Return a section, or the part of it that begins at `offset`, with addresses in its gaps."""
    filled = bytearray(found.sections[section] if part is None else part)
    for gap in found.gaps.get(section, ()):
        if not offset <= gap.place < offset + len(filled) or gap.kind in _KEPT:
            continue
        symbol = found.symbols[gap.symbol]
        if gap.kind not in (_AS_LEB, _AS_SIGNED_LEB, _AS_WORD) or symbol.kind != _OF_DATA:
            raise EngineError(
                f"a module for browsers cannot hold what this network needs (a relocation {gap.kind})", hint=_HINT
            )
        address = begins[symbol.number] + symbol.start + gap.addend
        if gap.kind == _AS_WORD:
            written = address.to_bytes(4, "little")
        else:  # of the length that is there, which numbers of 32 bits always fit in: addresses are positive
            written = bytes([*(address >> shift & 0x7F | 0x80 for shift in (0, 7, 14, 21)), address >> 28])
        filled[gap.place - offset : gap.place - offset + len(written)] = written
    return bytes(filled)


def _up(place: int, alignment: int) -> int:
    return -(-place // alignment) * alignment


def _leb(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _signed_leb(value: int) -> bytes:
    """Return a number of at least 0 as signed LEB128: its last byte must not look negative."""
    out = bytearray()
    while value >= 0x40:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _counted(content: bytes) -> bytes:
    return _leb(len(content)) + content


def _vector(parts: list[bytes]) -> bytes:
    return _leb(len(parts)) + b"".join(parts)
