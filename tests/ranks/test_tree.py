"""Sums over slices: one order, whoever has which slice."""

import numpy as np
import pytest

from neocog.errors import SettingError
from neocog.nn.slicing import Slicing, halves, subtrees, usual_slices
from neocog.ranks.tree import TreeSum
from neocog.ranks.world import Alone, SharingWorld, check_world
from thread_world import GatheringThreadWorld, SharingThreadWorld, ThreadWorld, in_threads

SIZE = 13


def values_of(count: int) -> np.ndarray:
    """Return numbers of very different sizes, whose sum depends on its order."""
    rng = np.random.default_rng(count)
    return (rng.standard_normal((count, SIZE)) * 10.0 ** rng.integers(-6, 6, (count, SIZE))).astype(np.float32)


def by_hand(values: np.ndarray, low: int, high: int) -> np.ndarray:
    """Add up as the tree is defined."""
    if high - low == 1:
        return values[low]
    middle = halves(low, high)
    return by_hand(values, low, middle) + by_hand(values, middle, high)


def summed(world, count: int, *, fast: bool = False, steps: int = 2) -> np.ndarray:
    """Add up as a step does: each slice's values come to lie where those of the slice before did, and the sum too."""
    values, place = values_of(count), np.zeros(SIZE, np.float32)
    everyone = None
    if isinstance(world, SharingWorld):
        everyone = world.common(world.size * SIZE).reshape(world.size, SIZE)
        place = everyone[world.rank]
    tree = TreeSum(Slicing(count), world, place, everyone, fast=fast)

    def leaf(slice_: int) -> np.ndarray:
        place[...] = values[slice_]
        return place.copy()

    for _ in range(steps):
        tree.add_up(leaf)
    return place.copy()


@pytest.mark.parametrize("kind", [ThreadWorld, GatheringThreadWorld, SharingThreadWorld])
@pytest.mark.parametrize("count", [4, 5, 8, 11])
@pytest.mark.parametrize("size", [2, 3, 4])
def test_any_number_of_processes_gets_the_bits_of_one(count, size, kind):
    alone = summed(Alone(), count)
    assert alone.tobytes() == by_hand(values_of(count), 0, count).tobytes()
    for found in in_threads(size, lambda world: summed(world, count), kind):
        assert found.tobytes() == alone.tobytes()


def test_the_order_matters_for_these_numbers():
    """So that the test above can fail: added one after the other, the sum has other bits."""
    assert np.add.reduce(values_of(8), axis=0, dtype=np.float32).tobytes() != summed(Alone(), 8).tobytes()


def test_a_fast_sum_is_the_worlds_own_and_near():
    values = values_of(8).astype(np.float64)
    bound = 8 * np.finfo(np.float32).eps * np.abs(values).sum(axis=0)
    for found in in_threads(4, lambda world: summed(world, 8, fast=True)):
        assert (np.abs(found - values.sum(axis=0)) <= bound).all()


@pytest.mark.parametrize("count", range(1, 20))
def test_subtrees_of_processes_cover_all_slices_once_and_are_nodes_of_the_tree(count):
    def nodes(low, high):
        yield low, high
        if high - low > 1:
            yield from nodes(low, halves(low, high))
            yield from nodes(halves(low, high), high)

    known = set(nodes(0, count))
    for size in range(1, count + 1):
        own = [Slicing(count).slices(rank, size) for rank in range(size)]
        found = [part for slices in own for part in subtrees(slices.start, slices.stop, count)]
        assert set(found) <= known
        assert [slice_ for low, high in found for slice_ in range(low, high)] == list(range(count))
        assert all(len(slices) for slices in own)


@pytest.mark.parametrize("batch", [1, 5, 16, 37])
@pytest.mark.parametrize("count", [1, 3, 8])
def test_images_of_slices_follow_each_other_and_make_the_batch(batch, count):
    slicing = Slicing(count)
    for whole in range(1, batch + 1):
        for size in range(1, count + 1):
            parts = [slicing.images(slicing.slices(rank, size), batch, whole) for rank in range(size)]
            assert [place for part in parts for place in part] == list(range(whole))


def test_usual_slices_are_the_same_for_few_processes():
    assert {usual_slices(128, ranks) for ranks in (1, 2, 4, 8)} == {8}
    assert usual_slices(16, 1) == usual_slices(16, 2) == 2
    assert usual_slices(16, 4) == 4  # as many as processes, at least
    assert usual_slices(1, 1) == 1


def test_what_is_no_world_is_told_what_it_lacks():
    with pytest.raises(SettingError, match="object lacks rank, size, all_reduce, broadcast, barrier"):
        check_world(object())
    world = Alone()
    world.rank = 3
    with pytest.raises(SettingError, match="rank must be from 0 to 0, got 3"):
        check_world(world)
