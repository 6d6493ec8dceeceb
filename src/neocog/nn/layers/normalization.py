"""Normalization of what flows between layers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from neocog.errors import SettingError, ShapeError
from neocog.nn.layer import Layer, Variable, channels_of, image_input
from neocog.nn.limits import MAX_WORK, check_count, check_flag, is_number, shown
from neocog.nn.shapes import Shape

__all__ = [
    "BatchNorm2d",
    "GroupNorm",
    "LayerNorm2d",
    "LayerScale",
    "LocalResponseNorm",
]


@dataclass(frozen=True, slots=True)
class BatchNorm2d(Layer):
    """Bring each channel to mean 0 and variance 1, then scale and shift it: y = (x - mean) / √(variance + ε) · γ + β.

    While training, mean and variance are those of the batch over images and pixels, and running averages of them are
    kept: running ← running + momentum · (batch - running), with the unbiased variance, as in PyTorch. Where the network
    predicts, the running averages are used. It takes vectors too, as PyTorch's BatchNorm1d does.

    Arguments:
        momentum: share of the running averages that each batch replaces, in [0, 1].
        epsilon: added to the variance, against division by zero.
        affine: whether there are a learned scale γ ("weight") and shift β ("bias"), one of each a channel.
        frozen: whether training takes the running averages too, and leaves them as they are: for fine-tuning, where the
            statistics of few images are worth less than those of the many that a network was trained on. γ and β learn
            all the same.

    Source: Ioffe and Szegedy 2015, Batch normalization.
    """

    whole_batch: ClassVar[bool] = True

    momentum: float = 0.1
    epsilon: float = 1e-5
    affine: bool = True
    frozen: bool = field(default=False, metadata={"later": True})

    def __post_init__(self) -> None:
        if not (is_number(self.momentum) and 0.0 <= self.momentum <= 1.0):
            raise SettingError(f"BatchNorm2d: momentum must lie in [0, 1], got {shown(self.momentum)}")
        _check_epsilon(self)
        check_flag(type(self).__name__, "affine", self.affine)
        check_flag(type(self).__name__, "frozen", self.frozen)

    def variables(self, *inputs: Shape) -> tuple[Variable, ...]:
        shape = (channels_of(inputs[0]),)
        buffers = (
            Variable("running_mean", shape, 0.0, trainable=False, decay=False),
            Variable("running_var", shape, 1.0, trainable=False, decay=False),
        )
        return (*_learned(self, inputs[0]), *buffers)


@dataclass(frozen=True, slots=True)
class GroupNorm(Layer):
    """Bring each group of channels of each image to mean 0 and variance 1, then scale and shift each channel.

    y = (x - mean) / √(variance + ε) · γ + β, where mean and variance are those of all pixels of the group's channels in
    the one image. So training and prediction do the same, and images know nothing of each other. Channels that follow
    each other form a group, as in PyTorch.

    Arguments:
        groups: how many; it must divide the channels. 1 for all channels together (layer normalization of an image), as
            many as channels for each alone (instance normalization).
        epsilon: added to the variance, against division by zero.
        affine: whether there are a learned scale γ ("weight") and shift β ("bias"), one of each a channel.

    Source: Wu and He 2018, Group normalization.

    >>> from neocog.nn.shapes import ImageShape
    >>> [variable.name for variable in GroupNorm(2).variables(ImageShape(4, 4, 6))]
    ['weight', 'bias']
    """

    whole_image: ClassVar[bool] = True

    groups: int
    epsilon: float = 1e-5
    affine: bool = True

    def __post_init__(self) -> None:
        check_count("GroupNorm", "groups", self.groups)
        _check_epsilon(self)
        check_flag(type(self).__name__, "affine", self.affine)

    def output_shape(self, *inputs: Shape) -> Shape:
        image = image_input(self, inputs[0])
        if image.channels % self.groups:
            raise ShapeError(f"GroupNorm needs a multiple of {self.groups} channels, got {image}")
        return image

    def variables(self, *inputs: Shape) -> tuple[Variable, ...]:
        return _learned(self, inputs[0])


@dataclass(frozen=True, slots=True)
class LayerScale(Layer):
    """x · γ with one learned γ ("weight") a channel, small at first: for the end of a Residual's body.

    Arguments:
        start: what every γ is at first, another number than 0.

    Source: Touvron et al. 2021, Going deeper with image transformers.
    """

    start: float = 1e-5

    def __post_init__(self) -> None:
        if not (is_number(self.start) and self.start != 0.0):
            raise SettingError(f"LayerScale: start must be a number other than 0, got {shown(self.start)}")

    def variables(self, *inputs: Shape) -> tuple[Variable, ...]:
        return (Variable("weight", (channels_of(inputs[0]),), self.start, decay=False),)


@dataclass(frozen=True, slots=True)
class LayerNorm2d(Layer):
    """Bring the channels of each pixel to mean 0 and variance 1, then scale and shift each channel.

    y = (x - mean) / √(variance + ε) · γ + β, where mean and variance are those of the channels of the one pixel, or of
    a vector's values. So no pixel knows of another, and training and prediction do the same.

    Arguments:
        epsilon: added to the variance, against division by zero.
        affine: whether there are a learned scale γ ("weight") and shift β ("bias"), one of each a channel.

    Source: Ba, Kiros and Hinton 2016, Layer normalization; of each pixel by itself as in Liu et al. 2022, A ConvNet for
    the 2020s.

    >>> from neocog.nn.shapes import ImageShape
    >>> [variable.shape for variable in LayerNorm2d().variables(ImageShape(4, 4, 6))]
    [(6,), (6,)]
    """

    epsilon: float = 1e-6
    affine: bool = True

    def __post_init__(self) -> None:
        _check_epsilon(self)
        check_flag(type(self).__name__, "affine", self.affine)

    def variables(self, *inputs: Shape) -> tuple[Variable, ...]:
        return _learned(self, inputs[0])


@dataclass(frozen=True, slots=True)
class LocalResponseNorm(Layer):
    """Divide each value by what the channels beside its own hold in the same pixel: y = x / (k + α · m)^β.

    m is the sum of the squares of `size` neighbouring channels, divided by `size`. Output c sees the channels from
    c - size // 2 to c + (size - 1) // 2; those that are not there count as zeros. So PyTorch and ONNX have it, while
    Krizhevsky et al. do not divide by `size`: their α of 0.0001 with 5 channels is 0.0005 here, with a k of 2.

    Arguments:
        size: channels in the window, at least 1.
        alpha: α, at least 0.
        beta: β, at least 0.
        k: above 0.

    Source: Krizhevsky, Sutskever and Hinton 2012, ImageNet classification with deep convolutional neural networks.

    >>> LocalResponseNorm(5).beside(64), LocalResponseNorm(4).beside(64), LocalResponseNorm(9).beside(3)
    ((2, 2), (2, 1), (2, 2))
    """

    size: int
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0

    def __post_init__(self) -> None:
        check_count("LocalResponseNorm", "size", self.size)
        for name in ("alpha", "beta"):
            value = getattr(self, name)
            if not (is_number(value) and value >= 0.0):
                raise SettingError(f"LocalResponseNorm: {name} must be at least 0, got {shown(value)}")
        if not (is_number(self.k) and self.k > 0.0):
            raise SettingError(f"LocalResponseNorm: k must be above 0, got {shown(self.k)}")

    def output_shape(self, *inputs: Shape) -> Shape:
        image = image_input(self, inputs[0])
        work = image.height * image.width * image.channels * (sum(self.beside(image.channels)) + 1)
        if work > MAX_WORK:
            raise ShapeError(
                f"LocalResponseNorm looks at {work:,} values an image, at most {MAX_WORK:,} are possible",
                hint="use smaller images or a smaller size",
            )
        return image

    def beside(self, channels: int) -> tuple[int, int]:
        """Return how many channels before and behind its own an output may see, of so many as there are."""
        return min(self.size // 2, channels - 1), min((self.size - 1) // 2, channels - 1)


def _check_epsilon(layer: BatchNorm2d | GroupNorm | LayerNorm2d) -> None:
    if not (is_number(layer.epsilon) and layer.epsilon > 0.0):
        raise SettingError(f"{type(layer).__name__}: epsilon must be above 0, got {shown(layer.epsilon)}")


def _learned(layer: BatchNorm2d | GroupNorm | LayerNorm2d, x: Shape) -> tuple[Variable, ...]:
    shape = (channels_of(x),)
    if not layer.affine:
        return ()
    return Variable("weight", shape, 1.0, decay=False), Variable("bias", shape, 0.0, decay=False)
