"""A program while its layers are written down: what flows where, and the tasks so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from neocog.nn.graph import IMAGE, Node
from neocog.nn.layer import Layer
from neocog.nn.parameters import parameters_of
from neocog.nn.shapes import ImageShape
from neocog.plan.blocked import Blocked
from neocog.plan.layout import Halo, Operand, Panels, Space, Tensor
from neocog.plan.lower.choices import NO_HALO as NO_HALO
from neocog.plan.lower.choices import Choices
from neocog.plan.lower.values import Contribution, Segment, Task, Value, Where, is_bare
from neocog.plan.memory import LINE
from neocog.plan.ops.epilogue import Epilogue
from neocog.plan.ops.map import Map, Sums
from neocog.plan.ops.op import Op
from neocog.plan.ops.pointwise import ActivationGradient, Drop, Expression, Plus, Round, Worth
from neocog.plan.parameters import ParameterLayout
from neocog.plan.passes.steps import PlanStep
from neocog.plan.passes.trim import as_image
from neocog.plan.program import FIRST_KEY_SLOT
from neocog.plan.rounded import Rounded

CHAIN_VECTORS = 16  # vectors whose sums are taken together


SAME_SETS = 2048
"""Bytes between pixels at which the rows of a register tile, with a stride of 2, meet in one set of the first-level
cache, and push each other out of it: such pixels get a cache line between them."""


@dataclass(slots=True)
class Lowering(Choices):
    """What is known of a program so far.

    Arguments:
        layout: where variables lie.
        trained: names of the parameters that follow gradients.
        kept: the steps whose output a caller reads.
        tasks: in the order in which they were found.
        outputs: for each step, what it gives, where that lies in memory; -1 is the image.
        halves: for each step, what it gives as bfloat16, where somebody takes it as such, or as 8-bit integers.
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
    kept: frozenset[int]
    trained: frozenset[str] = frozenset()
    peaks: dict[int, list[int]] = field(default_factory=dict)
    found_peaks: dict[int, Tensor] = field(default_factory=dict)
    tasks: list[Task] = field(default_factory=list)
    outputs: dict[int, Value] = field(default_factory=dict)
    halves: dict[int, Value] = field(default_factory=dict)
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

    # --- forward ----------------------------------------------------------------------------------------------

    def expression(self, index: int) -> Expression:
        """Return how to read what a step gives; what several steps read is worth memory."""
        if index in self.outputs:
            return Expression(self.outputs[index].tensor)
        if index in self.halves or (len(self.steps.users(index)) > 1 and self.wants_narrow(index)):
            return self.read(index, self.half(index))
        if len(self.steps.users(index)) > 1 or index in self.kept:
            return Expression(self.output(index).tensor)
        return self.formulas[index]

    def output(self, index: int) -> Value:
        """Return what a step gives, in memory."""
        if index not in self.outputs:
            step = self.steps.steps[max(index, 0)]
            title, shape = ("images", self.images_shape) if index == IMAGE else (step.title, self.output_shape(index))
            narrow = self.halves.get(index)
            formula = self.read(index, narrow) if narrow else self.formulas[index]
            name = f"{title} in float32" if title in self.values else title
            made = self.value(name, shape, self.halo_of(index), kept=index in self.kept)
            made.formula = formula
            self.map(step, f"{title} {'to float32' if narrow else 'forward'}", formula, made)
            self.outputs[index] = made
        return self.outputs[index]

    def half(self, index: int) -> Value:
        """Return what a step gives, in memory, as bfloat16 or 8-bit integers."""
        if index not in self.halves:
            step, formula = self.steps.steps[index], self.formulas.get(index)
            if formula is None or index in self.outputs:
                formula = Expression(self.output(index).tensor)
            made = self.halves[index] = self.narrow_value(index)
            self.map(step, f"{step.title} to {self.precision}", formula.then(*self.rounded(index)), made)
        return self.halves[index]

    def at_rest(self, index: int) -> Value:
        """Return what a step gives, in memory: as bfloat16 where it is there, or wanted, as such, else as float32."""
        if self.precision == "int8":
            return self.output(index)
        known = index in self.halves or (index not in self.outputs and self.wants_half(index))
        # What a Flatten gives is as bfloat16 still the image.
        return self.half(index) if known and not self.steps.steps[index].is_flatten else self.output(index)

    def read(self, index: int, value: Value) -> Expression:
        """Return how to read what a step gives, from one of the ways in which it lies in memory."""
        if isinstance(value.tensor, Rounded):
            return Expression(value.tensor, (Worth(self.roundings[index].scale),))
        return Expression(value.tensor)

    def rounded(self, index: int) -> Epilogue:
        """Return what rounds what a step gives, where it is stored as 8-bit integers."""
        rounding = self.roundings.get(index)
        return (Round(rounding.inverse, rounding.signed),) if rounding else ()

    def settle_rounded(self, index: int) -> None:
        """Round what a step gives in float32, before anybody takes it, where all are to take it rounded."""
        if index in self.fused or any(user.index in self.fused for user in self.steps.users(index)):
            return
        if index in self.roundings and index not in self.halves:
            self.half(index)
            self.outputs.pop(index, None)

    def made(self, index: int) -> Value:
        """Return what a step gives as it was made: as bfloat16 where it is there as such."""
        return self.halves.get(index) or self.outputs[index]

    def narrow_value(self, index: int, activation: Layer | None = None) -> Value:
        """Make memory for what a step gives as bfloat16 or 8-bit integers."""
        tensor = self.rounded_of(index) if self.precision == "int8" else self.blocked_of(index)
        return self._add_value(tensor, activation)

    def stacked_value(self, step: PlanStep, again: str = "") -> Value:
        """Make memory for what a first convolution sees of the rows of images; `again` tells it from the first one."""
        stacked = self.stacked_of(step)
        return self._add_value(replace(stacked, name=stacked.name + again))

    def _add_value(self, tensor: Tensor, activation: Layer | None = None) -> Value:
        assert tensor.name not in self.values
        made = self.values[tensor.name] = Value(tensor, activation=activation)
        return made

    def drop(self, step: PlanStep, unit: str) -> Drop:
        """Return what a layer does that drops at random, with the slot of its key."""
        if step.node.index not in self.dropouts:
            self.dropouts.append(step.node.index)
        whole = as_image(step.node.output)
        slot = FIRST_KEY_SLOT + self.dropouts.index(step.node.index)
        rate = step.node.layer.rate  # type: ignore[attr-defined]
        return Drop(slot, rate, unit, whole.height, whole.width, whole.channels)  # type: ignore[arg-type]

    # --- backward ---------------------------------------------------------------------------------------------

    def trains(self, step: PlanStep) -> bool:
        """Whether a step has parameters of its own that follow gradients."""
        return step.node.index in self._trained_layers

    def contribute(self, index: int, expression: Expression, *, past_activation: bool = False) -> None:
        """Add a part to the gradient of what a step gives."""
        if index in self.learning:
            self.contributions.setdefault(index, []).append(Contribution(expression, past_activation))

    def activation_gradient(self, index: int, *, half: bool = False) -> Epilogue:
        """Return what takes a gradient through the activation that a step ends in, for whoever writes its only part,
        and can read the step's output as it was made: as bfloat16 too, where `half` says so.
        """
        value = self.made(index) if half else self.outputs.get(index)
        if value is None or value.activation is None or len(self.steps.users(index)) != 1:
            return ()
        return (ActivationGradient(value.activation, Expression(value.tensor), of_output=True),)

    def gradient(self, step: PlanStep) -> Expression:
        """Return the gradient of what a step gives: all parts, through its activation."""
        parts = self.contributions[step.index]
        total = parts[0].expression.then(*(Plus(part.expression) for part in parts[1:]))
        if step.activation is not None and not all(part.past_activation for part in parts):
            output = Expression(self.made(step.index).tensor)
            total = total.then(ActivationGradient(step.activation, output, of_output=True))
        return total

    def gradient_value(
        self, step: PlanStep, halo: Halo = NO_HALO, sums: Callable[[Value], Sequence[Sums]] | None = None
    ) -> Value:
        """Return the gradient of what a step gives, in memory, with at least so many zeros around it.

        Arguments:
            step: whose output.
            halo: what readers need; none for those who look at the pixels alone.
            sums: given the value, what to add up on the way.
        """
        expression = self.gradient(step)
        shape = self.output_shape(step.index)
        bare = is_bare(expression) and not isinstance(expression.x, Blocked)
        x = self.values[expression.x.name] if bare else None
        if x is not None and expression.x.name in self.images_of and step.is_flatten:
            return x
        fits = x is not None and (x.tensor.height, x.tensor.width) == (shape.height, shape.width)
        if fits and x is not None and x.tensor.halo.union(halo) == x.tensor.halo and not (x.dirty and halo != NO_HALO):
            if sums is not None:
                self.map(step, f"{step.title} sums of the gradient", expression, None, sums=sums(x))
            return x
        name = f"gradient of {step.title}"
        name = name if name not in self.values else f"{name}, in all"
        made = self._gradient_of_view(step, name, "all") or self.value(name, shape, halo)
        self.map(step, f"{step.title} gradient", expression, made, sums=sums(made) if sums else ())
        # A Flatten has no activation of its own: what it takes may end in one, which is still to be applied.
        through = not step.is_flatten or all(part.past_activation for part in self.contributions[step.index])
        self.contributions[step.index] = [Contribution(Expression(made.tensor), past_activation=through)]
        return made

    def part_of_gradient(self, index: int, title: str, halo: Halo | None = None, *, dirty: bool = False) -> Value:
        """Make memory for a part of the gradient of what a step gives, as its maker will want it.

        Arguments:
            index: the step.
            title: of the step whose backward pass writes it.
            halo: around it; default: as the maker's backward pass needs it, if this is the only part.
            dirty: whether the halo will hold more than zeros.
        """
        step = self.steps.steps[index]
        alone = len(self.steps.users(index)) <= 1
        name = f"gradient of {step.title}"
        if not alone:
            name = f"{name} from {title}"
        while name in self.values:  # it takes the same value twice, or a Flatten behind the step has several users
            name += " again"
        if halo is None:
            halo = self.gradient_halo(step) if alone else NO_HALO
        view = self._gradient_of_view(step, name, title) if alone else None
        return view or self.value(name, self.output_shape(index), halo, dirty=dirty)

    def half_gradient(self, step: PlanStep) -> Value:
        """Return the gradient of what a step gives, in memory, as bfloat16, as its products of tiles read it."""
        expression, wanted = self.gradient(step), self.blocked_gradient_of(step.index)
        x = expression.x
        if is_bare(expression) and isinstance(x, Blocked) and replace(x, name=wanted.name) == wanted:
            return self.values[x.name]
        name = wanted.name if wanted.name not in self.values else f"{wanted.name}, in all"
        made = self._add_value(replace(wanted, name=name))
        self.map(step, f"{step.title} gradient to bfloat16", expression, made)
        return made

    def half_part_of_gradient(self, index: int, title: str, *, always: bool = False) -> Value:
        """Make memory for a part of the gradient of what a step gives, as bfloat16 where that is how it is taken, or
        always.
        """
        if not always and not self.wants_half_gradient(index):
            return self.part_of_gradient(index, title)
        tensor = self.blocked_gradient_of(index)
        if len(self.steps.users(index)) > 1:
            tensor = replace(tensor, name=f"{tensor.name} from {title}")
        while tensor.name in self.values:
            tensor = replace(tensor, name=f"{tensor.name} again")
        return self._add_value(tensor)

    def _gradient_of_view(self, step: PlanStep, name: str, title: str) -> Value | None:
        """Make memory for the gradient of a flattened image that is the image's too, where that lies value by value."""
        image = self.outputs[step.index].base if step.is_flatten else None
        if image is None or step.inputs[0] not in self.learning:
            return None
        before = self.steps.steps[step.inputs[0]]
        if self.gradient_halo(before) != NO_HALO or image.tensor.pitch != image.tensor.channels:
            return None
        whole = self.part_of_gradient(before.index, title)
        self.images_of[whole.tensor.name] = whole
        return Value(whole.tensor.as_vectors(), base=whole)

    def output_again(self, index: int, level: int) -> Value:
        """Return what a step gave, for a backward pass: computed again where it was never stored for the batch."""
        value = self.outputs[index]
        if value.formula is None or value.stored or value.level % 2:
            return value
        if (index, level) not in self.again:
            step, tensor = self.steps.steps[index], value.tensor
            name = f"{step.title} again"
            made = self.value(f"{name} {level}", self.output_shape(index), tensor.halo)
            self.map(step, name, value.formula, made, level=level)
            self.again[index, level] = made
        return self.again[index, level]
