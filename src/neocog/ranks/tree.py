"""Sums over the slices of a training step in one binary tree, whoever has which slice.

Floating-point sums depend on their order, so the order is that of the slices: the tree halves them
(`neocog.nn.slicing`). A process adds up the subtrees that lie within its slices. The rest of the tree is done piece by
piece: each process adds up one piece of every subtree, and all get it from there. Over a network that sends no more
than the ring that others use; processes that have memory in common read what they need.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import numpy as np
from numpy.typing import NDArray

from neocog.nn.slicing import Slicing, halves, subtrees
from neocog.ranks.gather import gathered, swapped
from neocog.ranks.world import SharingWorld, World

Values = NDArray[np.float32]
Range = tuple[int, int]
Leaf = Callable[[int], Values]
AT_ONCE = 1 << 14  # numbers of a piece that are added up together, so that what is added stays near


class TreeSum:
    """Adds up what slices have, in memory that is kept from step to step.

    All processes of a world make one together, and use it together.

    Arguments:
        slicing: how many slices there are.
        world: who has them.
        out: (size,) where the sums go.
        everyone: (processes, size) where they go in every process, as far as all see each other's memory.
        fast: whether the world adds up what its processes have, in an order of its own.
    """

    def __init__(
        self, slicing: Slicing, world: World, out: Values, everyone: Values | None = None, *, fast: bool = False
    ) -> None:
        self._world, self._out, self._size, self._count = world, out, len(out), slicing.count
        own = slicing.slices(world.rank, world.size)
        self._parts = tuple(subtrees(own.start, own.stop, slicing.count))
        ranks = (slicing.slices(rank, world.size) for rank in range(world.size))
        self._shapes = [tuple(subtrees(slices.start, slices.stop, slicing.count)) for slices in ranks]
        self._left: list[Values] = []  # by depth: a left half, while the right one is computed
        most = max(map(len, self._shapes))
        self._whole = fast or (world.size == 2 and most == 1)  # a sum of two has one order
        self._width = -(-self._size // world.size)
        self._everyone: list[list[Values]] | None = None  # where each process has its subtrees
        if everyone is not None and not fast:
            self._everyone = self._beside(everyone, most - 1)
        apart = self._everyone is None and not self._whole and world.size > 1
        self._roots = np.zeros((most, self._width * world.size if apart else 0), np.float32)

    def _beside(self, everyone: Values, more: int) -> list[list[Values]] | None:
        """Return where each process has its subtrees, which all see: the last one where the sum goes."""
        world = cast(SharingWorld, self._world)
        common = world.common(world.size * more * self._size) if more else np.zeros(0, np.float32)
        if common is None:
            return None
        others = common.reshape(world.size, more, self._size)
        return [[*others[rank, : len(parts) - 1], everyone[rank]] for rank, parts in enumerate(self._shapes)]

    def add_up(self, leaf: Leaf) -> None:
        """Add up what all slices of the step have: the same bits in every process of every world.

        Arguments:
            leaf: returns the values (size,) of one of this process's slices; it is called for them in order. They may
                lie in the same memory for each slice, also where the sum goes, and are written over.
        """
        if self._world.size == 1:
            self._added(self._parts[0], leaf, self._out)
        elif self._everyone is not None:
            self._add_in_common(self._everyone, leaf)
        elif self._whole:
            self._add_whole(leaf)
        else:
            for number, part in enumerate(self._parts):
                self._added(part, leaf, self._roots[number, : self._size])
            np.copyto(self._out, self._by_pieces())

    def _added(self, part: Range, leaf: Leaf, out: Values | None, depth: int = 0) -> Values:
        """Return the sum over a subtree: in `out`, or where its last slice has its values."""
        low, high = part
        if high - low == 1:
            values = leaf(low)
            if out is None:
                return values
            np.copyto(out, values)
            return out
        if len(self._left) == depth:
            self._left.append(np.empty(self._size, np.float32))
        middle = halves(low, high)
        left = self._added((low, middle), leaf, self._left[depth], depth + 1)
        right = self._added((middle, high), leaf, None, depth + 1)
        return np.add(left, right, out=right if out is None else out)

    def _add_whole(self, leaf: Leaf) -> None:
        """Add up what this process has, and have the world add up that of all."""
        first, *others = self._parts
        if not others:
            self._added(first, leaf, self._out)
        else:
            total = self._added(first, leaf, None).copy()
            for part in others:
                total += self._added(part, leaf, None)
            np.copyto(self._out, total)
        self._world.all_reduce(self._out)

    def _add_in_common(self, places: list[list[Values]], leaf: Leaf) -> None:
        """Add up a piece of all subtrees, and write it down for everybody, in memory that all see."""
        world, rank = self._world, self._world.rank
        for part, place in zip(self._parts, places[rank], strict=True):
            self._added(part, leaf, place)
        world.barrier()
        known = {
            part: place
            for parts, of_rank in zip(self._shapes, places, strict=True)
            for part, place in zip(parts, of_rank, strict=True)
        }
        behind = min(self._size, (rank + 1) * self._width)
        for start in range(rank * self._width, behind, AT_ONCE):
            here = slice(start, min(behind, start + AT_ONCE))
            total = _over({part: values[here] for part, values in known.items()}, 0, self._count)
            for of_rank in places:
                np.copyto(of_rank[-1][here], total)
        world.barrier()

    def _by_pieces(self) -> Values:
        """Return the sum of all subtrees, by way of messages."""
        world, width = self._world, self._width
        most = len(self._roots)
        parts = np.ascontiguousarray(self._roots.reshape(most, world.size, width).swapaxes(0, 1))
        received = swapped(world, parts.reshape(world.size, -1)).reshape(world.size, most, width)
        known = {part: received[rank, n] for rank, found in enumerate(self._shapes) for n, part in enumerate(found)}
        return gathered(world, _over(known, 0, self._count)).reshape(-1)[: self._size]


def _over(known: Mapping[Range, Values], low: int, high: int) -> Values:
    found = known.get((low, high))
    if found is not None:
        return found
    middle = halves(low, high)
    return _over(known, low, middle) + _over(known, middle, high)
