"""Filters of groups spread out to a block's matrix, and gathered from it, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest

from emit_functions import targets
from emit_ops import Bench
from neocog.plan.layout import Panels, Tensor
from neocog.plan.ops.grouped import Gather, Spread
from neocog.plan.verify import PlanError, verify
from neocog.target.processor import Target

# groups of a block, channels and filters of a group, taps
SIZES = [(4, 4, 4, 9), (3, 1, 5, 4), (1, 7, 40, 1), (16, 1, 2, 3), (5, 2, 3, 2), (2, 16, 32, 1)]
ON_EACH = pytest.mark.parametrize("name", sorted(targets()))
EVERY = pytest.mark.parametrize("sizes", SIZES, ids=str)


def as_tensor(panels: Panels) -> Tensor:
    """Return panels as a tensor: a row for each panel, with a pixel for each row of the matrix."""
    return Tensor(panels.name, 1, panels.count, panels.rows, panels.width, panels.width)


def in_panels(matrix: np.ndarray, width: int) -> np.ndarray:
    """Return a matrix as it lies in panels."""
    padded = np.pad(matrix, ((0, 0), (0, -matrix.shape[1] % width)))
    return padded.reshape(len(matrix), -1, width).transpose(1, 0, 2)[None]


def dense(filters: np.ndarray, groups: int) -> np.ndarray:
    """Return the filters (taps, channels of a group, all filters) for all channels: (taps · channels, all filters)."""
    taps, inputs, columns = filters.shape
    outputs = columns // groups
    block = np.zeros((taps, groups, inputs, groups, outputs), filters.dtype)
    for group in range(groups):
        block[:, group, :, group] = filters[:, :, group * outputs : (group + 1) * outputs]
    return block.reshape(taps * groups * inputs, columns)


def layout(target: Target, sizes: tuple[int, int, int, int], vectors: int) -> tuple[Panels, Panels]:
    groups, inputs, outputs, taps = sizes
    filters = Panels("filters", taps * inputs, groups * outputs, target.lanes)
    return filters, Panels("block", taps * inputs * groups, groups * outputs, vectors * target.lanes)


@ON_EACH
@EVERY
def test_spread_filters_are_zero_where_they_see_nothing(name: str, sizes: tuple[int, int, int, int]) -> None:
    target, (groups, inputs, outputs, taps) = targets()[name], sizes
    for vectors in (1, 2):
        filters, block = layout(target, sizes, vectors)
        values = np.random.default_rng(1).standard_normal((taps, inputs, groups * outputs)).astype(np.float32)
        bench = Bench(
            target, Spread("spread", filters, block, taps, inputs, outputs), (as_tensor(filters), as_tensor(block))
        )
        bench.put("filters", in_panels(values.reshape(taps * inputs, -1), target.lanes))
        bench.flat("block")[:] = 0  # what no column is behind, the memory is made with
        found, wanted = bench.run(2)["block"], in_panels(dense(values, groups), block.width)
        assert found.tobytes() == wanted.tobytes()


@ON_EACH
@EVERY
def test_gathered_gradients_are_those_of_the_filters(name: str, sizes: tuple[int, int, int, int]) -> None:
    target, (groups, inputs, outputs, taps) = targets()[name], sizes
    for vectors in (1, 2):
        filters, block = layout(target, sizes, vectors)
        whole = np.random.default_rng(2).standard_normal((block.rows, block.columns)).astype(np.float32)
        bench = Bench(
            target, Gather("gather", block, filters, taps, inputs, outputs), (as_tensor(filters), as_tensor(block))
        )
        bench.put("block", in_panels(whole, block.width))
        cut = whole.reshape(taps, groups, inputs, groups, outputs)
        own = np.stack([cut[:, group, :, group] for group in range(groups)], axis=2)
        wanted = in_panels(own.reshape(taps * inputs, -1), target.lanes)
        assert bench.run(2)["filters"].tobytes() == wanted.tobytes()


def test_sizes_that_do_not_belong_together_are_refused() -> None:
    target = targets()["host"]
    filters, block = layout(target, SIZES[0], 1)
    with pytest.raises(PlanError, match="columns are not those of groups of 3 filters"):
        verify([Spread("spread", filters, block, 9, 4, 3)], {}, target.lanes)
    with pytest.raises(PlanError, match="rows are not those of 9 taps of groups of 2 channels"):
        verify([Spread("spread", filters, block, 9, 2, 4)], {}, target.lanes)
