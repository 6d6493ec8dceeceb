"""A plan as text, for people who want to see what will run and where everything lies."""

from __future__ import annotations

from neocog.plan.layout import Space
from neocog.plan.live_ranges import LiveRange
from neocog.plan.program import Program


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
        lines += [f"         {line}" for line in stage.details()]
    lines += ["", "memory (bytes from the start of its block; live from stage to stage, .n the stage of a chain)"]
    for (space, name), allocation in sorted(
        program.allocations.items(), key=lambda item: (item[0][0].value, item[1].offset)
    ):
        when = _when(program, space, allocation.live)
        halo = ", halo of zeros" if allocation.frame else ""
        lines.append(f"  {space.value:5}  {allocation.offset:>12,}  {allocation.size:>12,}  {when:>13}  {name}{halo}")
    for space in Space:
        lines.append(f"  {space.value} in all: {program.size(space):,} bytes")
    return "\n".join(lines)


def _when(program: Program, space: Space, live: LiveRange) -> str:
    if live.last[0] == len(program.stages):
        return "always"
    ends = (
        f"{stage}.{inner}"
        if space is Space.SCRATCH and len(program.stages[stage].stage.inner_stages()) > 1
        else f"{stage}"
        for stage, inner in (live.first, live.last)
    )
    return " - ".join(ends)
