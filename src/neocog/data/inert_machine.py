"""A machine for pickles that runs nothing: it lists a pickle's instructions, and knows what each allowed one does.

A pickle is a program that may call any function. The standard library's pickletools lists its instructions (it never
executes them), and a table below says what each of the allowed ones does; the unpickler itself is not used. A name to
call is only ever compared with those that a kind of pickle contains: who stands on this class says which, and what
stands for the call's result. Everything else is a FormatError.

A value of any size can be asked for again and again by two bytes (GET), so each instruction does a bounded amount of
work on values from before, and only moves references to all else:

    MARK to TUPLE, LIST, ...   pop each value once, which one instruction pushed
    SETITEM, SETITEMS, DICT    hash and compare keys: text of at most 100 characters, and no numbers or tuples, which
                               can be chosen to collide in a dictionary
    PUT                        to numbers up to the length of the pickle

There are a million instructions at most, and what errors show of the pickle is cut to 200 characters.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass
from types import UnionType
from typing import Any, BinaryIO

from neocog.errors import FormatError

SHOWN = 200
"""Characters of the pickle in a message."""

KEY = 100
"""Characters of a dictionary's key."""

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, type] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_NUMBERS = frozenset({"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "FLOAT", "BINFLOAT"})
_TEXTS = frozenset({"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "STRING", "BINSTRING", "SHORT_BINSTRING"})
_LITERALS = _NUMBERS | _TEXTS | {"BINBYTES", "SHORT_BINBYTES"}
_STEPS = 1_000_000  # instructions; a batch of 10,000 images has about 40,000, a checkpoint of 1,000 tensors 60,000
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Mark:
    """Where a run of values begins on the stack."""


@dataclass(frozen=True, slots=True)
class Named:
    """A name that a pickle may ask for; nothing is looked up under it."""

    module: str
    name: str


class InertMachine:
    """The stack and the memo of one pickle.

    Arguments:
        name: what errors call it.
        length: bytes of the pickle, or of what it may lie in.
    """

    def __init__(self, name: str, length: int) -> None:
        self.name = name
        self.length = length
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    # -- what a kind of pickle says of itself -------------------------------------------------------------------------

    def named(self, module: str, name: str) -> Any:
        """Return what stands for a name, or raise `refused`."""
        raise self.refused(f"{module}.{name}")

    def called(self, function: Any, arguments: tuple[Any, ...]) -> Any:
        """Return what a call would give, made here; nothing is called."""
        raise self.refused("a call")

    def build(self, target: Any, state: Any) -> None:
        """Set an object's state, or raise `refused`."""
        raise self.refused("the instruction BUILD")

    def key(self, value: Any) -> str | bytes:
        """Return a dictionary's key."""
        # only text: Python hashes it with a secret, numbers and tuples so that equal hashes can be made
        key: str | bytes = expect(value, str | bytes)
        return key

    def other(self, code: str) -> None:
        """Take an instruction that is not known here, or raise `refused`."""
        raise self.refused(f"the instruction {code}")

    def refused(self, what: str) -> FormatError:
        """Return the error for what no pickle of this kind needs."""
        return FormatError(f"{self.name}: the pickle asks for {what[:SHOWN]}, which is not run")

    # -- what every pickle does ---------------------------------------------------------------------------------------

    def run(self, data: bytes | BinaryIO) -> Any:
        """Return the value that a pickle describes; of a file, which is then behind it.

        Raises:
            FormatError: it asks for anything but what is allowed. Any other error means that it is damaged.
        """
        for step, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if opcode.name == "STOP":
                return self.stack.pop()
            if step == _STEPS:
                raise self.refused(f"more than {_STEPS:,} instructions")
            self.step(opcode.name, argument)
        raise ValueError("no end")

    def step(self, code: str, argument: Any) -> None:
        """Do what one instruction says."""
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
            expect(stack[-1], list).append(value)
        elif code == "APPENDS":
            added = self.since_mark()
            expect(stack[-1], list).extend(added)
        elif code == "SETITEM":
            value, key = stack.pop(), stack.pop()
            expect(stack[-1], dict).update(self.pairs([key, value]))
        elif code == "SETITEMS":
            pairs = self.pairs(self.since_mark())
            expect(stack[-1], dict).update(pairs)
        elif code == "GLOBAL":
            stack.append(self.named(*argument.split(" ", 1)))
        elif code == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            stack.append(self.called(function, expect(arguments, tuple)))
        elif code == "BUILD":
            state = stack.pop()
            self.build(stack[-1], state)
        elif code != "PROTO":
            self.other(code)

    def since_mark(self) -> list[Any]:
        """Return the values behind the last mark, and take them away."""
        values = []
        while not isinstance(value := self.stack.pop(), _Mark):
            values.append(value)
        return values[::-1]

    def pairs(self, values: list[Any]) -> list[tuple[str | bytes, Any]]:
        """Return keys with their values."""
        keys = [self.key(key) for key in values[::2]]
        if any(len(key) > KEY for key in keys):
            raise self.refused(f"a key of {max(map(len, keys)):,} characters")  # equal keys are compared each time
        return list(zip(keys, values[1::2], strict=True))


def expect(value: Any, kind: type | UnionType) -> Any:
    """Return a value of a kind, or raise TypeError: the pickle is damaged."""
    if not isinstance(value, kind):
        raise TypeError(f"{getattr(kind, '__name__', kind)} was needed, found {type(value).__name__}")
    return value
