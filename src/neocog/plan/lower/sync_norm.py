"""What a BatchNorm2d does between chains where it takes the statistics of all slices of a training step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from neocog.plan.layout import Operand, Space
from neocog.plan.lower.lowering import Lowering
from neocog.plan.ops.exchange import GatherSlices
from neocog.plan.ops.norm import BatchStatistics, NormGradient, Slices
from neocog.plan.ops.op import Op
from neocog.plan.ops.sync_norm import SliceMoments, SliceSums, SyncGradient, SyncStatistics


def is_synchronised(low: Lowering) -> bool:
    """Whether statistics are those of all slices."""
    return low.training is not None and low.training.slicing is not None and low.training.slicing.sync_norms


def statistics_of_all(low: Lowering, alone: BatchStatistics) -> Iterable[Op]:
    """Return what takes the place of the statistics of one slice alone."""
    count, step = _slices(low), alone.step
    own, everyone = _exchanged(low, alone.name, count, 2 * step)
    yield SliceMoments(
        f"{alone.name} of the slice", alone.channels, step, alone.moments, alone.slices, alone.pixels, own
    )
    yield GatherSlices(f"{alone.name} of all", own, everyone, 2 * step, count)
    yield SyncStatistics(
        alone.name,
        alone.channels,
        step,
        everyone,
        Slices(count, count, low.batch),
        alone.pixels,
        alone.weight,
        alone.bias,
        alone.mean,
        alone.variance,
        alone.momentum,
        alone.epsilon,
        alone.out,
    )


def gradient_of_all(low: Lowering, alone: NormGradient) -> Iterable[Op]:
    """Return what takes the place of the gradient of one slice alone: those of γ and β stay the slice's, since they are
    added up with all others.
    """
    assert alone.out is not None
    count, step = _slices(low), alone.step
    if alone.weight is not None or alone.bias is not None:
        yield replace(alone, name=f"{alone.name} of the slice", out=None)
    own, everyone = _exchanged(low, alone.name, count, 2 * step)
    yield SliceSums(f"{alone.name}: sums of the slice", alone.channels, step, alone.sums, alone.slices, own)
    yield GatherSlices(f"{alone.name} of all", own, everyone, 2 * step, count)
    yield SyncGradient(
        alone.name,
        alone.channels,
        step,
        sums=everyone,
        slices=count,
        pixels=alone.pixels,
        statistics=alone.statistics,
        out=alone.out,
        weight=None,
        bias=None,
    )


def _slices(low: Lowering) -> int:
    assert low.training is not None
    assert low.training.slicing is not None
    return low.training.slicing.count


def _exchanged(low: Lowering, name: str, count: int, size: int) -> tuple[Operand, Operand]:
    own, everyone = f"{name} of the slice", f"{name} of all slices"
    low.flat[Space.ARENA, own], low.flat[Space.ARENA, everyone] = size, count * size
    return Operand(Space.ARENA, own, 0), Operand(Space.ARENA, everyone, 0)
