"""A program while its layers are written down: what flows where, and the tasks so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from neocog.nn.graph import IMAGE
from neocog.nn.layer import Layer
from neocog.plan.blocked import Blocked
from neocog.plan.layout import Halo, Tensor
from neocog.plan.lower.choices import NO_HALO as NO_HALO
from neocog.plan.lower.draft import Draft
from neocog.plan.lower.values import Contribution, Value, is_bare
from neocog.plan.ops.epilogue import Epilogue
from neocog.plan.ops.map import Sums
from neocog.plan.ops.pointwise import ActivationGradient, Dequantise, Drop, Expression, Plus, Round
from neocog.plan.passes.steps import PlanStep
from neocog.plan.passes.trim import as_image
from neocog.plan.program import FIRST_KEY_SLOT
from neocog.plan.rounded import Rounded


@dataclass(slots=True)
class Lowering(Draft):
    """What is known of a program so far: on top of values and tasks, how what steps give is read, and its gradients."""

    # --- forward ----------------------------------------------------------------------------------------------

    def expression(self, index: int) -> Expression:
        """Return how to read what a step gives; what several steps read is worth memory."""
        if index in self.outputs:
            return Expression(self.outputs[index].tensor)
        if index in self.narrow or (len(self.steps.users(index)) > 1 and self.wants_narrow(index)):
            return self.read(index, self.narrowed(index))
        if len(self.steps.users(index)) > 1 or index in self.kept:
            return Expression(self.output(index).tensor)
        return self.formulas[index]

    def output(self, index: int) -> Value:
        """Return what a step gives, in memory."""
        if index not in self.outputs:
            step = self.steps.steps[max(index, 0)]
            title, shape = ("images", self.images_shape) if index == IMAGE else (step.title, self.output_shape(index))
            narrow = self.narrow.get(index)
            formula = self.read(index, narrow) if narrow else self.formulas[index]
            name = f"{title} in float32" if title in self.values else title
            made = self.value(name, shape, self.halo_of(index), kept=index in self.kept)
            made.formula = formula
            self.map(step, f"{title} {'to float32' if narrow else 'forward'}", formula, made)
            self.outputs[index] = made
        return self.outputs[index]

    def narrowed(self, index: int) -> Value:
        """Return what a step gives, in memory, as bfloat16 or 8-bit integers."""
        if index not in self.narrow:
            step, formula = self.steps.steps[index], self.formulas.get(index)
            if formula is None or index in self.outputs:
                formula = Expression(self.output(index).tensor)
            made = self.narrow[index] = self.narrow_value(index)
            self.map(step, f"{step.title} to {self.precision}", formula.then(*self.rounded(index)), made)
        return self.narrow[index]

    def at_rest(self, index: int) -> Value:
        """Return what a step gives, in memory: as bfloat16 where it is there, or wanted, as such, else as float32."""
        if self.precision == "int8":
            return self.output(index)
        known = index in self.narrow or (index not in self.outputs and self.wants_half(index))
        # What a Flatten gives is as bfloat16 still the image.
        return self.narrowed(index) if known and not self.steps.steps[index].is_flatten else self.output(index)

    def read(self, index: int, value: Value) -> Expression:
        """Return how to read what a step gives, from one of the ways in which it lies in memory."""
        if isinstance(value.tensor, Rounded):
            return Expression(value.tensor, (Dequantise(self.roundings[index].scale),))
        return Expression(value.tensor)

    def rounded(self, index: int) -> Epilogue:
        """Return what rounds what a step gives, where it is stored as 8-bit integers."""
        rounding = self.roundings.get(index)
        return (Round(rounding.inverse, rounding.signed),) if rounding else ()

    def settle_rounded(self, index: int) -> None:
        """Round what a step gives in float32, before anybody takes it, where all are to take it rounded."""
        if index in self.fused or any(user.index in self.fused for user in self.steps.users(index)):
            return
        if index in self.roundings and index not in self.narrow:
            self.narrowed(index)
            self.outputs.pop(index, None)

    def made(self, index: int) -> Value:
        """Return what a step gives as it was made: as bfloat16 where it is there as such."""
        return self.narrow.get(index) or self.outputs[index]

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

    def make_mask(self, step: PlanStep) -> Value | None:
        """Make memory for the place of the largest value of each window of a pooling, if training asks for it."""
        if step.inputs[0] not in self.learning:
            return None
        bytes_each = 1 if self.window_of(step).cells <= 255 else 4
        mask = self.value(f"{step.title} mask", self.output_shape(step.index), bytes_each=bytes_each)
        self.masks[step.index] = mask
        return mask

    # --- backward ---------------------------------------------------------------------------------------------

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

    def summed_gradient(
        self, step: PlanStep, sums: Callable[[Value], Sequence[Sums]], halo: Halo = NO_HALO
    ) -> Expression:
        """Return how to read the gradient of what a step gives, and plan sums of it; arguments as of `gradient_value`.

        Where it follows from bfloat16 and becomes such, it is no more work to evaluate it twice than to write it down.
        """
        gradient, shape = self.gradient(step), self.output_shape(step.index)
        x = gradient.x
        if isinstance(x, Blocked) and (x.height, x.width) == (shape.height, shape.width):
            self.map(step, f"{step.title} sums of the gradient", gradient, None, sums=sums(self.values[x.name]))
            return gradient
        return Expression(self.gradient_value(step, halo, sums).tensor)

    def half_gradient(self, step: PlanStep, sums: Callable[[Value], Sequence[Sums]] | None = None) -> Value:
        """Return the gradient of what a step gives, in memory, as bfloat16, as its products of tiles read it; plan sums
        of it, if they are wanted.
        """
        expression, wanted = self.gradient(step), self.blocked_gradient_of(step.index)
        x = expression.x
        if is_bare(expression) and isinstance(x, Blocked) and replace(x, name=wanted.name) == wanted:
            made = self.values[x.name]
        else:
            name = wanted.name if wanted.name not in self.values else f"{wanted.name}, in all"
            made = self._add_value(replace(wanted, name=name))
            self.map(step, f"{step.title} gradient to bfloat16", expression, made)
        if sums is not None:
            self.map(step, f"{step.title} sums of the gradient", Expression(made.tensor), None, sums=sums(made))
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
