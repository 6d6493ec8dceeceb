"""Windows of 2 × 2 over sums of tiles: which blocks hold whole ones, where positions of a plane follow each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from neocog.plan.blocked import BLOCK_ROWS, TILE_ROWS

SIDE = 2  # of windows


@dataclass(frozen=True, slots=True)
class WindowBands:
    """A plane whose windows are found band by band: the sums of a band are kept until all of them are there.

    Arguments:
        rows: of windows.
        band: rows of windows of a band; the last one may have fewer.
        line: positions from one row of the plane to the next.
        width: positions of a row that windows look at.
    """

    rows: int
    band: int
    line: int
    width: int

    @property
    def count(self) -> int:
        """Number of bands."""
        return -(-self.rows // self.band)

    @property
    def blocks(self) -> int:
        """Blocks of all bands."""
        return sum(-(-length // BLOCK_ROWS) for _, length in self._stretches())

    @property
    def held(self) -> int:
        """Blocks of the largest band."""
        return max(-(-length // BLOCK_ROWS) for _, length in self._stretches())

    @property
    def end(self) -> int:
        """First position of the plane that tiles reach no more, the last tile of each band filled up."""
        return max(first + -(-length // TILE_ROWS) * TILE_ROWS for first, length in self._stretches())

    def _stretches(self) -> Iterator[tuple[int, int]]:
        """Yield the first position of each band, and its positions."""
        for first in range(0, self.rows, self.band):
            lines = SIDE * min(self.band, self.rows - first)
            yield SIDE * first * self.line, (lines - 1) * self.line + self.width
