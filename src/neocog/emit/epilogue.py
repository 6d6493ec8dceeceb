"""What happens to a vector of results before it is stored."""

from __future__ import annotations

from llvmlite import ir

from neocog.emit.addresses import Addresses
from neocog.emit.builder import Builder, Index, IrValue, int32
from neocog.emit.pointwise import AnySpot, apply
from neocog.plan.ops.epilogue import Epilogue
from neocog.plan.ops.pointwise import keep_zero


def finished(
    b: Builder, addresses: Addresses, epilogue: Epilogue, value: IrValue, spot: AnySpot, channels: int
) -> IrValue:
    """Return what an epilogue makes of a vector; lanes past the channels, which hold zeros, keep them."""
    done = apply(b, addresses, epilogue, value, spot)
    return done if keep_zero(epilogue) else _without_padding(b, done, spot.channel, channels)


def _without_padding(b: Builder, value: IrValue, channel: Index, channels: int) -> IrValue:
    if channels % b.lanes == 0 or (isinstance(channel, int) and channel + b.lanes <= channels):
        return value
    numbers = ir.Constant(b.vector_i32, [int32(lane) for lane in range(b.lanes)])
    inside = b.ir.icmp_signed("<", numbers, b.splat_i32(b.sub(channels, channel)))
    return b.ir.select(inside, value, b.splat(0.0))
