"""Where everything lies, and between which stages threads must wait for each other."""

from __future__ import annotations

from bisect import insort
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from neocog.plan.layout import Frame, Name, Panels, Space, Tensor
from neocog.plan.live_ranges import LiveRange, Use, always, moments, uses_of
from neocog.plan.ops.op import Op

LINE = 64  # bytes of a cache line


@dataclass(frozen=True, slots=True)
class Allocation:
    """Where a named allocation lies in its space, bytes, and when it is in use.

    `frame` says where it relies on zeros; see live_ranges.py.
    """

    offset: int
    size: int
    live: LiveRange
    frame: Frame | None = None

    @property
    def end(self) -> int:
        """First byte behind it."""
        return self.offset + self.size

    def overlaps(self, other: Allocation) -> bool:
        """Whether two allocations of one space share bytes."""
        return self.offset < other.end and other.offset < self.end


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A stage, and whether all threads must have finished what is before it."""

    stage: Op
    barrier: bool


def allocate(
    tensors: Iterable[Tensor],
    panels: Iterable[Panels],
    flat: Mapping[Name, int],
    stages: Sequence[Op],
    kept: Collection[Name],
) -> dict[Name, Allocation]:
    """Find an offset for every named allocation, each at the start of a cache line.

    Allocations share bytes where their live ranges do not overlap. Tensors that rely on a halo of zeros share an offset
    with those of the same frame, and nothing else. The largest get theirs first, each as low as it goes.

    Arguments:
        tensors, panels, flat: what there may be, besides what ops need for themselves; what none touches is left out.
        stages: what happens, in order.
        kept: what is read after the program.
    """
    by_name = {tensor.memory: tensor for tensor in tensors}
    sizes: dict[Name, int] = {name: size * 4 for name, size in flat.items()}
    sizes |= {name: tensor.size * tensor.bytes_each for name, tensor in by_name.items()}
    sizes |= {p.memory: (p.offset + p.size) * 4 for p in panels}
    for _, op in moments(stages):  # several may share what each of them needs for itself
        sizes |= {name: max(size * 4, sizes.get(name, 0)) for name, size in op.scratch().items()}
    touched = {part.memory for _, op in moments(stages) for part in (*op.reads(), *op.writes())}
    sizes = {name: size for name, size in sizes.items() if name[0] is Space.STATE or name in touched or name in kept}
    uses = uses_of(sizes, by_name, stages, kept)
    return place(sizes, uses, stages)


def place(
    sizes: Mapping[Name, int],
    uses: Mapping[Name, Use],
    stages: Sequence[Op],
    line: int = LINE,
    first: Sequence[Name] = (),
) -> dict[Name, Allocation]:
    """Find an offset for named allocations; see `allocate`.

    Arguments:
        sizes: of each, bytes.
        uses: how each is used.
        stages: what happens, in order.
        line: bytes; each begins at a multiple of this.
        first: those that get theirs before larger ones, in this order.
    """
    rank = {name: number - len(first) for number, name in enumerate(first)}
    order = sorted(sizes, key=lambda name: (-sizes[name], name[1]))
    groups: list[_Group] = [_Group([name], uses[name].live) for name in order if uses[name].frame is None]
    groups += [_Group(sharing, always(stages)) for sharing in _framed({name: uses[name] for name in order})]
    placed: list[tuple[_Group, Allocation]] = []
    allocations: dict[Name, Allocation] = {}
    for group in sorted(
        groups, key=lambda group: (rank.get(group.names[0], 0), -sizes[group.names[0]], group.names[0][1])
    ):
        space, size = group.names[0][0], sizes[group.names[0]]
        end = 0
        for other, allocation in placed:
            if other.names[0][0] is space and allocation.live.overlaps(group.live) and allocation.offset < end + size:
                end = max(end, -(-allocation.end // line) * line)
        insort(placed, (group, Allocation(end, size, group.live)), key=lambda pair: pair[1].offset)
        allocations |= {name: Allocation(end, size, uses[name].live, uses[name].frame) for name in group.names}
    return allocations


@dataclass(frozen=True, slots=True)
class _Group:
    """Allocations that get the same offset, and when what is there must be left alone by all others."""

    names: list[Name]
    live: LiveRange


def _framed(uses: Mapping[Name, Use]) -> list[list[Name]]:
    """Gather the tensors that rely on zeros in the same bytes, as few allocations as their live ranges allow."""
    found: dict[tuple[Space, Frame], list[list[Name]]] = {}
    for name, use in sorted(uses.items(), key=lambda item: item[1].live.first):
        if use.frame is None:
            continue
        of_frame = found.setdefault((name[0], use.frame), [])
        free = next((names for names in of_frame if uses[names[-1]].live.last < use.live.first), None)
        if free is None:
            of_frame.append([name])
        else:
            free.append(name)
    return [names for of_frame in found.values() for names in of_frame]


def sharing_bytes(allocations: Mapping[Name, Allocation], space: Space) -> Iterator[tuple[Name, Name]]:
    """Yield each pair of names of a space that share bytes."""
    here: list[tuple[Name, Allocation]] = []
    for name, allocation in sorted(allocations.items(), key=lambda item: item[1].offset):
        if name[0] is space and allocation.size:
            here = [pair for pair in here if pair[1].end > allocation.offset]
            yield from ((before, name) for before, _ in here)
            here.append((name, allocation))


def accesses(stage: Op) -> tuple[set[Name], set[Name]]:
    """Name the memory that a stage reads and writes."""
    return {part.memory for part in stage.reads()}, {part.memory for part in stage.writes()}


def schedule(stages: Sequence[Op], allocations: Mapping[Name, Allocation]) -> tuple[Scheduled, ...]:
    """Find out before which stages all threads must meet: where one touches what an earlier one, with no meeting in
    between, writes, or writes what that one touches. Memory counts by name, not byte by byte: meeting once too often
    costs about a microsecond. Names that share bytes count as one.
    """
    sharing: dict[Name, set[Name]] = {name: {name} for name in allocations}
    for name, other in sharing_bytes(allocations, Space.ARENA):
        sharing[name].add(other)
        sharing[other].add(name)
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
