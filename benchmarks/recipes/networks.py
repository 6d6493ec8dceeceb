"""The networks of the peers, in PyTorch: each for images from 28 to some 128 pixels a side."""

from __future__ import annotations

import torch
from torch import nn

LARGE = 64  # pixels, from which on the first convolution halves the image


class ResNet9(nn.Module):  # type: ignore[misc]
    """A ResNet-9 of 1.9 million parameters: three stages of a convolution, a pooling and a residual block."""

    def __init__(self, channels: int, classes: int, side: int) -> None:
        super().__init__()
        layers = [_convolution(channels, 32, 2 if side >= LARGE else 1)]
        for inputs, outputs in ((32, 64), (64, 128), (128, 256)):
            layers += [_convolution(inputs, outputs), nn.MaxPool2d(2), _Block(outputs, outputs)]
        self.layers = nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(256, classes))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        logits: torch.Tensor = self.layers(images)
        return logits


class SmallResNet(nn.Module):  # type: ignore[misc]
    """A ResNet of four stages with a block each: half as wide as the smallest that people train, for a few minutes."""

    def __init__(self, channels: int, classes: int, side: int) -> None:
        super().__init__()
        layers = [_convolution(channels, 32, 2 if side >= LARGE else 1)]
        layers += [nn.MaxPool2d(3, 2, 1)] if side >= LARGE else []
        for inputs, outputs in ((32, 32), (32, 64), (64, 128), (128, 256)):
            layers.append(_Block(inputs, outputs, 1 if inputs == outputs else 2))
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, classes))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        logits: torch.Tensor = self.layers(images)
        return logits


class KerasNet(nn.Module):  # type: ignore[misc]
    """What Keras' tutorial "Image classification" builds: three convolutions and poolings, and two dense layers."""

    def __init__(self, channels: int, classes: int, side: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((channels, 16), (16, 32), (32, 64)):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        layers += [nn.Dropout(0.2), nn.Flatten(), nn.Linear(64 * (side // 8) ** 2, 128), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Linear(128, classes))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        logits: torch.Tensor = self.layers(images)
        return logits


class _Block(nn.Module):  # type: ignore[misc]
    """Two convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(_convolution(inputs, outputs, stride), *list(_convolution(outputs, outputs))[:2])
        same = inputs == outputs and stride == 1
        shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.shortcut = nn.Identity() if same else shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return relu(body(x) + shortcut(x))."""
        return torch.relu(self.body(x) + self.shortcut(x))


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))
