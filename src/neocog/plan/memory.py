"""Where everything lies, and between which stages threads must wait for each other."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from neocog.plan.layout import Halo, Name, Panels, Space, Tensor
from neocog.plan.ops.op import Op

LINE = 64  # bytes of a cache line


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

    stage: Op
    barrier: bool


def place_memory(
    tensors: Iterable[Tensor],
    panels: Iterable[Panels],
    flat: Mapping[Name, int],
    stages: Sequence[Op],
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
    sizes |= {t.memory: t.size * t.bytes_each for t in tensors}
    sizes |= {p.memory: (p.offset + p.size) * 4 for p in panels}
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
    tensors: Sequence[Tensor], panels: Sequence[Panels], flat: Mapping[Name, int], stages: Sequence[Op]
) -> set[Name]:
    """Name the work memory that is written in full, in each run, before anything of it is read.

    Not so: what relies on zeros that were there when memory was made, in a halo, in channels that fill up a vector, or
    between the windows of a pooling.
    """
    whole = {name for name in flat if name[0] is Space.WORK}
    whole |= {t.memory for t in tensors if t.halo == Halo() and t.pitch == t.channels}
    whole |= {p.memory for p in panels if p.columns % p.width == 0}
    links = [link for stage in stages for link in stage.links()]
    whole -= {tensor.memory for link in links for tensor in link.spares()}
    whole |= {tensor.memory for link in links for tensor in link.fills()}
    return {name for name in whole if name[0] is Space.WORK}


def lives_of(stages: Sequence[Op]) -> dict[Name, tuple[int, int]]:
    """Return the first and last stage that touches each piece of memory."""
    lives: dict[Name, tuple[int, int]] = {}
    for index, stage in enumerate(stages):
        reads, writes = accesses(stage)
        for name in reads | writes:
            lives[name] = (lives.get(name, (index, index))[0], index)
    return lives


def accesses(stage: Op) -> tuple[set[Name], set[Name]]:
    """Name the memory that a stage reads and writes."""
    return {part.memory for part in stage.reads()}, {part.memory for part in stage.writes()}


def schedule(stages: Sequence[Op], places: Mapping[Name, Place]) -> tuple[Scheduled, ...]:
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
