"""What happens to values one by one, as data: an expression reads a tensor and applies steps to each of its values.

The steps of an expression run in registers. So normalization, activation, addition and their gradients cost no pass
over memory of their own: whoever needs the result evaluates the expression where it needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from neocog.nn.layer import Layer
from neocog.plan.layout import Operand, Tensor

Settle = Callable[[Tensor], Tensor]
"""What turns a tensor as it was planned for the whole batch into what a stage sees of it."""


@dataclass(frozen=True, slots=True)
class Pointwise:
    """Base of all steps.

    `keeps_zero` says that zeros stay zeros: padding needs no second thought then. `needs_pixel` says that the image,
    row and column of a value count, and not only where it lies in memory.
    """

    keeps_zero: ClassVar[bool] = True
    needs_pixel: ClassVar[bool] = False

    def others(self) -> tuple[Expression, ...]:
        """Return the other expressions that the step evaluates at the same place."""
        return ()

    def vectors(self) -> tuple[Operand, ...]:
        """Return where the step finds one value a channel."""
        return ()

    def scalars(self) -> tuple[Operand, ...]:
        """Return where the step finds one value for all channels."""
        return ()

    def settled(self, settle: Settle) -> Pointwise:
        """Return the step with its tensors as a stage sees them."""
        return self

    @property
    def label(self) -> str:
        """How plans name the step."""
        return type(self).__name__


@dataclass(frozen=True, slots=True)
class Expression:
    """A tensor, and what happens to each of its values in order. A tensor of one pixel stands for all pixels; of one
    channel, with it in every lane, for all channels.
    """

    x: Tensor
    steps: tuple[Pointwise, ...] = ()

    def then(self, *steps: Pointwise) -> Expression:
        """Return the expression with further steps."""
        return Expression(self.x, (*self.steps, *steps))

    def tensors(self) -> Iterator[Tensor]:
        """Yield every tensor that is read."""
        yield self.x
        yield from tensors_of(self.steps)

    def vectors(self) -> Iterator[Operand]:
        """Yield where values of channels are read."""
        yield from vectors_of(self.steps)

    def scalars(self) -> Iterator[Operand]:
        """Yield where values for all channels are read."""
        yield from scalars_of(self.steps)

    def settled(self, settle: Settle) -> Expression:
        """Return the expression with its tensors as a stage sees them."""
        return Expression(settle(self.x), settled(self.steps, settle))

    @property
    def keeps_zero(self) -> bool:
        """Whether zeros in all tensors give zero."""
        return keep_zero(self.steps)

    @property
    def label(self) -> str:
        """How plans name it."""
        return " ".join((self.x.name, *(f"> {step.label}" for step in self.steps)))


def tensors_of(steps: Iterable[Pointwise]) -> Iterator[Tensor]:
    """Yield every tensor that steps read."""
    for step in steps:
        for other in step.others():
            yield from other.tensors()


def vectors_of(steps: Iterable[Pointwise]) -> Iterator[Operand]:
    """Yield where steps read values of channels."""
    for step in steps:
        yield from step.vectors()
        for other in step.others():
            yield from other.vectors()


def scalars_of(steps: Iterable[Pointwise]) -> Iterator[Operand]:
    """Yield where steps read one value for all channels."""
    for step in steps:
        yield from step.scalars()
        for other in step.others():
            yield from other.scalars()


def settled(steps: Iterable[Pointwise], settle: Settle) -> tuple[Pointwise, ...]:
    """Return steps with their tensors as a stage sees them."""
    return tuple(step.settled(settle) for step in steps)


def keep_zero(steps: Iterable[Pointwise]) -> bool:
    """Whether steps make zero of zeros."""
    return all(step.keeps_zero and all(other.keeps_zero for other in step.others()) for step in steps)


@dataclass(frozen=True, slots=True)
class Normalise(Pointwise):
    """(value - mean) · scale + shift, with one of each for every channel; shift may be left out.

    Padding stays zero: there, all three are.
    """

    mean: Operand
    scale: Operand
    shift: Operand | None

    def vectors(self) -> tuple[Operand, ...]:
        """Return mean, scale and shift."""
        return (self.mean, self.scale) if self.shift is None else (self.mean, self.scale, self.shift)


@dataclass(frozen=True, slots=True)
class Affine(Pointwise):
    """value · scale + shift, with one of each for every channel; shift may be left out. Padding stays zero.

    `twice`: the product is rounded before the shift is added, also where a processor could do both at once.
    """

    scale: Operand
    shift: Operand | None = None
    twice: bool = False

    def vectors(self) -> tuple[Operand, ...]:
        """Return scale and shift."""
        return (self.scale,) if self.shift is None else (self.scale, self.shift)


@dataclass(frozen=True, slots=True)
class Scaled(Pointwise):
    """value · factor."""

    factor: float


@dataclass(frozen=True, slots=True)
class Dequantise(Pointwise):
    """value · scale, with one scale in memory: what integers stand for."""

    scale: Operand

    def scalars(self) -> tuple[Operand, ...]:
        """Return the scale."""
        return (self.scale,)


@dataclass(frozen=True, slots=True)
class Round(Pointwise):
    """value · inverse, within the limits of 8 bits: what is stored as the nearest integer.

    Arguments:
        inverse: where one by the scale lies.
        signed: whether integers have a sign; without, no value is negative.
    """

    inverse: Operand
    signed: bool

    def scalars(self) -> tuple[Operand, ...]:
        """Return the inverse of the scale."""
        return (self.inverse,)


@dataclass(frozen=True, slots=True)
class Centre(Pointwise):
    """value - mean, with one for every channel. Padding stays zero."""

    mean: Operand

    def vectors(self) -> tuple[Operand, ...]:
        """Return the means."""
        return (self.mean,)


@dataclass(frozen=True, slots=True)
class Activate(Pointwise):
    """f(value) of an activation layer."""

    layer: Layer

    @property
    def keeps_zero(self) -> bool:  # type: ignore[override]
        """Whether f(0) = 0."""
        return self.layer.keeps_zero  # type: ignore[attr-defined, no-any-return]

    @property
    def label(self) -> str:
        """The layer's name."""
        return type(self.layer).__name__


@dataclass(frozen=True, slots=True)
class _With(Pointwise):
    other: Expression

    def others(self) -> tuple[Expression, ...]:
        """Return the other operand."""
        return (self.other,)

    def settled(self, settle: Settle) -> Pointwise:
        """Return the step with its operand as a stage sees it."""
        return type(self)(self.other.settled(settle))

    @property
    def label(self) -> str:
        """The step and its operand."""
        return f"{type(self).__name__}({self.other.label})"


@dataclass(frozen=True, slots=True)
class Plus(_With):
    """value + other."""

    @property
    def keeps_zero(self) -> bool:  # type: ignore[override]
        """Not where the other operand is a number for all channels, which lies in the lanes past them too."""
        return self.other.x.channels > 1


@dataclass(frozen=True, slots=True)
class Times(_With):
    """value · other."""


@dataclass(frozen=True, slots=True)
class ActivationGradient(Pointwise):
    """value · f'(other), where other is what an activation took, or what it gave (`of_output`)."""

    layer: Layer
    other: Expression
    of_output: bool = False

    def others(self) -> tuple[Expression, ...]:
        """Return what decides."""
        return (self.other,)

    def settled(self, settle: Settle) -> Pointwise:
        """Return the step with its tensors as a stage sees them."""
        return ActivationGradient(self.layer, self.other.settled(settle), self.of_output)

    @property
    def keeps_zero(self) -> bool:  # type: ignore[override]
        """Zero times anything finite."""
        return True

    @property
    def label(self) -> str:
        """The layer, and what decides."""
        return f"{type(self.layer).__name__} gradient({self.other.label})"


@dataclass(frozen=True, slots=True)
class Slope(Pointwise):
    """value where it is above zero, else value · slope, with one for every channel (PReLU)."""

    slope: Operand

    def vectors(self) -> tuple[Operand, ...]:
        """Return the slopes."""
        return (self.slope,)


@dataclass(frozen=True, slots=True)
class SlopeGradient(Pointwise):
    """value where other is above zero, else value · slope."""

    slope: Operand
    other: Expression

    def vectors(self) -> tuple[Operand, ...]:
        """Return the slopes."""
        return (self.slope,)

    def others(self) -> tuple[Expression, ...]:
        """Return what decides."""
        return (self.other,)

    def settled(self, settle: Settle) -> Pointwise:
        """Return the step with its tensors as a stage sees them."""
        return SlopeGradient(self.slope, self.other.settled(settle))


@dataclass(frozen=True, slots=True)
class Negative(Pointwise):
    """min(value, 0): what a PReLU's slope multiplies."""


@dataclass(frozen=True, slots=True)
class Drop(Pointwise):
    """Zero at random, and scale what is kept by 1 / (1 - rate).

    Arguments:
        key_slot: where the program's arguments hold the layer's key for this training step.
        rate: share of what is dropped.
        unit: what is dropped together: one value, a feature map of an image, or all of an image.
        height, width, channels: of the whole image: the bits of a value depend on its place there.
    """

    needs_pixel: ClassVar[bool] = True

    key_slot: int
    rate: float
    unit: Literal["value", "map", "image"]
    height: int
    width: int
    channels: int


@dataclass(frozen=True, slots=True)
class Counted(Pointwise):
    """value, or zero in images past those that the caller gave: whole-batch statistics must not spread to them."""

    needs_pixel: ClassVar[bool] = True
