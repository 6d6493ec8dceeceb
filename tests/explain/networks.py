"""Networks that an explanation must cope with: channels, shapes, strides, class counts, depth, branches and joins."""

from __future__ import annotations

import numpy as np

import neocog as nc


def _deep() -> nc.Sequential:
    """Forty layers."""
    layers: list[nc.Layer] = [nc.Conv2d(4, 3, padding=1)]
    for _ in range(18):
        layers += [nc.ReLU(), nc.Conv2d(4, 3, padding=1)]
    return nc.Sequential(*layers, nc.MaxPool2d(2), nc.Flatten(), nc.Linear(3))


def _residual() -> nc.Sequential:
    """Two residual blocks, the second with a convolution in its shortcut; every convolution is normalised."""
    return nc.Sequential(
        nc.Conv2d(6, 3, padding=1, bias=False),
        nc.BatchNorm2d(),
        nc.ReLU(),
        nc.Residual(
            nc.Sequential(
                nc.Conv2d(6, 3, padding=1, bias=False),
                nc.BatchNorm2d(),
                nc.ReLU(),
                nc.Conv2d(6, 3, padding=1, bias=False),
                nc.BatchNorm2d(affine=False),
            )
        ),
        nc.ReLU(),
        nc.Residual(
            nc.Sequential(
                nc.Conv2d(8, 3, stride=2, padding=1, bias=False),
                nc.BatchNorm2d(),
                nc.SiLU(),
                nc.Conv2d(8, 3, padding=1),
                nc.BatchNorm2d(),
                nc.DropPath(0.2),
            ),
            shortcut=nc.Sequential(nc.Conv2d(8, 1, stride=2, bias=False), nc.BatchNorm2d()),
        ),
        nc.ReLU(),
        nc.GlobalAvgPool2d(),
        nc.Linear(4),
    )


def _branches() -> nc.Graph:
    """Branches of several kinds side by side, a value that is taken three times, a gate, and every other activation."""
    x = nc.Input((9, 8, 2))
    stem = nc.LeakyReLU(0.2)(nc.Conv2d(4, 3, padding=1)(x))
    wide = nc.Concat(
        nc.Sequential(nc.Conv2d(3, 1), nc.PReLU()),
        nc.Sequential(nc.Conv2d(3, 3, padding=1), nc.BatchNorm2d(), nc.GELU()),
        nc.Sequential(nc.MaxPool2d(3, stride=1, padding=1), nc.Conv2d(2, 1), nc.ELU()),
    )(stem, name="wide")
    gate = nc.Sigmoid()(nc.Conv2d(8, 1)(stem))
    gated = nc.Multiply()(wide, gate, name="gated")
    twice = nc.Add()(gated, gated, wide, name="twice")
    y = nc.Maxout(2)(nc.Conv2d(12, 3)(nc.Tanh()(twice)))
    attention = nc.Softmax()(nc.Hardsigmoid()(nc.Conv2d(6, 1)(y)))
    y = nc.Dropout2d(0.3)(nc.AvgPool2d(2)(nc.ReLU6()(nc.Multiply()(y, attention))))
    vector = nc.BatchNorm2d()(nc.Linear(7)(nc.Flatten()(y)))
    return nc.Graph(x, nc.Linear(3)(nc.GELU("tanh")(vector)))


def _moved() -> nc.Graph:
    """Channels that are cut out, shuffled and laid out as pixels, and enlarged; values of a vector that are cut out."""
    x = nc.Input((6, 5, 2))
    left, right = nc.Conv2d(8, 3, padding=1)(x).split(2)
    y = nc.ChannelShuffle(2)(nc.Concatenate()(nc.ReLU()(left), right))
    z = nc.Upsample((1, 2), "bilinear")(nc.Upsample((2, 1))(nc.PixelShuffle(2)(y)))
    z = nc.ConvTranspose2d(3, 3, 2, 1, (0, 1))(nc.MaxPool2d(4)(z))
    return nc.Graph(x, nc.Linear(3)(nc.Linear(7)(nc.Flatten()(nc.Conv2d(3, 3, stride=2)(z)))[..., 4:]))


NETWORKS: dict[str, tuple[nc.Layer, tuple[int, int, int]]] = {
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
    "convolutions of groups": (
        nc.Sequential(
            *(nc.Conv2d(6, 3, padding=(1, 0), groups=2), nc.ReLU6(), nc.Conv2d(6, 3, 2, 1, groups=6)),
            *(nc.BatchNorm2d(), nc.ReLU(), nc.Conv2d(12, 2, groups=3), nc.Flatten(), nc.Linear(3)),
        ),
        (7, 6, 4),
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
    "residual": (_residual(), (8, 10, 3)),
    "branches": (_branches(), (9, 8, 2)),
    "groups": (
        nc.Sequential(
            *(nc.Conv2d(6, 3, padding=1), nc.GroupNorm(2), nc.Hardswish(), nc.MaxPool2d(2)),
            *(
                nc.GroupNorm(3, affine=False),
                nc.LayerNorm2d(),
                nc.LocalResponseNorm(4, 2.0, 0.75, 0.5),
                nc.Flatten(),
                nc.LayerNorm2d(0.1, affine=False),
                nc.Linear(3),
            ),
        ),
        (7, 6, 2),
    ),
    "pooled and weighed": (
        nc.Sequential(
            *(nc.Conv2d(8, 3, padding=1), nc.ReLU(), nc.SqueezeExcite(4, gate=nc.Hardsigmoid())),
            *(nc.MaxPool2d(2, ceil_mode=True), nc.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False)),
            *(nc.AdaptiveAvgPool2d((2, 4)), nc.AvgPool2d(2, 1, 1, ceil_mode=True), nc.Flatten(), nc.Linear(3)),
        ),
        (9, 10, 2),
    ),
    "moved": (_moved(), (6, 5, 2)),
    "pixel by pixel": (
        nc.Sequential(nc.Conv2d(5, 3, padding=1), nc.ReLU(), nc.Residual(nc.Conv2d(5, 1)), nc.Conv2d(3, 1)),
        (6, 7, 2),
    ),
    "one pixel": (nc.Sequential(nc.Conv2d(2, 3, padding=1), nc.Flatten(), nc.Linear(2)), (1, 1, 1)),
}


def make_model(name: str, *, seed: int = 3) -> nc.Model:
    """Make one of them; constants are drawn too, since zeros and ones would hide mistakes."""
    net, shape = NETWORKS[name]
    mean = tuple(0.1 * (channel + 1) for channel in range(shape[2]))
    model = nc.Model(net, shape, seed=seed, mean=mean, std=0.3, engine="reference")
    generator = np.random.default_rng(seed)
    model.load_parameters({name: _drawn(name, value, generator) for name, value in model.parameters.items()})
    return model


def _drawn(name: str, value: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draw what starts as a constant: biases, and what normalizations store, their scales of either sign."""
    if name.endswith(("bias", "running_mean")):
        return generator.normal(0, 0.2, value.shape)
    if name.endswith("running_var"):
        return generator.uniform(0.3, 2.0, value.shape)
    if value.ndim == 1 and len(value) > 1:
        return generator.uniform(0.2, 1.5, value.shape) * generator.choice([-1.0, 1.0, 1.0], value.shape)
    return value


def make_image(model: nc.Model, *, seed: int = 5) -> np.ndarray:
    """Draw an image for a model, uint8."""
    return np.random.default_rng(seed).integers(0, 256, model.input_shape).astype(np.uint8)
