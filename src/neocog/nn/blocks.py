"""Blocks: layers wired together. A block computes nothing itself; in a graph only its layers are left."""

from __future__ import annotations

from dataclasses import dataclass, field

from neocog.errors import SettingError
from neocog.nn.layer import Layer, image_input
from neocog.nn.layers.activation import ReLU, Sigmoid
from neocog.nn.layers.convolution import Conv2d
from neocog.nn.layers.join import Add, Concatenate, Multiply
from neocog.nn.layers.pooling import AdaptiveAvgPool2d
from neocog.nn.limits import check_count, shown
from neocog.nn.shapes import Shape
from neocog.nn.wiring import Wiring, child


@dataclass(frozen=True, slots=True)
class Block(Layer):
    """Base of what wires other layers."""


def check_layer(owner: str, part: str, layer: object) -> Layer:
    """Return `layer`, or raise SettingError if it is none."""
    if not isinstance(layer, Layer):
        hint = f"write {layer.__name__}(...)" if isinstance(layer, type) else "pass layers one by one"
        raise SettingError(f"{owner}: {part} must be a layer, got {shown(layer)}", hint=hint)
    return layer


@dataclass(frozen=True, slots=True, init=False)
class Sequential(Block):
    """Layers one after another; a Sequential may hold others, and other blocks.

    >>> from neocog.nn.layers import Conv2d, Flatten, Linear, ReLU
    >>> from neocog.nn.shapes import ImageShape
    >>> net = Sequential(Conv2d(2, 3), ReLU(), Flatten(), Linear(10))
    >>> net.output_shape(ImageShape(6, 6, 1))
    VectorShape(features=10, image=None)
    """

    layers: tuple[Layer, ...]

    def __init__(self, *layers: Layer) -> None:
        for position, layer in enumerate(layers):
            check_layer("Sequential", f"item {position}", layer)
        object.__setattr__(self, "layers", layers)

    def output_shape(self, *inputs: Shape) -> Shape:
        for layer in self.layers:
            inputs = (layer.output_shape(*inputs),)
        return inputs[0]

    def wire(self, wiring: Wiring, name: str, inputs: tuple[int, ...]) -> int:
        """Wire each layer to the one before; an empty Sequential gives what it takes."""
        with wiring.nested():
            for position, layer in enumerate(self.layers):
                inputs = (layer.wire(wiring, child(name, str(position)), inputs),)
        return inputs[0]

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(repr, self.layers))})"


@dataclass(frozen=True, slots=True)
class Residual(Block):
    """body(x) + shortcut(x): what the body learns is added to what it was given.

    Arguments:
        body: a layer or block.
        shortcut: a layer or block that brings x to the body's shape where that differs; None adds x as it is.

    Source: He et al. 2016, Deep residual learning for image recognition.

    >>> from neocog.nn.layers import Conv2d, ReLU
    >>> from neocog.nn.shapes import ImageShape
    >>> body = Sequential(Conv2d(16, 3, stride=2, padding=1), ReLU(), Conv2d(16, 3, padding=1))
    >>> Residual(body, shortcut=Conv2d(16, 1, stride=2)).output_shape(ImageShape(8, 8, 4))
    ImageShape(height=4, width=4, channels=16)
    """

    body: Layer
    shortcut: Layer | None = None

    def __post_init__(self) -> None:
        check_layer("Residual", "body", self.body)
        if self.shortcut is not None:
            check_layer("Residual", "shortcut", self.shortcut)

    def output_shape(self, *inputs: Shape) -> Shape:
        aside = inputs[0] if self.shortcut is None else self.shortcut.output_shape(*inputs)
        return Add().output_shape(self.body.output_shape(*inputs), aside)

    def wire(self, wiring: Wiring, name: str, inputs: tuple[int, ...]) -> int:
        """Wire the body, the shortcut and the Add that joins them."""
        with wiring.nested():
            through = self.body.wire(wiring, child(name, "body"), inputs)
            aside = inputs[0]
            if self.shortcut is not None:
                aside = self.shortcut.wire(wiring, child(name, "shortcut"), inputs)
        return wiring.add(Add(), child(name, "add"), (through, aside))


@dataclass(frozen=True, slots=True, init=False)
class Concat(Block):
    """Several branches of the same input, whose channels are laid side by side.

    Arguments:
        branches: layers or blocks, two or more.

    Source: Szegedy et al. 2015, Going deeper with convolutions.

    >>> from neocog.nn.layers import Conv2d
    >>> from neocog.nn.shapes import ImageShape
    >>> Concat(Conv2d(4, 1), Conv2d(8, 3, padding=1)).output_shape(ImageShape(6, 6, 3))
    ImageShape(height=6, width=6, channels=12)
    """

    branches: tuple[Layer, ...]

    def __init__(self, *branches: Layer) -> None:
        for position, branch in enumerate(branches):
            check_layer("Concat", f"branch {position}", branch)
        if len(branches) < 2:
            raise SettingError(f"Concat: at least 2 branches are needed, got {len(branches)}")
        object.__setattr__(self, "branches", branches)

    def output_shape(self, *inputs: Shape) -> Shape:
        return Concatenate().output_shape(*(branch.output_shape(*inputs) for branch in self.branches))

    def wire(self, wiring: Wiring, name: str, inputs: tuple[int, ...]) -> int:
        """Wire each branch to the input, and the Concatenate that joins them."""
        with wiring.nested():
            parts = [branch.wire(wiring, child(name, str(n)), inputs) for n, branch in enumerate(self.branches)]
        return wiring.add(Concatenate(), child(name, "concat"), tuple(parts))

    def __repr__(self) -> str:
        return f"Concat({', '.join(map(repr, self.branches))})"


@dataclass(frozen=True, slots=True)
class SqueezeExcite(Block):
    """Weigh the channels of an image by what a small network makes of their means.

    x · gate(fc2(activation(fc1(mean of each map)))): fc1 and fc2 are 1 × 1 convolutions, from all channels to fewer and
    back. The parts are called avgpool, fc1, activation, fc2, scale_activation and scale, as torchvision calls them.

    Arguments:
        reduction: how many times fewer channels fc1 gives, rounded down, at least 1.
        squeezed: how many it gives, in place of `reduction`; None: so many times fewer.
        activation: a layer or block behind fc1.
        gate: a layer or block behind fc2 that gives the weights: Sigmoid(), or Hardsigmoid() as in MobileNetV3.

    Source: Hu, Shen and Sun 2018, Squeeze-and-excitation networks.

    >>> from neocog.nn.shapes import ImageShape
    >>> SqueezeExcite(4).output_shape(ImageShape(7, 7, 16))
    ImageShape(height=7, width=7, channels=16)
    """

    reduction: int = 16
    squeezed: int | None = None
    activation: Layer = field(default_factory=ReLU)
    gate: Layer = field(default_factory=Sigmoid)

    def __post_init__(self) -> None:
        check_count("SqueezeExcite", "reduction", self.reduction)
        if self.squeezed is not None:
            check_count("SqueezeExcite", "squeezed", self.squeezed)
        check_layer("SqueezeExcite", "activation", self.activation)
        check_layer("SqueezeExcite", "gate", self.gate)

    def output_shape(self, *inputs: Shape) -> Shape:
        x = image_input(self, inputs[0])
        shape: Shape = AdaptiveAvgPool2d().output_shape(x)
        for _, layer in self._parts(x.channels):
            shape = layer.output_shape(shape)
        return Multiply().output_shape(x, shape)

    def wire(self, wiring: Wiring, name: str, inputs: tuple[int, ...]) -> int:
        """Wire the parts one behind the other, and the Multiply that weighs the input."""
        channels = image_input(self, wiring.shape(inputs[0])).channels
        with wiring.nested():
            gate = wiring.add(AdaptiveAvgPool2d(), child(name, "avgpool"), inputs)
            for part, layer in self._parts(channels):
                gate = layer.wire(wiring, child(name, part), (gate,))
        return wiring.add(Multiply(), child(name, "scale"), (*inputs, gate))

    def _parts(self, channels: int) -> tuple[tuple[str, Layer], ...]:
        """Return what stands between the means and the product, by name."""
        squeezed = max(1, channels // self.reduction) if self.squeezed is None else self.squeezed
        return (
            ("fc1", Conv2d(squeezed, 1)),
            ("activation", self.activation),
            ("fc2", Conv2d(channels, 1)),
            ("scale_activation", self.gate),
        )
