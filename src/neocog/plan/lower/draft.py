"""A program while it is drafted: where values lie, and the tasks so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from neocog.nn.graph import Node
from neocog.nn.layer import Layer
from neocog.nn.parameters import parameters_of
from neocog.nn.shapes import ImageShape
from neocog.plan.layout import Halo, Operand, Panels, Space, Tensor
from neocog.plan.lower.choices import NO_HALO as NO_HALO
from neocog.plan.lower.choices import Choices
from neocog.plan.lower.values import Contribution, Segment, Task, Value, Where
from neocog.plan.memory import LINE
from neocog.plan.ops.map import Map, Sums
from neocog.plan.ops.op import Op
from neocog.plan.ops.pointwise import Expression
from neocog.plan.parameters import ParameterLayout
from neocog.plan.passes.steps import PlanStep

CHAIN_VECTORS = 16  # vectors whose sums are taken together


SAME_SETS = 2048
"""Bytes between pixels at which the rows of a register tile, with a stride of 2, meet in one set of the first-level
cache, and push each other out of it: such pixels get a cache line between them."""


@dataclass(slots=True)
class Draft(Choices):
    """What is known of a program so far.

    Arguments:
        layout: where variables lie.
        trained: names of the parameters that follow gradients.
        tasks: in the order in which they were found.
        outputs: for each step, what it gives, where that lies in memory; -1 is the image.
        narrow: for each step, what it gives as bfloat16, where somebody takes it as such, or as 8-bit integers.
        formulas: for each step, how it follows from others value by value, where it does.
        masks: for each max pooling, where the largest values were.
        contributions: for each step, the parts of its output's gradient.
        makers: by the name of memory, the task that writes it.
        values: by the name of a tensor, its value.
        images_of: by the name of a gradient that is read as a vector, the same as an image.
        again: by step and segment, outputs that are computed again for a backward pass.
        fused: the poolings that run in the last lines of a convolution.
        pooled: by convolution, the pooling in its last lines, whose gradient the convolution's backward pass takes.
        preparation: what a program that predicts does once after its parameters changed.
        notes: what rules keep from forward for backward, by step.
        updated: parameters that are trained one by one, of which that is planned.
        zeroed: memory beside tensors that relies on zeros where nothing is written, and so shares its bytes with none.
    """

    layout: ParameterLayout
    trained: frozenset[str] = frozenset()
    peaks: dict[int, list[int]] = field(default_factory=dict)
    found_peaks: dict[int, Tensor] = field(default_factory=dict)
    tasks: list[Task] = field(default_factory=list)
    outputs: dict[int, Value] = field(default_factory=dict)
    narrow: dict[int, Value] = field(default_factory=dict)
    formulas: dict[int, Expression] = field(default_factory=dict)
    masks: dict[int, Value] = field(default_factory=dict)
    contributions: dict[int, list[Contribution]] = field(default_factory=dict)
    makers: dict[str, Task] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)
    notes: dict[int, object] = field(default_factory=dict)
    images_of: dict[str, Value] = field(default_factory=dict)
    again: dict[tuple[int, int], Value] = field(default_factory=dict)
    fused: set[int] = field(default_factory=set)
    pooled: dict[int, PlanStep] = field(default_factory=dict)
    preparation: list[Op] = field(default_factory=list)
    panels: list[Panels] = field(default_factory=list)
    flat: dict[tuple[Space, str], int] = field(default_factory=dict)
    updated: set[str] = field(default_factory=set)
    zeroed: set[tuple[Space, str]] = field(default_factory=set)
    dropouts: list[int] = field(default_factory=list)
    backward: bool = False
    _trained_layers: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._trained_layers = {p.node.index for p in parameters_of(self.graph) if p.name in self.trained}
        for step in self.steps.steps:
            sought = step.index == self.sought
            if sought or self.trains(step) or any(value in self.learning for value in step.inputs):
                self.learning.add(step.index)

    def trains(self, step: PlanStep) -> bool:
        """Whether a step has parameters of its own that follow gradients."""
        return step.node.index in self._trained_layers

    # --- memory -----------------------------------------------------------------------------------------------

    def shape(self, name: str, shape: ImageShape, halo: Halo = NO_HALO, pitch: int | None = None) -> Tensor:
        """Return how a tensor of the whole batch lies."""
        pitch = pitch or self._pitch(shape)
        return Tensor(name, self.batch, shape.height, shape.width, shape.channels, pitch, halo)

    def _pitch(self, shape: ImageShape) -> int:
        pitch = self.target.round_up(shape.channels)
        several = shape.height * shape.width > 1
        return pitch + LINE // 4 if several and 4 * pitch % SAME_SETS == 0 else pitch

    def value(
        self,
        name: str,
        shape: ImageShape,
        halo: Halo = NO_HALO,
        pitch: int | None = None,
        *,
        bytes_each: int = 4,
        kept: bool = False,
        dirty: bool = False,
        activation: Layer | None = None,
    ) -> Value:
        """Make a value."""
        tensor = replace(self.shape(name, shape, halo, pitch), bytes_each=bytes_each)
        assert name not in self.values
        made = self.values[name] = Value(tensor, kept=kept, dirty=dirty, activation=activation)
        return made

    def record(self, name: str, size: int) -> Operand:
        """Make memory for `size` values beside the batch: sums, and vectors of channels."""
        self.flat[Space.ARENA, name] = size
        return Operand(Space.ARENA, name, 0)

    def vectors(self, step: PlanStep, variable: str) -> Operand | None:
        """Return where one of a step's variables with one value for each channel lies, if it has it."""
        place = self.layout.vectors(step.node, variable)
        return place.begin if place else None

    def vectors_of(self, node: Node, variable: str) -> Operand:
        """Return where a variable of a layer with one value for each channel lies."""
        place = self.layout.vectors(node, variable)
        assert place is not None
        return place.begin

    def vectors_gradient(self, step: PlanStep, variable: str) -> Operand | None:
        """Return where the gradient of such a variable goes, if it is trained."""
        place = self.layout.vectors_gradient(step.node, variable)
        return place.begin if place and f"{step.node.name}.{variable}" in self.trained else None

    # --- tasks ------------------------------------------------------------------------------------------------

    def level(self, names: Iterable[str], *, chains: bool, starts: bool = False, least: int = 0) -> int:
        """Return the segment in which a task can run that reads memory of these names.

        Arguments:
            names: of tensors and records.
            chains: whether it takes a few images at a time.
            starts: whether it begins a segment of its own.
            least: not before that segment.
        """
        level = max(least, 0 if chains else 1)
        for name in names:
            maker = self.makers[name].level
            here = maker if (maker % 2 == 0) == chains else maker + 1
            level = max(level, here + 2 if starts and maker == here else here)
        return level + (level % 2 == chains)

    def add(
        self,
        title: str,
        reads: Iterable[str],
        writes: Sequence[str],
        build: Callable[[Segment], Iterable[Op]],
        *,
        chains: bool = True,
        level: int | None = None,
        starts: bool = False,
        where: Where = "inside",
        images: int = 1,
        slices: int = 0,
        sums: bool = False,
        correlates: bool = False,
        on_images: bool = True,
    ) -> Task:
        """Add a task that reads and writes memory of these names."""
        reads = list(reads)
        found = self.level(reads, chains=chains, starts=starts) if level is None else level
        task = Task(title, found, build, where, images, slices, sums, correlates, on_images, self.backward)
        self.tasks.append(task)
        for name in reads:
            if name in self.values:
                self.values[name].root.users.append(task)
        for name in writes:
            self.makers[name] = task
            if name in self.values:
                self.values[name].root.maker = task
        return task

    def names(self, expression: Expression) -> list[str]:
        """Return the names of the memory that an expression reads, without the parameters."""
        operands = [vector.name for vector in expression.vectors() if vector.space is not Space.STATE]
        return [*(tensor.name for tensor in expression.tensors()), *operands]

    def map(
        self,
        step: PlanStep,
        name: str,
        expression: Expression,
        y: Value | None,
        *,
        sums: Sequence[Sums] = (),
        level: int | None = None,
    ) -> Task:
        """Add the evaluation of an expression for every pixel of a step's output."""
        others = [part.other for part in sums if part.other is not None]
        reads = [name for part in (expression, *others) for name in self.names(part)]
        writes = [*([y.tensor.name] if y else []), *(part.out.name for part in sums)]
        chains = step.gives_images or bool(sums)

        def build(segment: Segment) -> Iterable[Op]:
            settle = segment.settle
            yield Map(
                name,
                expression.settled(settle),
                settle(y.tensor) if y else None,
                tuple(part.settled(settle) for part in sums),
            )

        images = 1 if step.gives_images else CHAIN_VECTORS
        return self.add(
            step.title,
            reads,
            writes,
            build,
            chains=chains,
            level=level,
            sums=bool(sums),
            images=images if sums else 1,
            on_images=step.on_images,
        )
