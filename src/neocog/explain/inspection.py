"""A closer look at some maps: the largest value and its place, in float64 where float32 cannot decide."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neocog.explain.contenders import ImageRows
from neocog.explain.quick import Integers, Pairs, quick_maps
from neocog.nn.graph import Graph

BLOCK = 16  # images that are looked at at a time: their maps stay in the processor's cache
ERROR = 2e-5  # of the largest value on a map: what a float32 sum of a thousand terms is at most wrong by, and more
FAINT = 0.1  # of the largest value on a map, below 0 or above: what is less has lost digits in float32
ROUNDED = 0.7  # share of the progress that the look in float32 takes


@dataclass(frozen=True, slots=True)
class Found:
    """What maps hold.

    values: (n,) their largest values. places: (n,) where those stand, in row-major order.
    alone: (n,) whether no other cell comes near. errors: (n,) what may be wrong with a value in float32.
    """

    values: NDArray[np.float32]
    places: Integers
    alone: NDArray[np.bool_]
    errors: NDArray[np.float32]


def look_closely(
    graph: Graph,
    exact: Mapping[str, NDArray[np.float64]],
    images: ImageRows,
    pairs: dict[int, Pairs],
    count: int,
    progress: Callable[[float], None],
) -> dict[int, Found]:
    """Look at maps of contenders, in float32, and again in float64 where values come close.

    Arguments:
        graph: the network.
        exact: float64 parameters.
        images: the data set.
        pairs: layer → which filters on which images.
        count: how many images of each filter are wanted; the order of those further back does not matter.
        progress: told the share that is done.

    Returns:
        layer → what was found, in the order of the pairs.
    """
    rounded = {name: value.astype(np.float32) for name, value in exact.items()}
    found = _look(graph, rounded, images, pairs, lambda done: progress(ROUNDED * done))
    doubtful = {index: _doubtful(pairs[index][0], found[index], count) for index in pairs}
    again = {index: (pairs[index][0][rows], pairs[index][1][rows]) for index, rows in doubtful.items()}
    for index, closer in _look(
        graph, exact, images, again, lambda done: progress(ROUNDED + (1 - ROUNDED) * done)
    ).items():
        rows = doubtful[index]
        found[index].values[rows], found[index].places[rows] = closer.values, closer.places
    return found


def _look(
    graph: Graph,
    parameters: Mapping[str, NDArray[Any]],
    images: ImageRows,
    pairs: dict[int, Pairs],
    progress: Callable[[float], None],
) -> dict[int, Found]:
    """Compute the maps of some filters on some images, in the dtype of the parameters.

    Images that only a layer in front needs come first, and run no further.
    """
    found = {
        index: Found(*(np.empty(len(rows), kind) for kind in (np.float32, np.int64, bool, np.float32)))
        for index, (_, rows) in pairs.items()
    }
    deepest: dict[int, int] = {}
    for index in sorted(pairs):
        deepest |= dict.fromkeys(pairs[index][1].tolist(), index)
    order = np.array(sorted(deepest, key=lambda image: (deepest[image], image)), np.int64)
    members = {index: _by_block(order, rows) for index, (_, rows) in pairs.items()}
    for number, start in enumerate(range(0, len(order), BLOCK)):
        block = np.sort(order[start : start + BLOCK])
        mine = {index: blocks[number] for index, blocks in members.items() if len(blocks[number])}
        wanted = {
            index: (pairs[index][0][places], np.searchsorted(block, pairs[index][1][places]))
            for index, places in mine.items()
        }
        for index, maps in quick_maps(graph, parameters, images[block], wanted).items():
            chosen = maps.reshape(len(maps), -1).astype(np.float32)
            largest = chosen.max(axis=1)
            found[index].values[mine[index]] = largest
            found[index].places[mine[index]] = chosen.argmax(axis=1)
            # A small value may be a sum of large terms, as large as those of lower values and of other filters.
            sizes = np.abs(chosen).max(axis=1)
            errors = np.float32(ERROR) * np.maximum(sizes, sizes.mean())
            found[index].alone[mine[index]] = (chosen >= (largest - errors)[:, None]).sum(axis=1) == 1
            found[index].errors[mine[index]] = errors
        progress(min(1.0, (start + BLOCK) / len(order)))
    return found


def _by_block(order: Integers, rows: Integers) -> list[Integers]:
    """Return, for each block of images in the order that they are looked at, which pairs (n,) are of these images."""
    slots = np.empty(int(order.max(initial=-1)) + 1, np.int64)
    slots[order] = np.arange(len(order))
    blocks = slots[rows] // BLOCK
    chosen = np.argsort(blocks, kind="stable")
    return np.split(chosen, np.searchsorted(blocks[chosen], np.arange(1, -(-len(order) // BLOCK))))


def _doubtful(filters: Integers, found: Found, count: int) -> Integers:
    """List the pairs whose place on the map, or in the order of images, or value, float32 cannot decide."""
    order = np.lexsort((-found.values, filters))
    values, owners, errors = found.values[order], filters[order], found.errors[order]
    first, stop = np.searchsorted(owners, owners), np.searchsorted(owners, owners, side="right")
    last = values[np.minimum(first + count, stop) - 1]
    touching = (owners[1:] == owners[:-1]) & (values[:-1] - values[1:] <= np.maximum(errors[1:], errors[:-1]))
    close = np.r_[False, touching] | np.r_[touching, False]
    faint = values < FAINT * errors / ERROR
    matters = (np.arange(len(order)) - first < count) | (values >= last - errors)
    doubtful: Integers = order[matters & (close | faint | ~found.alone[order])]
    return doubtful
