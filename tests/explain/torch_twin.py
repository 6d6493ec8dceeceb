"""The same network in PyTorch, for comparisons with Captum: pixels (N, C, H, W) in [0, 1] to logits, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import neocog as nc
from neocog.explain.subject import exact_parameters
from neocog.nn.parameters import parameters_of, to_pytorch


def twin(model: nc.Model) -> Any:
    """Make it; the second to last entries are the layers, in order: `twin(model)[1 + index]`."""
    torch = pytest.importorskip("torch")
    shape = model.graph.input
    mean, std = (
        torch.tensor(np.array(values)).reshape(1, -1, 1, 1)
        for values in model.graph.normalisation.per_channel(shape.channels)
    )

    class Normalise(torch.nn.Module):
        def forward(self, images: Any) -> Any:
            return (images - mean) / std

    exact = exact_parameters(model)
    values = {
        p.name: torch.tensor(np.ascontiguousarray(to_pytorch(p, exact[p.name]))) for p in parameters_of(model.graph)
    }
    layers = [Normalise()]
    for node in model.graph.nodes:
        weight, bias = values.get(f"{node.name}.weight"), values.get(f"{node.name}.bias")
        layer: Any
        match node.layer:
            case nc.Conv2d() as conv:
                window = conv.window_over(node.input)
                axes = (window.vertical, window.horizontal)
                layer = torch.nn.Conv2d(
                    weight.shape[1],
                    weight.shape[0],
                    tuple(axis.kernel for axis in axes),
                    tuple(axis.stride for axis in axes),
                    tuple(axis.before for axis in axes),
                    tuple(axis.dilation for axis in axes),
                    bias=bias is not None,
                )
                assert all(axis.before == axis.after for axis in axes)
            case nc.Linear():
                layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
            case nc.MaxPool2d() | nc.AvgPool2d() as pool:
                window = pool.window_over(node.input)
                axes = (window.vertical, window.horizontal)
                kind = torch.nn.MaxPool2d if isinstance(pool, nc.MaxPool2d) else torch.nn.AvgPool2d
                layer = kind(
                    tuple(axis.kernel for axis in axes),
                    tuple(axis.stride for axis in axes),
                    tuple(axis.before for axis in axes),
                )
            case nc.ReLU():
                layer = torch.nn.ReLU()
            case nc.Flatten():
                layer = torch.nn.Flatten()
            case nc.Dropout():
                layer = torch.nn.Identity()
        if weight is not None:
            layer.weight = torch.nn.Parameter(weight)
            layer.bias = None if bias is None else torch.nn.Parameter(bias)
        layers.append(layer)
    return torch.nn.Sequential(*layers).eval()


def pixels(image: np.ndarray) -> Any:
    """Return an image (H, W, C), uint8 or in [0, 1], as (1, C, H, W) in float64."""
    torch = pytest.importorskip("torch")
    values = image / 255 if image.dtype == np.uint8 else image
    return torch.tensor(np.ascontiguousarray(values.transpose(2, 0, 1)[None]), dtype=torch.float64)
