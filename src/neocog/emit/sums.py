"""Sums over the pixels of images, one vector of channels after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from neocog.emit.addresses import Addresses
from neocog.emit.builder import Builder, Index, IrValue
from neocog.plan.layout import Tensor

PARTIAL_SUMS = 4  # independent sums over the pixels of a row: each addition waits for the one before


def over_channels(b: Builder, shape: Tensor, body: Callable[[Index, bool], None]) -> None:
    """Write a loop over vectors of channels; the last one apart where it is not full."""
    full, rest = divmod(shape.channels, b.lanes)
    if full > 1:
        with b.loop(0, full) as (vector, _):
            body(b.mul(vector, b.lanes), False)
    elif full:
        body(0, False)
    if rest:
        body(full * b.lanes, True)


def over_pixels(
    b: Builder, shape: Tensor, images: Index, number: int, at: Callable[[Index, Index, Index], Sequence[IrValue]]
) -> list[IrValue]:
    """Return so many sums over all pixels of what `at` gives, in an order that depends on the shape alone."""
    groups, rest = divmod(shape.width, PARTIAL_SUMS)
    zeros = [b.splat(0.0)] * (number * PARTIAL_SUMS)

    def add(carried: list[IrValue], place: int, values: Sequence[IrValue]) -> None:
        for n, value in enumerate(values):
            carried[place * number + n] = b.ir.fadd(carried[place * number + n], value)

    with b.loop(0, b.mul(images, shape.height), zeros) as (item, outer):
        image, row = b.divmod(item, shape.height)
        inner = list(outer)
        if groups:
            with b.loop(0, groups, inner) as (group, carried):
                for place in range(PARTIAL_SUMS):
                    add(carried, place, at(image, row, b.add(b.mul(group, PARTIAL_SUMS), place)))
            inner = carried
        for place in range(rest):
            add(inner, place, at(image, row, groups * PARTIAL_SUMS + place))
        outer[:] = inner
    totals = [[outer[place * number + n] for place in range(PARTIAL_SUMS)] for n in range(number)]
    return [b.ir.fadd(b.ir.fadd(p, q), b.ir.fadd(r, s)) for p, q, r, s in totals]


def left_before(b: Builder, addresses: Addresses, out: IrValue, place: Index) -> IrValue:
    """Return what earlier blocks of the slice left in a sum; 0 for the first one, which begins anew."""
    if addresses.block is None:
        return b.splat(0.0)
    return b.ir.select(b.less(addresses.block.number, 1), b.splat(0.0), b.load(out, place))
