"""Halos written anew."""

from __future__ import annotations

from neocog.emit.addresses import Addresses, pixel
from neocog.emit.builder import Builder, Index, IrValue
from neocog.emit.emitter import Emitters
from neocog.emit.half import store_to
from neocog.plan.layout import Tensor
from neocog.plan.ops.halo import ClearHalo


def emit_clear_halo(b: Builder, addresses: Addresses, stage: ClearHalo, low: IrValue, high: IrValue) -> None:
    """Write zeros above and below each image, and left and right of its rows."""
    tensor, halo = stage.tensor, stage.tensor.halo
    base = addresses.tensor(tensor)
    with b.loop(low, high) as (image, _):
        for rows, first in ((halo.top, -halo.top), (halo.bottom, tensor.height)):
            _clear(b, tensor, base, pixel(b, tensor, image, first, -halo.left), rows * tensor.row_step)
        with b.loop(0, tensor.height) as (row, _):
            for columns, first in ((halo.left, -halo.left), (halo.right, tensor.width)):
                _clear(b, tensor, base, pixel(b, tensor, image, row, first), columns * tensor.pitch)


def _clear(b: Builder, tensor: Tensor, base: IrValue, start: Index, count: int) -> None:
    with b.loop(0, count // b.lanes) as (vector, _):
        store_to(b, b.splat(0.0), tensor, base, b.add(start, b.mul(vector, b.lanes)))


EMITTERS: Emitters = {ClearHalo: emit_clear_halo}
