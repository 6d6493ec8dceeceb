"""Values out of a pickle, without running anything that it asks for.

CIFAR-10's "Python" batches are pickles, written by Python 2 in 2009, and only need dictionaries, lists, tuples,
numbers, text, and NumPy arrays. This file computes those and nothing else, by `inert_machine.py`. The names that may be
called are the few that array pickles contain, and an array becomes a plain record of its bytes. Everything else is a
FormatError.

It is no general reader: what is written by a newer protocol or holds other objects is refused. So is what no batch
needs and what costs more than its bytes:

    BUILD              copies a shape of at most 8 extents
    REDUCE and BUILD   turn text into bytes, at most four for each byte of the pickle in all
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from neocog.data.inert_machine import SHOWN, InertMachine, Named, expect
from neocog.errors import FormatError

_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray", "numpy", "_codecs")
_NAMES = ("_reconstruct", "ndarray", "dtype", "encode")
_ENCODED = 4  # bytes made of text, for each byte of the pickle
_EXTENTS = 8  # of an array; a batch has two
_CIFAR_HINT = "use the binary version of CIFAR-10 (cifar-10-binary.tar.gz)"


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
        return _BatchMachine(name, len(data)).run(data)
    except (FormatError, MemoryError):
        raise
    except Exception as error:  # a damaged pickle can make any step below fail, and pickletools too
        raise FormatError(
            f"{name}: the pickle is damaged or truncated ({len(data):,} bytes)",
            details=(f"{type(error).__name__}: {error}"[:SHOWN],),
            hint=_CIFAR_HINT,
        ) from error


class _BatchMachine(InertMachine):
    """One pickle of a batch."""

    def __init__(self, name: str, length: int) -> None:
        super().__init__(name, length)
        self.encoded = 0  # bytes made of text so far

    def named(self, module: str, name: str) -> Named:
        if module not in _MODULES or name not in _NAMES:
            raise self.refused(f"{module}.{name}")
        return Named(module, name)

    def called(self, function: Any, arguments: tuple[Any, ...]) -> Any:
        expect(function, Named)
        if function.name == "_reconstruct":
            return PickledArray()
        if function.name == "dtype":
            return _Dtype(expect(arguments[0], str))
        if function.name == "encode" and arguments[1:] == ("latin1",):
            return self.bytes_of(arguments[0])  # how Python 3 writes bytes for Python 2
        raise self.refused(f"a call of {function.module}.{function.name}")

    def build(self, target: Any, state: Any) -> None:
        if isinstance(target, _Dtype):
            return  # byte order and alignment: a type of one byte has neither, and others are not used here
        _, shape, dtype, fortran, data = state
        array = expect(target, PickledArray)
        if len(expect(shape, tuple)) > _EXTENTS:
            raise self.refused(f"an array of {len(shape):,} axes")
        array.shape = tuple(expect(extent, int) for extent in shape)
        array.dtype = expect(dtype, _Dtype).name
        array.fortran = bool(fortran)
        array.data = self.bytes_of(data) if isinstance(data, str) else expect(data, bytes)

    def bytes_of(self, text: Any) -> bytes:
        self.encoded += len(expect(text, str))
        if self.encoded > _ENCODED * self.length:
            raise self.refused("the same bytes many times")
        return bytes(text.encode("latin-1"))

    def refused(self, what: str) -> FormatError:
        return FormatError(
            f"{self.name}: the pickle asks for {what[:SHOWN]}, which a CIFAR-10 batch does not need and which is "
            "not run",
            hint=_CIFAR_HINT,
        )
