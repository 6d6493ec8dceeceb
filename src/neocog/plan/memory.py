"""Where everything lies, and between which stages threads must wait for each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from neocog.plan.contraction import Contraction, Operand
from neocog.plan.layout import Panels, Space, Tensor
from neocog.plan.stages import (
    Chain,
    Elementwise,
    Fold,
    LoadImages,
    LossGradient,
    Pool,
    PoolBackward,
    Repack,
    Stage,
    Transpose,
    Update,
)
from neocog.plan.tiles import Winograd, WinogradBackward, WinogradFold, WinogradWeights

LINE = 64  # bytes of a cache line
Name = tuple[Space, str]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a named piece of memory lies in its space, bytes."""

    offset: int
    size: int

    @property
    def end(self) -> int:
        """First byte behind it."""
        return self.offset + self.size


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A stage, and whether all threads must have finished what is before it."""

    stage: Stage
    barrier: bool


def place_memory(tensors: Iterable[Tensor], panels: Iterable[Panels], flat: Mapping[Name, int]) -> dict[Name, Place]:
    """Put every named piece of memory behind the last, each at the start of a cache line."""
    sizes: dict[Name, int] = {name: size * 4 for name, size in flat.items()}
    sizes |= {(t.space, t.name): t.size * t.bytes_each for t in tensors}
    sizes |= {(p.space, p.name): (p.offset + p.size) * 4 for p in panels}
    end = dict.fromkeys(Space, 0)
    places: dict[Name, Place] = {}
    for (space, name), size in sizes.items():
        places[space, name] = Place(end[space], size)
        end[space] += -(-size // LINE) * LINE
    return places


def accesses(stage: Stage) -> tuple[set[Name], set[Name]]:
    """Name the memory that a stage reads and writes."""

    def names(*parts: Operand | Tensor | Panels | None) -> set[Name]:
        return {(part.space, part.name) for part in parts if part is not None}

    match stage:
        case Contraction():
            return names(stage.a, stage.b, stage.bias, stage.gate), names(stage.out, stage.ones, stage.winner)
        case Winograd():
            return names(stage.tiling.x, stage.contraction.b, stage.bias, stage.gate), names(stage.y, stage.winner)
        case WinogradWeights():
            return names(stage.weights), names(stage.out)
        case WinogradBackward():
            filters, patches = stage.filters, stage.patches
            reads = names(stage.tiling.x if filters else None, stage.tiling.y, patches.b if patches else None)
            return reads, names(filters.out if filters else None, stage.dx)
        case WinogradFold():
            return names(stage.copies), names(stage.gradient)
        case LoadImages():
            return set(), names(stage.out)
        case Pool():
            return names(stage.x), names(stage.y, stage.winner)
        case PoolBackward():
            return names(stage.dy, stage.winner, stage.gate), names(stage.dx)
        case Elementwise() | Repack():
            return names(stage.x, stage.gate), names(stage.y)
        case LossGradient():
            return names(stage.logits, stage.gate), names(stage.gradient, stage.losses)
        case Transpose():
            return names(stage.weights), names(stage.transposed)
        case Fold():
            return names(stage.copies), names(stage.out)
        case Update():
            written = names(stage.parameters, *stage.memory)
            return written | names(stage.gradients), written
        case Chain():
            every = [accesses(link) for link in stage.stages]
            return set().union(*(reads for reads, _ in every)), set().union(*(writes for _, writes in every))


def schedule(stages: Sequence[Stage]) -> tuple[Scheduled, ...]:
    """Find out before which stages all threads must meet: where one touches what an earlier one, with no meeting in
    between, writes, or writes what that one touches. Memory counts by name, not byte by byte: meeting once too often
    costs about a microsecond.
    """
    scheduled = []
    read: set[Name] = set()
    written: set[Name] = set()
    for stage in stages:
        # Scratch memory belongs to one thread: nobody waits for it.
        reads, writes = ({name for name in side if name[0] is not Space.SCRATCH} for side in accesses(stage))
        barrier = bool(reads & written or writes & (read | written))
        if barrier:
            read, written = set(), set()
        read |= reads
        written |= writes
        scheduled.append(Scheduled(stage, barrier))
    return tuple(scheduled)
