"""The functional form: what a layer will give, to be handed to the next one, before anything is computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from types import EllipsisType
from typing import TYPE_CHECKING, ClassVar

from neocog.errors import SettingError, ShapeError
from neocog.nn.limits import fault_of_name, shown
from neocog.nn.shapes import ImageShape, Shape, checked_image_shape
from neocog.nn.wiring import check_arity

if TYPE_CHECKING:
    from neocog.nn.layer import Layer


@dataclass(frozen=True, slots=True, eq=False)
class Symbol:
    """What a layer will give. Make the first with `Input`, the others by calling layers.

    Arguments:
        layer: where it comes from; None for the image.
        inputs: what that layer takes.
        shape: of one image's value.
        name: what the layer is to be called; None for its number.

    `x[..., 2:5]` takes channels 2, 3 and 4; see `Slice`.
    """

    cut: ClassVar[Callable[[int, int | None], Layer]]

    layer: Layer | None
    inputs: tuple[Symbol, ...] = field(repr=False)
    shape: Shape
    name: str | None = None

    @classmethod
    def of(cls, layer: Layer, inputs: Sequence[object], name: str | None) -> Symbol:
        """Return what `layer` gives for `inputs`, or raise ShapeError or SettingError."""
        kind = type(layer).__name__
        symbols = []
        for position, value in enumerate(inputs, 1):
            if not isinstance(value, Symbol):
                raise SettingError(
                    f"{kind}: input {position} must come from Input or another layer, got {shown(value)}",
                    hint="x = Input((32, 32, 3)); y = Conv2d(16, 3)(x)",
                )
            symbols.append(value)
        if name is not None:
            _check_name(kind, name)
        try:
            check_arity(layer, len(symbols))
            shape = layer.output_shape(*(symbol.shape for symbol in symbols))
        except ShapeError as error:
            sources = [
                f"input {position}: {symbol.title} gives {symbol.shape}" for position, symbol in enumerate(symbols, 1)
            ]
            raise ShapeError(error.message, details=(*error.details, *sources), hint=error.hint) from None
        return cls(layer, tuple(symbols), shape, name)

    def __getitem__(self, place: object) -> Symbol:
        match place:
            case (EllipsisType(), slice(step=None | 1) as run):
                return Symbol.cut(run.start or 0, run.stop)(self)
        raise SettingError(
            f"of {self.title}, channels are taken as in x[..., 2:5], without a step, got x[{shown(place)}]",
            hint="Slice(2, 5)(x) is the same",
        )

    def split(self, parts: int | Sequence[int]) -> tuple[Symbol, ...]:
        """Return the channels in parts, each of which is a `Slice`; Concatenate puts them together again.

        Arguments:
            parts: how many equal ones, or how many channels each has.

        Raises:
            SettingError: the channels cannot be cut so.

        >>> from neocog.nn.layers import Conv2d
        >>> left, right = Conv2d(6, 1)(Input((4, 4, 3))).split(2)
        >>> left.shape
        ImageShape(height=4, width=4, channels=3)
        """
        channels = self.shape.channels if isinstance(self.shape, ImageShape) else self.shape.features
        sizes = list(parts) if isinstance(parts, Sequence) else []
        if isinstance(parts, int) and not isinstance(parts, bool) and 1 <= parts <= channels and channels % parts == 0:
            sizes = [channels // parts] * parts
        wrong = any(not isinstance(size, int) or isinstance(size, bool) or size < 1 for size in sizes)
        if wrong or not sizes or sum(sizes) != channels:
            raise SettingError(
                f"split: the {channels} channels of {self.title} must be cut into equal parts, or into numbers of "
                f"channels that add up to them, got {shown(parts)}",
                hint="x.split(2) gives two halves, x.split((3, 5)) the first three channels and the five others",
            )
        return tuple(self[..., first:end] for first, end in pairwise(accumulate(sizes, initial=0)))

    @property
    def title(self) -> str:
        """How messages name where it comes from."""
        if self.layer is None:
            return "the image"
        return f"layer {self.name} ({type(self.layer).__name__})" if self.name else type(self.layer).__name__


def _check_name(kind: str, name: object) -> None:
    """Raise SettingError unless files can hold a layer of this name: now, and not after hours of training."""
    fault = fault_of_name(name) if isinstance(name, str) else f"a name must be a text, got {shown(name)}"
    if fault is not None:
        raise SettingError(f"{kind}: {fault}", hint="give the layer another name")


def Input(shape: ImageShape | tuple[int, int, int]) -> Symbol:  # noqa: N802 - used like a layer
    """Return the image that a network starts from, (height, width, channels) in pixels.

    >>> Input((32, 32, 3)).shape
    ImageShape(height=32, width=32, channels=3)
    """
    return Symbol(None, (), checked_image_shape(shape))
