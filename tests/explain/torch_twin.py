"""The same network in PyTorch, for comparisons with Captum: pixels (N, C, H, W) in [0, 1] to logits, in float64."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
import pytest

import neocog as nc
from neocog.explain.subject import exact_parameters
from neocog.nn.graph import IMAGE, Node
from neocog.nn.parameters import to_pytorch, variables_of
from neocog.nn.shapes import ImageShape


def twin(model: nc.Model) -> Any:
    """Make it; `twin(model)[1 + index]` is the layer of that index."""
    torch = pytest.importorskip("torch")
    shape = model.graph.input
    mean, std = (
        torch.tensor(np.array(values)).reshape(1, -1, 1, 1)
        for values in model.graph.normalisation.per_channel(shape.channels)
    )
    exact = exact_parameters(model)
    values = {
        p.name: torch.tensor(np.ascontiguousarray(to_pytorch(p, exact[p.name]))) for p in variables_of(model.graph)
    }

    class Twin(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.ModuleList([torch.nn.Identity(), *(_layer(node) for node in model.graph.nodes)])
            for node, layer in zip(model.graph.nodes, self.layers[1:], strict=True):
                own = {name.rpartition(".")[2]: v for name, v in values.items() if name.rpartition(".")[0] == node.name}
                for name, value in own.items():
                    kept = getattr(layer, name)
                    kept.data = value
            self.double()

        def forward(self, images: Any) -> Any:
            found = {IMAGE: self.layers[0]((images - mean) / std)}
            for node, layer in zip(model.graph.nodes, self.layers[1:], strict=True):
                found[node.index] = layer(*(found[value] for value in node.inputs))
            last = found[len(model.graph.nodes) - 1]
            return last.mean((2, 3)) if last.dim() == 4 else last  # a target is the mean over pixels

        def __getitem__(self, index: int) -> Any:
            return self.layers[index]

    return Twin().eval()


def _layer(node: Node) -> Any:
    """Make PyTorch's layer of the same kind, without the parameters."""
    import torch

    class Function(torch.nn.Module):
        def __init__(self, compute: Any) -> None:
            super().__init__()
            self.compute = compute

        def forward(self, *inputs: Any) -> Any:
            return self.compute(*inputs)

    nn, layer = torch.nn, node.layer
    match layer:
        case nc.MaxPool2d():
            return nn.MaxPool2d(layer.window, layer.stride, layer.padding, ceil_mode=layer.ceil_mode)
        case nc.AvgPool2d():
            return nn.AvgPool2d(layer.window, layer.stride, layer.padding, layer.ceil_mode, layer.count_include_pad)
        case nc.AdaptiveAvgPool2d():
            return nn.AdaptiveAvgPool2d(layer.output_size)
        case nc.Conv2d():
            walk = layer.window_over(node.input)
            axes = (walk.vertical, walk.horizontal)
            assert all(axis.before == axis.after for axis in axes)
            kernel, stride, before, dilation = (
                tuple(getattr(axis, name) for axis in axes) for name in ("kernel", "stride", "before", "dilation")
            )
            inputs, outputs = node.input.channels, layer.channels
            return nn.Conv2d(inputs, outputs, kernel, stride, before, dilation, layer.groups, layer.bias)
        case nc.Linear():
            return nn.Linear(node.input.size, layer.features, bias=layer.bias)
        case nc.BatchNorm2d():
            kind = nn.BatchNorm2d if isinstance(node.input, ImageShape) else nn.BatchNorm1d
            channels = node.input.channels if isinstance(node.input, ImageShape) else node.input.size
            return kind(channels, layer.epsilon, layer.momentum, layer.affine)
        case nc.GroupNorm():
            return nn.GroupNorm(layer.groups, node.input.channels, layer.epsilon, layer.affine)
        case nc.LayerNorm2d():
            channels = node.input.channels if isinstance(node.input, ImageShape) else node.input.size
            norm = nn.LayerNorm(channels, layer.epsilon, layer.affine)
            norm.forward = lambda x: nn.LayerNorm.forward(norm, x.movedim(1, -1)).movedim(-1, 1)
            return norm
        case nc.LocalResponseNorm():
            return nn.LocalResponseNorm(layer.size, layer.alpha, layer.beta, layer.k)
        case nc.PReLU():
            return nn.PReLU(node.input.channels if isinstance(node.input, ImageShape) else node.input.size)
        case nc.LeakyReLU():
            return nn.LeakyReLU(layer.slope)
        case nc.ELU():
            return nn.ELU(layer.alpha)
        case nc.GELU():
            return nn.GELU(layer.approximate)
        case nc.Softmax():
            return nn.Softmax(1)
        case nc.Flatten():
            return nn.Flatten()
        case nc.Dropout() | nc.Dropout2d() | nc.DropPath():
            return nn.Identity()
        case nc.GlobalAvgPool2d():
            return Function(lambda x: x.mean((2, 3)))
        case nc.Maxout():
            return Function(lambda x: x.unflatten(1, (layer.pieces, -1)).amax(1))
        case nc.Add():
            return Function(lambda *inputs: sum(inputs[1:], inputs[0]))
        case nc.Multiply():
            return Function(lambda *inputs: reduce(torch.mul, inputs))
        case nc.Slice():
            first, end = layer.span(node.input)
            return Function(lambda x: x[:, first:end])
        case nc.ChannelShuffle():
            return nn.ChannelShuffle(layer.groups)
        case nc.PixelShuffle():
            return nn.PixelShuffle(layer.factor)
        case nc.ConvTranspose2d():
            sizes = (layer.kernel, layer.stride, layer.padding, layer.output_padding)
            return nn.ConvTranspose2d(node.input.channels, layer.channels, *sizes, bias=layer.bias)
        case nc.Upsample():
            scale = layer.scale if isinstance(layer.scale, tuple) else (layer.scale, layer.scale)
            return nn.Upsample(scale_factor=scale, mode=layer.mode)
        case nc.Concatenate():
            return Function(lambda *inputs: torch.cat(inputs, 1))
    return getattr(nn, type(layer).__name__)()  # activations without settings have PyTorch's names


def pixels(image: np.ndarray) -> Any:
    """Return an image (H, W, C), uint8 or in [0, 1], as (1, C, H, W) in float64."""
    torch = pytest.importorskip("torch")
    values = image / 255 if image.dtype == np.uint8 else image
    return torch.tensor(np.ascontiguousarray(values.transpose(2, 0, 1)[None]), dtype=torch.float64)
