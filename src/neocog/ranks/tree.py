"""Sums over the slices of a training step in one binary tree, whoever has which slice.

Floating-point sums depend on their order, so the order is that of the slices: the tree halves them
(`neocog.nn.slicing`). A process adds up the subtrees that lie within its slices. The rest of the tree is done piece by
piece: each process gets one piece of every subtree, adds it up, and hands it to all, which sends no more than the ring
that others use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from neocog.nn.slicing import Slicing, halves, subtrees
from neocog.ranks.gather import gathered, swapped
from neocog.ranks.world import World

Values = NDArray[np.float32]
Range = tuple[int, int]


def tree_sum(
    leaf: Callable[[int, Values], None], slicing: Slicing, world: World, size: int, *, fast: bool = False
) -> Values:
    """Return (size,) the sum over all slices of the step, the same bits in every process of every world.

    Arguments:
        leaf: writes the values (size,) of one of this process's slices; it is called for them in order.
        slicing: how many slices there are.
        world: who has them.
        fast: whether the world adds up what its processes have, in an order of its own.
    """
    own = slicing.slices(world.rank, world.size)
    free: list[Values] = []
    roots = {part: _added(part, leaf, free, size) for part in subtrees(own.start, own.stop, slicing.count)}
    if world.size == 1:
        (total,) = roots.values()
        return total
    shapes = [tuple(subtrees(*_ends(slicing.slices(rank, world.size)), slicing.count)) for rank in range(world.size)]
    two = world.size == 2 and all(len(parts) == 1 for parts in shapes)  # a sum of two has one order
    if fast or two:
        total = _plain(list(roots.values()))
        world.all_reduce(total)
        return total
    return _by_pieces(roots, shapes, slicing.count, world, size)


def _added(part: Range, leaf: Callable[[int, Values], None], free: list[Values], size: int) -> Values:
    """Return the sum over a subtree, in memory that nobody else uses; `free` is what can be used again."""
    low, high = part
    if high - low == 1:
        values = free.pop() if free else np.empty(size, np.float32)
        leaf(low, values)
        return values
    middle = halves(low, high)
    left = _added((low, middle), leaf, free, size)
    right = _added((middle, high), leaf, free, size)
    left += right
    free.append(right)
    return left


def _plain(parts: list[Values]) -> Values:
    total = parts[0]
    for part in parts[1:]:
        total += part
    return total


def _by_pieces(
    roots: Mapping[Range, Values], shapes: list[tuple[Range, ...]], count: int, world: World, size: int
) -> Values:
    """Return the sum of all subtrees, of which `shapes` lists those of each process."""
    width = -(-size // world.size)
    most = max(map(len, shapes))
    parts = np.zeros((world.size, most, width), np.float32)
    for number, values in enumerate(roots.values()):
        padded = np.zeros(world.size * width, np.float32)
        padded[:size] = values
        parts[:, number] = padded.reshape(world.size, width)
    received = swapped(world, parts.reshape(world.size, most * width)).reshape(world.size, most, width)
    known = {part: received[rank, number] for rank, found in enumerate(shapes) for number, part in enumerate(found)}
    piece = _over(known, 0, count)
    return np.ascontiguousarray(gathered(world, piece).reshape(-1)[:size])


def _over(known: Mapping[Range, Values], low: int, high: int) -> Values:
    found = known.get((low, high))
    if found is not None:
        return found
    middle = halves(low, high)
    return _over(known, low, middle) + _over(known, middle, high)


def _ends(slices: range) -> Range:
    return slices.start, slices.stop
