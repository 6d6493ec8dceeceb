"""The functional form: what a layer will give, to be handed to the next one, before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

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
    """

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
