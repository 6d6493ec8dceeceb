"""A plan as text, for people who want to see what will run and where everything lies."""

from __future__ import annotations

import math
from collections.abc import Iterable

from neocog.plan.contraction import Axis, Contraction
from neocog.plan.layout import Space
from neocog.plan.program import Program
from neocog.plan.stages import Chain, Stage
from neocog.plan.tiles import Tiling, Winograd, WinogradBackward


def describe(program: Program) -> str:
    """Describe a program: the processor, every stage with its tiling and what it waits for, and the memory.

    A bar before a stage means that all threads meet there. Loops are written outermost first.
    """
    target = program.target
    lines = [
        f"{program.purpose}, batch {program.batch}, for {target.cpu}: {target.lanes} lanes, "
        f"{target.registers} registers, {'fused' if target.fma else 'separate'} multiply-add",
        "",
    ]
    for index, scheduled in enumerate(program.stages):
        bar = "|" if scheduled.barrier else " "
        stage = scheduled.stage
        lines.append(f"{bar} {index:3d}  {stage.name}  ({stage.items:,} items)")
        lines += [f"         {line}" for line in _details(stage)]
    lines += ["", "memory (bytes from the start of its block; live from stage to stage)"]
    for (space, name), place in sorted(program.places.items(), key=lambda item: (item[0][0].value, item[1].offset)):
        first, last = place.life
        when = "always" if last == len(program.stages) else f"{first} - {last}"
        lines.append(f"  {space.value:5}  {place.offset:>12,}  {place.size:>12,}  {when:>9}  {name}")
    for space in Space:
        lines.append(f"  {space.value} in all: {program.size(space):,} bytes")
    return "\n".join(lines)


def _details(stage: Stage) -> Iterable[str]:
    match stage:
        case Chain():
            yield f"chain: {stage.blocks} blocks of {stage.block} images, in {stage.slices} slices"
            for link in stage.stages:
                yield f"- {link.name}"
                yield from (f"  {line}" for line in _details(link))
        case Winograd():
            yield _tiles(stage.tiling)
            yield from _details(stage.contraction)
            if stage.pooling is not None:
                yield "fused: max pooling"
        case WinogradBackward():
            yield _tiles(stage.tiling)
            for contraction in (stage.filters, stage.patches):
                if contraction is not None:
                    yield from _details(contraction)
        case _:
            pass
    if not isinstance(stage, Contraction):
        return
    split = stage.rows
    inner = math.prod(axis.extent for axis in split.inner)
    tiles = " or ".join(f"{turns * inner}" for turns in split.sizes())
    vectors = f"{stage.vectors}" if stage.panels > 1 else f"{stage.last_vectors}"
    yield f"tile: {tiles} rows x {vectors} vectors; rows {_loops(split.axes)}; {stage.panels} panels"
    blocks = f", in {stage.reduction.total} blocks" if stage.reduction.total > 1 else ""
    yield f"sum over {_loops(stage.reduction.axes)}{blocks}; {stage.multiply_adds:,} multiply-adds"
    if stage.clips:
        yield f"taps in the halo left out: {', '.join(clip.taps for clip in stage.clips)}"
    fused = [
        text
        for text, present in (
            ("bias", stage.bias),
            ("ReLU", stage.relu),
            ("gate of a ReLU", stage.gate),
            ("max pooling", stage.cells > 1),
            ("gradient of the bias", stage.ones),
        )
        if present
    ]
    if fused:
        yield f"fused: {', '.join(fused)}"


def _tiles(tiling: Tiling) -> str:
    return f"Winograd F({tiling.side} x {tiling.side}, 3 x 3): {tiling.tiles:,} tiles in blocks of {tiling.block}"


def _loops(axes: Iterable[Axis]) -> str:
    return " x ".join(str(axis.extent) for axis in axes) or "1"
