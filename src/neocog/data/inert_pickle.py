"""Values out of a pickle, without running anything that it asks for.

A pickle is a program that may call any function. CIFAR-10's "Python" batches are pickles, written by Python 2 in
2009, and only need dictionaries, lists, tuples, numbers, text, and NumPy arrays. This file computes those and nothing
else: the standard library's pickletools lists the instructions (it never executes them), and a table below says what
each of the allowed ones does. The unpickler itself is not used. A name to call is only ever compared with the few
that array pickles contain, and an array becomes a plain record of its bytes. Everything else is a FormatError.

It is no general reader: what is written by a newer protocol or holds other objects is refused. So is what no batch
needs and what costs more than its bytes. A value of any size can be asked for again and again by two bytes (GET), so
each instruction does a bounded amount of work on values from before, and only moves references to all else:

    MARK to TUPLE, LIST, ...   pop each value once, which one instruction pushed
    SETITEM, SETITEMS, DICT    hash and compare keys: text of at most 100 characters, and no numbers or tuples, which
                               can be chosen to collide in a dictionary
    BUILD                      copies a shape of at most 8 extents
    REDUCE and BUILD           turn text into bytes, at most four for each byte of the pickle in all
    PUT                        to numbers up to the length of the pickle

There are a million instructions at most, and what errors show of the pickle is cut to 200 characters.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass
from types import UnionType
from typing import Any

from neocog.errors import FormatError

_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray", "numpy", "_codecs")
_NAMES = ("_reconstruct", "ndarray", "dtype", "encode")
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, type] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_NUMBERS = frozenset({"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "FLOAT", "BINFLOAT"})
_TEXTS = frozenset({"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "STRING", "BINSTRING", "SHORT_BINSTRING"})
_LITERALS = _NUMBERS | _TEXTS | {"BINBYTES", "SHORT_BINBYTES"}
_STEPS = 1_000_000  # instructions; a batch of 10,000 images has about 40,000
_ENCODED = 4  # bytes made of text, for each byte of the pickle
_EXTENTS = 8  # of an array; a batch has two
_KEY = 100  # characters of a dictionary's key
_SHOWN = 200  # characters of the pickle in a message
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Mark:
    """Where a run of values begins on the stack."""


@dataclass(slots=True)
class PickledArray:
    """An array as its pickle describes it.

    Arguments:
        shape: extents.
        dtype: NumPy's short name, such as "u1".
        fortran: whether columns are contiguous.
        data: the elements' bytes.
    """

    shape: tuple[int, ...] = ()
    dtype: str = ""
    fortran: bool = False
    data: bytes = b""

    def __repr__(self) -> str:
        return f"an array of {self.dtype or 'nothing'} with the shape {self.shape}"


@dataclass(frozen=True, slots=True)
class _Dtype:
    name: str


@dataclass(frozen=True, slots=True)
class _Global:
    module: str
    name: str


def load_inert(data: bytes, name: str) -> Any:
    """Return the value that a pickle describes.

    Arguments:
        data: the pickle.
        name: what errors call it.

    Returns:
        Dictionaries, lists, tuples, numbers, str (Python 2's strings as Latin-1), bytes, and PickledArray.

    Raises:
        FormatError: the pickle is damaged, or asks for anything but the above.
    """
    try:
        return _Machine(name, len(data)).run(data)
    except (FormatError, MemoryError):
        raise
    except Exception as error:  # a damaged pickle can make any step below fail, and pickletools too
        raise FormatError(
            f"{name}: the pickle is damaged or truncated ({len(data):,} bytes)",
            details=(f"{type(error).__name__}: {error}"[:_SHOWN],),
            hint="use the binary version of CIFAR-10 (cifar-10-binary.tar.gz)",
        ) from error


class _Machine:
    """The stack and the memo of one pickle."""

    def __init__(self, name: str, length: int) -> None:
        self.name = name
        self.length = length  # bytes of the pickle
        self.encoded = 0  # bytes made of text so far
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:
        for step, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if opcode.name == "STOP":
                return self.stack.pop()
            if step == _STEPS:
                raise self.refused(f"more than {_STEPS:,} instructions")
            self.step(opcode.name, argument)
        raise ValueError("no end")

    def step(self, code: str, argument: Any) -> None:
        stack = self.stack
        if code in _LITERALS:
            stack.append(argument)
        elif code in _CONSTANTS:
            stack.append(_CONSTANTS[code])
        elif code in _EMPTY:
            stack.append(_EMPTY[code]())
        elif code in _TUPLES:
            count = _TUPLES[code]
            values = tuple(stack[-count:])
            del stack[-count:]
            stack.append(values)
        elif code == "MARK":
            stack.append(_Mark())
        elif code == "TUPLE":
            stack.append(tuple(self.since_mark()))
        elif code == "LIST":
            stack.append(self.since_mark())
        elif code == "DICT":
            stack.append(dict(self.pairs(self.since_mark())))
        elif code in ("PUT", "BINPUT", "LONG_BINPUT"):
            place = int(argument)
            if not 0 <= place < self.length:  # picklers count from 0
                raise self.refused(f"the memo {place}")
            self.memo[place] = stack[-1]
        elif code in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self.memo[int(argument)])
        elif code == "APPEND":
            value = stack.pop()
            _expect(stack[-1], list).append(value)
        elif code == "APPENDS":
            added = self.since_mark()
            _expect(stack[-1], list).extend(added)
        elif code == "SETITEM":
            value, key = stack.pop(), stack.pop()
            _expect(stack[-1], dict).update(self.pairs([key, value]))
        elif code == "SETITEMS":
            pairs = self.pairs(self.since_mark())
            _expect(stack[-1], dict).update(pairs)
        elif code == "GLOBAL":
            stack.append(self.named(*argument.split(" ", 1)))
        elif code == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            stack.append(self.called(_expect(function, _Global), _expect(arguments, tuple)))
        elif code == "BUILD":
            state = stack.pop()
            self.build(stack[-1], state)
        elif code != "PROTO":
            raise self.refused(f"the instruction {code}")

    def since_mark(self) -> list[Any]:
        values = []
        while not isinstance(value := self.stack.pop(), _Mark):
            values.append(value)
        return values[::-1]

    def named(self, module: str, name: str) -> _Global:
        if module not in _MODULES or name not in _NAMES:
            raise self.refused(f"{module}.{name}")
        return _Global(module, name)

    def called(self, function: _Global, arguments: tuple[Any, ...]) -> Any:
        """What the call would give, made here; nothing is called."""
        if function.name == "_reconstruct":
            return PickledArray()
        if function.name == "dtype":
            return _Dtype(_expect(arguments[0], str))
        if function.name == "encode" and arguments[1:] == ("latin1",):
            return self.bytes_of(arguments[0])  # how Python 3 writes bytes for Python 2
        raise self.refused(f"a call of {function.module}.{function.name}")

    def build(self, target: Any, state: Any) -> None:
        if isinstance(target, _Dtype):
            return  # byte order and alignment: a type of one byte has neither, and others are not used here
        _, shape, dtype, fortran, data = state
        array = _expect(target, PickledArray)
        if len(_expect(shape, tuple)) > _EXTENTS:
            raise self.refused(f"an array of {len(shape):,} axes")
        array.shape = tuple(_expect(extent, int) for extent in shape)
        array.dtype = _expect(dtype, _Dtype).name
        array.fortran = bool(fortran)
        array.data = self.bytes_of(data) if isinstance(data, str) else _expect(data, bytes)

    def pairs(self, values: list[Any]) -> list[tuple[str | bytes, Any]]:
        """Return keys with their values."""
        # only text for keys: Python hashes it with a secret, numbers and tuples so that equal hashes can be made
        keys = [_expect(key, str | bytes) for key in values[::2]]
        if any(len(key) > _KEY for key in keys):
            raise self.refused(f"a key of {max(map(len, keys)):,} characters")  # equal keys are compared each time
        return list(zip(keys, values[1::2], strict=True))

    def bytes_of(self, text: Any) -> bytes:
        self.encoded += len(_expect(text, str))
        if self.encoded > _ENCODED * self.length:
            raise self.refused("the same bytes many times")
        return bytes(text.encode("latin-1"))

    def refused(self, what: str) -> FormatError:
        return FormatError(
            f"{self.name}: the pickle asks for {what[:_SHOWN]}, which a CIFAR-10 batch does not need and which is "
            "not run",
            hint="use the binary version of CIFAR-10 (cifar-10-binary.tar.gz)",
        )


def _expect(value: Any, kind: type | UnionType) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{getattr(kind, '__name__', kind)} was needed, found {type(value).__name__}")
    return value
