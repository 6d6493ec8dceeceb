"""EfficientNet: inverted residual blocks scaled in depth, width and resolution together.

Layers are named as torchvision names them ("features.1.0.block.0.0"), those of Lite0 as timm names them
("blocks.0.0.conv_dw"), so that weights of one fit the other name by name.
"""

from __future__ import annotations

from neocog.nn.blocks import Sequential, SqueezeExcite
from neocog.nn.graph import Graph
from neocog.nn.layers import Add, BatchNorm2d, Conv2d, Dropout, DropPath, GlobalAvgPool2d, Layer, Linear, ReLU6, SiLU
from neocog.nn.shapes import ImageShape
from neocog.nn.symbol import Input, Symbol
from neocog.nn.zoo.parts import channels, convolution

# Table 1 of the paper: how much wider a block is inside, kernel, stride of the first, channels, how many there are
STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
DROPPED = 0.2  # share of images that the last block would leave out while training; earlier ones in proportion


def efficientnet_b0(classes: int = 10) -> Graph:
    """Return EfficientNet-B0 for images of any size, made for 224 × 224: torchvision's.

    Source: Tan and Le 2019, EfficientNet: rethinking model scaling for convolutional neural networks.
    """
    image = Input(ImageShape(224, 224, 3))
    x = convolution(32, 3, stride=2, activation=SiLU())(image, name="features.0")
    total, done = sum(row[-1] for row in STAGES), 0
    for stage, (expansion, kernel, stride, wide, blocks) in enumerate(STAGES, 1):
        for block in range(blocks):
            name, dropped = f"features.{stage}.{block}", DROPPED * done / total
            x = _block(x, name, expansion, kernel, 1 if block else stride, wide, dropped)
            done += 1
    x = convolution(1280, activation=SiLU())(x, name="features.8")
    x = GlobalAvgPool2d()(x, name="avgpool")
    return Graph(image, Sequential(Dropout(0.2), Linear(classes))(x, name="classifier"))


def _block(x: Symbol, name: str, expansion: int, kernel: int, stride: int, wide: int, dropped: float) -> Symbol:
    """Widen, look at each channel by itself, weigh the channels, and narrow; add x where shapes allow."""
    inside = channels(x) * expansion
    layers: list[Layer] = [] if expansion == 1 else [convolution(inside, activation=SiLU())]
    layers += [
        convolution(inside, kernel, stride, groups=inside, activation=SiLU()),
        SqueezeExcite(squeezed=channels(x) // 4, activation=SiLU()),
        convolution(wide),
    ]
    y = Sequential(*layers)(x, name=f"{name}.block")
    if y.shape != x.shape:
        return y
    return Add()(DropPath(dropped)(y, name=f"{name}.stochastic_depth"), x, name=f"{name}.add")


def efficientnet_lite0(classes: int = 10) -> Graph:
    """Return EfficientNet-Lite0 for images of any size, made for 224 × 224.

    It is B0 for devices that are good at little but convolutions: without squeeze-and-excitation, and with ReLU6.
    Padding is the same on all sides, as in PyTorch's renderings; its authors' has a pixel less before where the
    stride is 2.

    Source: Tan and Le 2019; Google's release of EfficientNet-Lite, 2020; timm's efficientnet_lite0.
    """
    image = Input(ImageShape(224, 224, 3))
    x = _lite(image, "conv_stem", "bn1", Conv2d(32, 3, stride=2, padding=1, bias=False))
    for stage, (expansion, kernel, stride, wide, blocks) in enumerate(STAGES):
        for block in range(blocks):
            x = _lite_block(x, f"blocks.{stage}.{block}", expansion, kernel, 1 if block else stride, wide)
    x = _lite(x, "conv_head", "bn2", Conv2d(1280, 1, bias=False))
    x = Dropout(0.2)(GlobalAvgPool2d()(x, name="global_pool"), name="dropout")
    return Graph(image, Linear(classes)(x, name="classifier"))


def _lite_block(x: Symbol, name: str, expansion: int, kernel: int, stride: int, wide: int) -> Symbol:
    inside = channels(x) * expansion
    depthwise = Conv2d(inside, kernel, stride=stride, padding=kernel // 2, groups=inside, bias=False)
    narrow = Conv2d(wide, 1, bias=False)
    if expansion == 1:
        y = _lite(x, f"{name}.conv_dw", f"{name}.bn1", depthwise)
        y = BatchNorm2d()(narrow(y, name=f"{name}.conv_pw"), name=f"{name}.bn2")
    else:
        y = _lite(x, f"{name}.conv_pw", f"{name}.bn1", Conv2d(inside, 1, bias=False))
        y = _lite(y, f"{name}.conv_dw", f"{name}.bn2", depthwise)
        y = BatchNorm2d()(narrow(y, name=f"{name}.conv_pwl"), name=f"{name}.bn3")
    return Add()(y, x, name=f"{name}.add") if y.shape == x.shape else y


def _lite(x: Symbol, name: str, norm: str, layer: Conv2d) -> Symbol:
    return ReLU6()(BatchNorm2d()(layer(x, name=name), name=norm), name=f"{norm}.act")
