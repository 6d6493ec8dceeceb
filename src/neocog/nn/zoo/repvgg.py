"""RepVGG: three branches to train, which fold into plain 3 × 3 convolutions to predict.

Layers are named as timm names them ("stages.0.0.conv_kxk.conv"), so that weights of one fit the other name by name.
"""

from __future__ import annotations

from neocog.nn.graph import Graph
from neocog.nn.layers import Add, BatchNorm2d, Conv2d, GlobalAvgPool2d, Linear, ReLU
from neocog.nn.shapes import ImageShape
from neocog.nn.symbol import Input, Symbol

STEM_A0 = 48  # channels
STAGES_A0 = ((2, 48), (4, 96), (14, 192), (1, 1280))  # blocks, and channels of each; the first of a stage has stride 2


def repvgg_a0(classes: int = 10) -> Graph:
    """Return RepVGG-A0 as it is trained, for images of any size, made for 224 × 224.

    Each block adds up a 3 × 3 convolution, a 1 × 1 convolution and, where shapes allow, its input, each with a
    BatchNorm2d. `Model.folded` gives the network that predicts the same with one 3 × 3 convolution a block.

    Source: Ding et al. 2021, RepVGG: making VGG-style ConvNets great again.
    """
    image = Input(ImageShape(224, 224, 3))
    x = _block(image, "stem", STEM_A0, stride=2)
    for stage, (blocks, channels) in enumerate(STAGES_A0):
        for block in range(blocks):
            x = _block(x, f"stages.{stage}.{block}", channels, stride=1 if block else 2)
    return Graph(image, Linear(classes)(GlobalAvgPool2d()(x, name="avgpool"), name="head.fc"))


def _block(x: Symbol, name: str, channels: int, stride: int) -> Symbol:
    branches = []
    for kernel, branch in ((3, "conv_kxk"), (1, "conv_1x1")):
        convolution = Conv2d(channels, kernel, stride=stride, padding=kernel // 2, bias=False)
        branches.append(BatchNorm2d()(convolution(x, name=f"{name}.{branch}.conv"), name=f"{name}.{branch}.bn"))
    if stride == 1:
        branches.append(BatchNorm2d()(x, name=f"{name}.identity"))
    return ReLU()(Add()(*branches, name=f"{name}.add"), name=f"{name}.act")
