"""Many short values in few arrays: names and digests of a million images take some 40 MB, as Python objects 150.

PackedNames      text
PackedDigests    16 bytes each
distinct         which digests are equal
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

DIGEST_BYTES = 16


class PackedNames(Sequence[str]):
    """Names in one run of bytes; each becomes text when it is asked for.

    Arguments:
        content: all of them, as UTF-8; bytes of a name that is not UTF-8 are kept (PEP 383).
        starts, lengths: (n,) where each lies in it, bytes.

    >>> names = PackedNames.of(["a.jpg", "b.jpg", "ü.jpg"])
    >>> names[2], len(names), names.take(np.array([1, 0])) == ["b.jpg", "a.jpg"]
    ('ü.jpg', 3, True)
    """

    def __init__(self, content: bytes | bytearray, starts: NDArray[np.int64], lengths: NDArray[np.int32]) -> None:
        self._content, self._starts, self._lengths = content, starts, lengths

    @classmethod
    def of(cls, names: Iterable[str]) -> PackedNames:
        """Return names that are gone through once."""
        content, ends = bytearray(), array("q", [0])
        for name in names:
            content += name.encode("utf-8", "surrogateescape")
            ends.append(len(content))
        places = np.array(ends, np.int64)
        return cls(bytes(content), places[:-1], np.diff(places).astype(np.int32))

    def take(self, indices: NDArray[np.int64]) -> PackedNames:
        """Return some of them, in this order; their text is not copied."""
        return PackedNames(self._content, self._starts[indices], self._lengths[indices])

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> PackedNames: ...
    def __getitem__(self, place: Any) -> str | PackedNames:
        if isinstance(place, slice):
            return PackedNames(self._content, self._starts[place], self._lengths[place])
        start = int(self._starts[place])
        return self._content[start : start + int(self._lengths[place])].decode("utf-8", "surrogateescape")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # as a list


def distinct(digests: Sequence[bytes]) -> tuple[NDArray[np.void], NDArray[np.int64]]:
    """Return the different ones among digests of equal length, rising, and for each digest the place of its own there.

    >>> found, places = distinct([b"b", b"a", b"b"])
    >>> [digest.tobytes() for digest in found], places.tolist()
    ([b'a', b'b'], [1, 0, 1])
    """
    if isinstance(digests, PackedDigests):
        rows = digests.rows
    else:
        rows = np.frombuffer(b"".join(digests), np.uint8).reshape(len(digests), -1)
    found, places = np.unique(np.ascontiguousarray(rows).view(f"V{rows.shape[1]}").ravel(), return_inverse=True)
    return found, places.astype(np.int64)


class PackedDigests(Sequence[bytes]):
    """Digests of 16 bytes.

    Arguments:
        rows: (n, 16) uint8.

    >>> digests = PackedDigests(np.arange(32, dtype=np.uint8).reshape(2, 16))
    >>> digests[1] == bytes(range(16, 32)), len(digests)
    (True, 2)
    """

    def __init__(self, rows: NDArray[np.uint8]) -> None:
        self.rows = rows

    @classmethod
    def of(cls, digests: Iterable[bytes]) -> PackedDigests:
        """Return digests that are gone through once."""
        content = bytearray()
        for digest in digests:
            content += digest
        return cls(np.frombuffer(content, np.uint8).reshape(-1, DIGEST_BYTES))

    def take(self, indices: NDArray[np.int64]) -> PackedDigests:
        """Return some of them, in this order."""
        return PackedDigests(self.rows[indices])

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, place: int) -> bytes: ...
    @overload
    def __getitem__(self, place: slice) -> PackedDigests: ...
    def __getitem__(self, place: Any) -> bytes | PackedDigests:
        return PackedDigests(self.rows[place]) if isinstance(place, slice) else self.rows[place].tobytes()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # as a list
