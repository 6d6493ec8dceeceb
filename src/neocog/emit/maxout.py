"""Maxout over the channels of each pixel, forward and backward."""

from __future__ import annotations

from neocog.emit.addresses import Addresses, pixel
from neocog.emit.argmax import load_argmax, mask_type, store_argmax
from neocog.emit.builder import Builder, Index, IrValue
from neocog.emit.channels import Pixel, each_pixel, each_vector
from neocog.emit.emitter import Emitters
from neocog.plan.layout import Tensor
from neocog.plan.ops.maxout import MaxoutBackward, MaxoutForward


def emit_maxout(b: Builder, addresses: Addresses, stage: MaxoutForward, low: IrValue, high: IrValue) -> None:
    """Write the largest of each output's channels for rows of images, and which one it was."""
    channels, mask = stage.y.channels, stage.mask
    with each_pixel(b, stage.y, low, high) as place:
        x, y = (Pixel.of(b, addresses, tensor, place) for tensor in (stage.x, stage.y))
        beside = None if mask is None else _of_mask(b, addresses, mask, place)

        def write(first: Index, count: int, x: Pixel = x, y: Pixel = y, beside: IrValue = beside) -> None:
            best, argmax = x.load(first, count), b.splat_i32(0)
            for piece in range(1, stage.pieces):
                value = x.load(b.add(first, piece * channels), count)
                # A NaN beats everything, and nothing beats it.
                better = b.ir.or_(b.ir.fcmp_ordered(">", value, best), b.ir.fcmp_unordered("uno", value, value))
                best = b.ir.select(better, value, best)
                if mask is not None:
                    argmax = b.ir.select(better, b.splat_i32(piece), argmax)
            y.store(best, first)
            if mask is not None:
                kind = mask_type(mask)
                store_argmax(b, argmax, b.at(beside, first, kind), kind)

        each_vector(b, channels, write)


def emit_maxout_backward(b: Builder, addresses: Addresses, stage: MaxoutBackward, low: IrValue, high: IrValue) -> None:
    """Write the gradient of all competing channels for rows of images."""
    channels, kind = stage.dy.channels, mask_type(stage.mask)
    with each_pixel(b, stage.dx, low, high) as place:
        dy, dx = (Pixel.of(b, addresses, tensor, place) for tensor in (stage.dy, stage.dx))
        mask = _of_mask(b, addresses, stage.mask, place)
        dx.clear_end()
        for piece in range(stage.pieces):

            def write(
                first: Index, count: int, piece: int = piece, dy: Pixel = dy, dx: Pixel = dx, mask: IrValue = mask
            ) -> None:
                argmax = load_argmax(b, b.at(mask, first, kind), kind)
                wins = b.ir.icmp_signed("==", argmax, b.splat_i32(piece))
                value = b.ir.select(wins, dy.load(first, count), b.splat(0.0))
                dx.store(value, b.add(first, piece * channels))

            each_vector(b, channels, write)


def _of_mask(b: Builder, addresses: Addresses, mask: Tensor, place: tuple[Index, Index, Index]) -> IrValue:
    return b.at(addresses.tensor(mask), pixel(b, mask, *place), mask_type(mask))


EMITTERS: Emitters = {MaxoutForward: emit_maxout, MaxoutBackward: emit_maxout_backward}
