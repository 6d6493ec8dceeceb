"""Channels of several images put side by side."""

from __future__ import annotations

from neocog.emit.addresses import Addresses
from neocog.emit.builder import Builder, Index, IrValue
from neocog.emit.channels import Pixel, each_pixel, each_vector
from neocog.emit.emitter import Emitters
from neocog.plan.ops.concatenation import Concatenation


def emit_concatenation(b: Builder, addresses: Addresses, stage: Concatenation, low: IrValue, high: IrValue) -> None:
    """Write the channels of all inputs behind each other, for rows of images."""
    with each_pixel(b, stage.y, low, high) as place:
        y = Pixel.of(b, addresses, stage.y, place)
        y.clear_end()
        offset = 0
        for tensor in stage.inputs:
            _copy(b, Pixel.of(b, addresses, tensor, place), 0, y, offset, tensor.channels)
            offset += tensor.channels


def _copy(b: Builder, source: Pixel, source_first: int, target: Pixel, target_first: int, channels: int) -> None:
    def copy(first: Index, count: int) -> None:
        target.store(source.load(b.add(first, source_first), count), b.add(first, target_first))

    each_vector(b, channels, copy)


EMITTERS: Emitters = {Concatenation: emit_concatenation}
