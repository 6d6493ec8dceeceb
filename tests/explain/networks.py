"""Twelve networks that an explanation must cope with: channels, shapes, strides, class counts, depth."""

from __future__ import annotations

import numpy as np

import neocog as nc


def _deep() -> nc.Sequential:
    """Forty layers."""
    layers: list[nc.Layer] = [nc.Conv2d(4, 3, padding=1)]
    for _ in range(18):
        layers += [nc.ReLU(), nc.Conv2d(4, 3, padding=1)]
    return nc.Sequential(*layers, nc.MaxPool2d(2), nc.Flatten(), nc.Linear(3))


NETWORKS: dict[str, tuple[nc.Sequential, tuple[int, int, int]]] = {
    "grey": (nc.zoo.lenet5(10), (28, 28, 1)),
    "article": (nc.zoo.article(10), (12, 12, 1)),
    "colour": (
        nc.Sequential(nc.Conv2d(5, 3), nc.ReLU(), nc.AvgPool2d(2), nc.Flatten(), nc.Linear(4)),
        (10, 14, 3),
    ),
    "four channels": (
        nc.Sequential(nc.Conv2d(6, 3, padding="same"), nc.MaxPool2d(2), nc.Flatten(), nc.Linear(2)),
        (9, 7, 4),
    ),
    "stride and dilation": (
        nc.Sequential(nc.Conv2d(4, (3, 2), stride=(2, 1), padding=(2, 1), dilation=(1, 3)), nc.Flatten(), nc.Linear(3)),
        (11, 13, 2),
    ),
    "overlapping pools": (
        nc.Sequential(
            nc.Conv2d(3, 3, padding=1),
            nc.ReLU(),
            nc.MaxPool2d(3, stride=2, padding=1),
            nc.AvgPool2d((2, 3), stride=1, padding=(1, 1)),
            nc.Flatten(),
            nc.Linear(5),
        ),
        (12, 9, 1),
    ),
    "many classes": (nc.Sequential(nc.Conv2d(2, 5, stride=2), nc.ReLU(), nc.Flatten(), nc.Linear(200)), (16, 16, 3)),
    "many filters": (nc.Sequential(nc.Conv2d(512, 3), nc.ReLU(), nc.Flatten(), nc.Linear(2)), (5, 6, 1)),
    "deep": (_deep(), (8, 8, 3)),
    "nested": (
        nc.Sequential(
            nc.Sequential(nc.Conv2d(3, 1), nc.ReLU()),
            nc.Sequential(nc.Conv2d(4, 3, bias=False), nc.MaxPool2d(2)),
            nc.Dropout(0.5),
            nc.Flatten(),
            nc.Linear(6, bias=False),
            nc.ReLU(),
            nc.Linear(3),
        ),
        (8, 10, 3),
    ),
    "without convolutions": (nc.Sequential(nc.Flatten(), nc.Linear(7), nc.ReLU(), nc.Linear(2)), (5, 4, 3)),
    "one pixel": (nc.Sequential(nc.Conv2d(2, 3, padding=1), nc.Flatten(), nc.Linear(2)), (1, 1, 1)),
}


def make_model(name: str, *, seed: int = 3) -> nc.Model:
    """Make one of them; biases are drawn too, since zeros would hide mistakes."""
    net, shape = NETWORKS[name]
    mean = tuple(0.1 * (channel + 1) for channel in range(shape[2]))
    model = nc.Model(net, shape, seed=seed, mean=mean, std=0.3, engine="reference")
    generator = np.random.default_rng(seed)
    model.load_parameters(
        {
            name: generator.normal(0, 0.2, value.shape) if name.endswith("bias") else value
            for name, value in model.parameters.items()
        }
    )
    return model


def make_image(model: nc.Model, *, seed: int = 5) -> np.ndarray:
    """Draw an image for a model, uint8."""
    return np.random.default_rng(seed).integers(0, 256, model.input_shape).astype(np.uint8)
