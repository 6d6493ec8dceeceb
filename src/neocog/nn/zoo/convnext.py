"""ConvNeXt: a residual network, brought step by step to what transformers have beside attention.

Layers are named as timm names them ("stages.0.blocks.0.conv_dw"), so that weights of one fit the other; the factors
that are called "gamma" there are the weights of layers of that name here.
"""

from __future__ import annotations

from neocog.nn.blocks import Sequential
from neocog.nn.graph import Graph
from neocog.nn.layers import GELU, Add, Conv2d, GlobalAvgPool2d, LayerNorm2d, LayerScale, Linear
from neocog.nn.shapes import ImageShape
from neocog.nn.symbol import Input, Symbol
from neocog.nn.zoo.parts import channels

STAGES_ATTO = ((2, 40), (2, 80), (6, 160), (2, 320))  # blocks, and channels of each


def convnext_atto(classes: int = 10) -> Graph:
    """Return ConvNeXt-atto for images of 32 × 32 pixels or more, made for 224 × 224.

    Source: Liu et al. 2022, A ConvNet for the 2020s; the size is one of timm's.
    """
    image = Input(ImageShape(224, 224, 3))
    x = Sequential(Conv2d(STAGES_ATTO[0][1], 4, stride=4), LayerNorm2d())(image, name="stem")
    for stage, (blocks, wide) in enumerate(STAGES_ATTO):
        if stage:
            x = Sequential(LayerNorm2d(), Conv2d(wide, 2, stride=2))(x, name=f"stages.{stage}.downsample")
        for block in range(blocks):
            x = _block(x, f"stages.{stage}.blocks.{block}")
    x = LayerNorm2d()(GlobalAvgPool2d()(x, name="head.global_pool"), name="head.norm")
    return Graph(image, Linear(classes)(x, name="head.fc"))


def _block(x: Symbol, name: str) -> Symbol:
    """Look at each channel by itself, widen and narrow each pixel, and add x."""
    wide = channels(x)
    y = Conv2d(wide, 7, padding=3, groups=wide)(x, name=f"{name}.conv_dw")
    y = Conv2d(4 * wide, 1)(LayerNorm2d()(y, name=f"{name}.norm"), name=f"{name}.mlp.fc1")
    y = Conv2d(wide, 1)(GELU()(y, name=f"{name}.mlp.act"), name=f"{name}.mlp.fc2")
    return Add()(LayerScale(1e-6)(y, name=f"{name}.gamma"), x, name=f"{name}.add")
