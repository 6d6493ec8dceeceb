"""Channels are put side by side bit by bit, wherever they begin."""

from __future__ import annotations

import numpy as np
import pytest

from emit_functions import targets
from emit_ops import Bench, tensor_of
from neocog.plan.layout import Halo
from neocog.plan.ops.concatenation import Concatenation
from neocog.plan.verify import PlanError, verify

SIZES = [(16, 32), (3, 2), (1,), (5, 40, 7), (17, 1, 1, 15), (33, 16, 64), (1, 47), (10, 10, 10, 10), (62, 1, 1)]
EVERY = pytest.mark.parametrize("sizes", SIZES, ids=str)
ON_EACH = pytest.mark.parametrize("name", sorted(targets()))
HALOS = (Halo(), Halo(1, 1, 1, 1), Halo(0, 2, 1, 0), Halo(2))


def drawn(*sizes: int) -> list[np.ndarray]:
    random = np.random.default_rng(sum(sizes))
    return [random.standard_normal((2, 3, 2, channels)).astype(np.float32) for channels in sizes]


@ON_EACH
@EVERY
def test_a_concatenation_is_that_of_numpy(name: str, sizes: tuple[int, ...]) -> None:
    target, values = targets()[name], drawn(*sizes)
    inputs = tuple(tensor_of(target, f"x{n}", x.shape, HALOS[n % len(HALOS)]) for n, x in enumerate(values))
    op = Concatenation("concatenate", inputs, tensor_of(target, "y", (2, 3, 2, sum(sizes)), Halo(1, 0, 0, 2)))
    for runs in (1, 4):
        bench = Bench(target, op)
        for tensor, x in zip(inputs, values, strict=True):
            bench.put(tensor.name, x)
        assert bench.run(runs)["y"].tobytes() == np.concatenate(values, axis=-1).tobytes()


def test_channels_that_are_not_there_are_refused() -> None:
    target = targets()["host"]
    x, y = tensor_of(target, "x", (1, 2, 2, 5)), tensor_of(target, "y", (1, 2, 2, 9))
    with pytest.raises(PlanError, match="'y' has 9 channels, 10 are walked"):
        verify([Concatenation("concatenate", (x, x), y)], {}, target.lanes)
