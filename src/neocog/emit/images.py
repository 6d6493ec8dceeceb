"""Values brought in, mapped one by one, and moved between layouts."""

from __future__ import annotations

from llvmlite import ir

from neocog.emit.addresses import Addresses, pixel
from neocog.emit.builder import F32, I8, I64, PTR, Builder, Index, IrValue, float_bits
from neocog.emit.emitter import Emitters
from neocog.emit.rounded import limited, nearest
from neocog.emit.slots import COUNT_SLOT, IMAGES_SLOT, KIND_SLOT, KIND_UINT8
from neocog.plan.layout import Tensor
from neocog.plan.ops.images import LoadImages, Repack
from neocog.plan.rounded import Rounded


def emit_load_images(b: Builder, addresses: Addresses, stage: LoadImages, low: IrValue, high: IrValue) -> None:
    """Write value · scale + shift for rows of the caller's images, and zeros for images past the caller's count.

    What an earlier batch left there could be NaN, which no zero gradient undoes.
    """
    out = stage.out
    source = addresses.argument(IMAGES_SLOT, PTR)
    count = b.sub(addresses.argument(COUNT_SLOT, I64), addresses.first_image)
    kind = addresses.argument(KIND_SLOT, I64)
    base, each = addresses.tensor(out), F32
    inverse, signed = None, False
    if stage.inverse is not None:
        assert isinstance(out, Rounded)
        each, signed, inverse = I8, out.signed, b.load_scalar(addresses.operand(stage.inverse), 0)
    given = b.maximum(low, b.minimum(high, b.mul(count, out.height)))
    _clear_rows(b, base, out, given, high)
    high = given
    is_bytes = b.ir.icmp_signed("==", kind, b.index(KIND_UINT8))
    with b.ir.if_else(is_bytes) as (as_bytes, as_floats):
        for branch, element, factor in ((as_bytes, I8, 1.0 / 255.0), (as_floats, F32, 1.0)):
            with branch, b.loop(low, high) as (item, _):
                image, row = b.divmod(item, out.height)
                line = b.add(b.mul(b.add(addresses.first_image, image), stage.source.height), row)
                read = b.at(source, b.mul(line, stage.source.width * out.channels), element)
                write = b.at(base, pixel(b, out, image, row, 0), each)
                with b.loop(0, out.width) as (column, _):
                    for channel in range(out.channels):
                        value = b.load_scalar(read, b.add(b.mul(column, out.channels), channel), element)
                        if element is I8:
                            value = b.ir.uitofp(value, F32)
                        scale, shift = stage.scale[channel] * factor, stage.shift[channel]
                        value = b.ir.fadd(b.ir.fmul(value, float_bits(scale)), float_bits(shift))
                        if inverse is not None:
                            value = b.ir.trunc(nearest(b, limited(b, b.ir.fmul(value, inverse), signed=signed)), I8)
                        b.store_scalar(value, write, b.add(b.mul(column, out.pitch), channel))


def _clear_rows(b: Builder, base: IrValue, out: Tensor, low: IrValue, high: IrValue) -> None:
    with b.loop(low, high) as (item, _):
        image, row = b.divmod(item, out.height)
        write = b.at(base, pixel(b, out, image, row, 0), I8 if isinstance(out, Rounded) else F32)
        zero = ir.Constant(I8, 0) if isinstance(out, Rounded) else float_bits(0.0)
        with b.loop(0, out.width * out.pitch) as (place, _):
            b.store_scalar(zero, write, place)


def emit_repack(b: Builder, addresses: Addresses, stage: Repack, low: IrValue, high: IrValue) -> None:
    """Copy values one by one between an image tensor and its flattened one, in either direction.

    This runs where channels do not fill whole vectors: small layers, where a vector copy would gain little.
    """
    x, y = addresses.tensor(stage.x), addresses.tensor(stage.y)
    shape = stage.x if stage.x.height * stage.x.width >= stage.y.height * stage.y.width else stage.y

    def position(tensor: Tensor, image: Index, row: Index, column: Index, channel: Index) -> Index:
        if (tensor.height, tensor.width) == (shape.height, shape.width):
            return b.add(pixel(b, tensor, image, row, column), channel)
        flat = b.add(b.mul(b.add(b.mul(row, shape.width), column), shape.channels), channel)
        return b.add(b.mul(image, tensor.image_step), flat)

    rows_an_item = shape.height // stage.y.height
    with b.loop(low, high) as (item, _):
        image, first = b.divmod(item, stage.y.height)
        with b.loop(0, rows_an_item) as (extra, _):
            row = b.add(first, extra)
            with (
                b.loop(0, shape.width) as (column, _),
                b.loop(0, shape.channels) as (channel, _),
            ):
                value = b.load_scalar(x, position(stage.x, image, row, column, channel))
                b.store_scalar(value, y, position(stage.y, image, row, column, channel))


EMITTERS: Emitters = {LoadImages: emit_load_images, Repack: emit_repack}
