"""Channels of bfloat16 brought into another order: a plane of a pixel is one vector of words, made by shuffles."""

from __future__ import annotations

from llvmlite import ir

from neocog.emit.addresses import Addresses, pixel
from neocog.emit.builder import I16, I32, Builder, IrValue
from neocog.emit.emitter import Emitters
from neocog.emit.half import clear_around
from neocog.plan.blocked import PLANE
from neocog.plan.ops.regroup import Regroup

WORDS = ir.VectorType(I16, PLANE)


def emit_regroup(b: Builder, addresses: Addresses, stage: Regroup, low: IrValue, high: IrValue) -> None:
    """Write rows of images, plane after plane."""
    y, sources = addresses.tensor(stage.y), stage.sources()
    with b.loop(low, high) as (item, _):
        image, row = b.divmod(item, stage.y.height)
        for plane in range(stage.y.planes):
            wanted = _by_plane(sources[plane * PLANE : (plane + 1) * PLANE])
            with b.loop(0, stage.y.width) as (column, _):
                value = ir.Constant(WORDS, None)
                for (number, source), lanes in wanted.items():
                    x = stage.inputs[number]
                    place = b.add(pixel(b, x, image, row, column), source * x.plane_step)
                    held = b.ir.load(b.at(addresses.tensor(x), place, I16), typ=WORDS, align=_aligned(b))
                    value = _taken(b, value, held, lanes)
                place = b.add(pixel(b, stage.y, image, row, column), plane * stage.y.plane_step)
                b.ir.store(value, b.at(y, place, I16), align=_aligned(b))
        clear_around(b, y, stage.y, image, row)


def _by_plane(sources: list[tuple[int, int] | None]) -> dict[tuple[int, int], dict[int, int]]:
    """Return, by input and plane of it, which lanes of a plane of y come from which of its lanes."""
    found: dict[tuple[int, int], dict[int, int]] = {}
    for lane, source in enumerate(sources):
        if source is not None:
            plane, within = divmod(source[1], PLANE)
            found.setdefault((source[0], plane), {})[lane] = within
    return found


def _taken(b: Builder, value: IrValue, held: IrValue, lanes: dict[int, int]) -> IrValue:
    """Return a plane with some lanes taken from another one."""
    if all(lanes.get(lane) == lane for lane in range(PLANE)):
        return held
    choice = [PLANE + lanes[lane] if lane in lanes else lane for lane in range(PLANE)]
    return b.ir.shuffle_vector(value, held, ir.Constant(ir.VectorType(I32, PLANE), choice))


def _aligned(b: Builder) -> int:
    return min(2 * PLANE, b.target.vector_bytes)


EMITTERS: Emitters = {Regroup: emit_regroup}
