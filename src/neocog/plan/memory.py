"""Where everything lies, and between which stages threads must wait for each other."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from neocog.plan.contraction import Contraction, Operand
from neocog.plan.layout import Halo, Panels, Space, Tensor, Vectors
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
    """Where a named piece of memory lies in its space, bytes, and between which stages (both included) it is in use."""

    offset: int
    size: int
    life: tuple[int, int]

    @property
    def end(self) -> int:
        """First byte behind it."""
        return self.offset + self.size

    def meets(self, life: tuple[int, int]) -> bool:
        """Whether it is in use while something else is."""
        return self.life[0] <= life[1] and life[0] <= self.life[1]

    def overlaps(self, other: Place) -> bool:
        """Whether two places of one space share bytes."""
        return self.offset < other.end and other.offset < self.end


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A stage, and whether all threads must have finished what is before it."""

    stage: Stage
    barrier: bool


def place_memory(
    tensors: Iterable[Tensor],
    panels: Iterable[Panels],
    flat: Mapping[Name, int],
    stages: Sequence[Stage],
    kept: Collection[Name],
) -> dict[Name, Place]:
    """Find a place for every named piece of memory, each at the start of a cache line.

    Pieces of work memory share bytes where their lives do not meet. The largest are placed first, each as low as it
    goes. A piece that must keep something from run to run (zeros around an image, what a caller reads) lives always.

    Arguments:
        tensors, panels, flat: what there is.
        stages: what happens, in order.
        kept: what is read after the program.
    """
    tensors, panels = list(tensors), list(panels)
    sizes: dict[Name, int] = {name: size * 4 for name, size in flat.items()}
    sizes |= {(t.space, t.name): t.size * t.bytes_each for t in tensors}
    sizes |= {(p.space, p.name): (p.offset + p.size) * 4 for p in panels}
    lives = lives_of(stages)
    passing = _rewritten(tensors, panels, flat, stages) - set(kept)
    always = (0, len(stages))
    places: dict[Name, Place] = {}
    for name in sorted(sizes, key=lambda name: (-sizes[name], name[1])):
        life = lives.get(name, always) if name in passing else always
        end = 0
        for place in sorted((p for n, p in places.items() if n[0] is name[0]), key=lambda place: place.offset):
            if place.meets(life) and place.offset < end + sizes[name]:
                end = max(end, -(-place.end // LINE) * LINE)
        places[name] = Place(end, sizes[name], life)
    return places


def _rewritten(
    tensors: Sequence[Tensor], panels: Sequence[Panels], flat: Mapping[Name, int], stages: Sequence[Stage]
) -> set[Name]:
    """Name the work memory that is written in full, in each run, before anything of it is read.

    Not so: what relies on zeros that were there when memory was made, in a halo, in channels that fill up a vector, or
    between the windows of a pooling.
    """
    whole = {name for name in flat if name[0] is Space.WORK}
    whole |= {(t.space, t.name) for t in tensors if t.halo == Halo() and t.pitch == t.channels}
    whole |= {(p.space, p.name) for p in panels if p.columns % p.width == 0}
    canvases: set[Name] = set()
    for stage in stages:
        for link in stage.stages if isinstance(stage, Chain) else (stage,):
            match link:
                case WinogradBackward(dx=Tensor() as dx):
                    canvases.add((dx.space, dx.name))
                case LossGradient() | LoadImages() | PoolBackward() | Repack():
                    whole -= accesses(link)[1]
                case _:
                    pass
    return {name for name in whole | canvases if name[0] is Space.WORK}


def lives_of(stages: Sequence[Stage]) -> dict[Name, tuple[int, int]]:
    """Return the first and last stage that touches each piece of memory."""
    lives: dict[Name, tuple[int, int]] = {}
    for index, stage in enumerate(stages):
        reads, writes = accesses(stage)
        for name in reads | writes:
            lives[name] = (lives.get(name, (index, index))[0], index)
    return lives


def accesses(stage: Stage) -> tuple[set[Name], set[Name]]:
    """Name the memory that a stage reads and writes."""

    def names(*parts: Operand | Tensor | Panels | Vectors | None) -> set[Name]:
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
            return names(stage.copies), names(stage.gradient, stage.bias)
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
            return names(stage.copies), names(*(part.out for part in stage.parts))
        case Update():
            written = names(stage.parameters, *stage.memory)
            return written | names(stage.gradients), written
        case Chain():
            every = [accesses(link) for link in stage.stages]
            return set().union(*(reads for reads, _ in every)), set().union(*(writes for _, writes in every))


def schedule(stages: Sequence[Stage], places: Mapping[Name, Place]) -> tuple[Scheduled, ...]:
    """Find out before which stages all threads must meet: where one touches what an earlier one, with no meeting in
    between, writes, or writes what that one touches. Memory counts by name, not byte by byte: meeting once too often
    costs about a microsecond. Names that share bytes count as one.
    """
    sharing = {
        name: {other for other in places if other[0] is name[0] and places[other].overlaps(place)} | {name}
        for name, place in places.items()
    }
    scheduled = []
    read: set[Name] = set()
    written: set[Name] = set()
    for stage in stages:
        # Scratch memory belongs to one thread: nobody waits for it.
        reads, writes = ({name for name in side if name[0] is not Space.SCRATCH} for side in accesses(stage))
        barrier = bool(reads & written or writes & (read | written))
        if barrier:
            read, written = set(), set()
        read |= set().union(*(sharing[name] for name in reads))
        written |= set().union(*(sharing[name] for name in writes))
        scheduled.append(Scheduled(stage, barrier))
    return tuple(scheduled)
